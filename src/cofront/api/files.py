"""Reading small text files that a user names."""

from __future__ import annotations

from pathlib import Path

from cofront.errors import InputError

#: No document of ours comes near this; it keeps a mistaken /dev/zero from filling the memory.
MOST_BYTES = 1 << 28


def read_text(path: Path) -> str:
    """The text of a file, or an InputError that says why not."""
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
        if len(raw) > MOST_BYTES:
            raise InputError(f"'{path}' is larger than any document of cofront; expected a JSON file")
        return raw.decode("utf-8")
    except FileNotFoundError:
        raise InputError(f"there is no file '{path}'") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or ("not UTF-8 text" if isinstance(error, UnicodeError) else error)
        raise InputError(f"cannot read '{path}': {reason}") from None
