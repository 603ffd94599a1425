"""Reading small text files that a user names."""

from __future__ import annotations

from pathlib import Path

from cofront.errors import InputError, UsageError

#: No document of ours comes near this; it keeps a mistaken /dev/zero from filling the memory.
MOST_BYTES = 1 << 28
#: How the names of tables end.
TABLES = (".parquet", ".csv", ".json")


def is_table(name: str | Path) -> bool:
    """Whether a file's name is that of a table."""
    return Path(name).suffix.lower() in TABLES


def missing(path: Path | str, what: str = "") -> UsageError:
    """The error for a file or folder that a user named and that is not there."""
    return UsageError(f"there is no file '{path}'" + (f"; expected {what}" if what else ""))


def need_file(path: Path | None, what: str) -> None:
    """UsageError when a file that a user named is not there."""
    if path is not None and not path.exists():
        raise missing(path, what)


def read_text(path: Path) -> str:
    """The text of a file, or an InputError that says why not; UsageError when it is not there."""
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
        if len(raw) > MOST_BYTES:
            raise InputError(f"'{path}' is larger than any document of cofront; expected a JSON file")
        return raw.decode("utf-8")
    except FileNotFoundError:
        raise missing(path) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or ("not UTF-8 text" if isinstance(error, UnicodeError) else error)
        raise InputError(f"cannot read '{path}': {reason}") from None
