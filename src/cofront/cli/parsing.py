"""Errors of the option parser in our words: what was expected, what came, what to do."""

from __future__ import annotations

import re

#: The parser's names of types -> what a user may write.
_KINDS = {"int": "a whole number", "float": "a number", "boolean": "yes or no", "path": "a path"}
_FRACTIONS = ("--accuracy", "--trim")


def parser_message(error: Exception) -> str:
    """One line for an error of the parser."""
    text = str(error.format_message()).rstrip(".")  # type: ignore[attr-defined]
    context = getattr(error, "ctx", None)
    where = context.command_path if context is not None else "cofront"
    return f"{_value(text, getattr(error, 'param', None)) or text}; see {where} --help"


def _value(text: str, parameter: object) -> str | None:
    """ "--seed expects a whole number of at least 0, got 'x'"; None when the error is about something else."""
    found = re.fullmatch(r"Invalid value for '([^']+)'(?: / '[^']+')*: (.*)", text, re.DOTALL)
    if found is None:
        return None
    option, said = found[1], found[2]
    kind = getattr(parameter, "type", None)
    name = str(getattr(kind, "name", "")).partition(" ")[0]
    least = getattr(kind, "min", None)
    expected = _KINDS.get(name, "") + (f" of at least {least}" if least is not None else "")
    if expected and (wrong := re.fullmatch(r"'(.*)' is not a valid .*", said, re.DOTALL)):
        return f"{option} expects {expected}, got '{wrong[1]}'{_hint(option, wrong[1])}"
    if expected and (wrong := re.match(r"(\S+) is not in the range", said)):
        return f"{option} expects {expected}, got {wrong[1]}"
    return None


def _hint(option: str, text: str) -> str:
    """Numbers as people write them: 1,000, and 90% of what is a fraction."""
    if re.fullmatch(r"\d{1,3}(,\d{3})+(\.\d*)?", text):
        return f"; write {text.replace(',', '')}"
    if option in _FRACTIONS and (percent := re.fullmatch(r"(\d+(?:\.\d*)?)\s*%", text)):
        return f"; write {float(percent[1]) / 100:g}"
    return ""
