"""The JSON that cofront writes: typed, versioned, and never with NaN or infinity."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from cofront import SCHEMA, __version__
from cofront.errors import InputError


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a document."""


class Document(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """What every document has."""

    schema: int = SCHEMA
    cofront: str = __version__


D = TypeVar("D", bound=Document)


def clean(value: Any) -> Any:
    """Plain JSON values: NumPy scalars and tuples become numbers and lists; NaN and infinity become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, dict):
        return {str(k): clean(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [clean(v) for v in value]
    if hasattr(value, "tolist"):  # NumPy arrays and scalars, without importing NumPy
        return clean(value.tolist())
    return str(value)


def to_json(document: Document | Part | Sequence[Document], indent: int | None = 2) -> str:
    """The document, or the list of documents, as JSON text."""
    return json.dumps(clean(msgspec.to_builtins(document)), indent=indent, ensure_ascii=False, allow_nan=False)


def from_json(text: str | bytes, kind: type[D], where: str) -> D:
    """The document of type `kind` in `text`, or an InputError that names `where` and what is wrong."""
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where}: not a JSON document ({_short(error)})") from None
    return read_document(raw, kind, where)


def read_document(raw: object, kind: type[D], where: str) -> D:
    """As `from_json`, for JSON that was parsed already."""
    tag = str(kind.__struct_config__.tag)
    if not isinstance(raw, dict) or "kind" not in raw or "schema" not in raw:
        raise InputError(f"{where}: not a cofront document; expected a '{tag}' with the keys 'kind' and 'schema'")
    if raw["kind"] != tag:
        raise InputError(f"{where}: a cofront document of kind '{_short(raw['kind'])}', expected '{tag}'")
    if raw["schema"] != SCHEMA:
        raise InputError(
            f"{where}: schema version {_short(raw['schema'])}, this cofront reads {SCHEMA}; write the file again with "
            f"cofront {__version__}"
        )
    try:
        return msgspec.convert(raw, kind)
    except (msgspec.ValidationError, RecursionError) as error:
        raise InputError(f"{where}: {_short(error)}") from None


def _short(value: object) -> str:
    return str(value).splitlines()[0][:120] if str(value) else type(value).__name__
