"""Everything a user can cause is a `CofrontError`; the command line prints it as one line.

The message says what was expected, what was given, where, and what to do next.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class CofrontError(Exception):
    """Base of all errors that cofront raises on purpose. `exit_code` is what the command line returns."""

    exit_code = 1


class UsageError(CofrontError):
    """The request itself is wrong: an unknown name, a contradictory or impossible option."""

    exit_code = 2


class InputError(CofrontError):
    """A file or array from outside is not what it should be (corrupt, foreign, out of range)."""


class UnsupportedError(CofrontError):
    """The input is valid, but cofront has no meaning for it (an operator, a dynamic shape)."""


class StudyError(CofrontError):
    """A study cannot be opened, read or written (another version, another writer, a full disk)."""


class MissingDependencyError(CofrontError):
    """An optional package or program is absent; the message names what to install."""


#: So many names are listed in full beside the nearest.
_FEW = 8


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """The error for a name that does not exist, with the nearest names that do."""
    names = sorted(known)
    near = difflib.get_close_matches(name.lower(), [n.lower() for n in names], n=3, cutoff=0.5)
    exact = [n for n in names if n.lower() in near]
    every = f"known: {', '.join(names)}"
    hint = every
    if exact:
        hint = f"did you mean {', '.join(exact)}?" + (f" ({every})" if len(exact) < len(names) <= _FEW else "")
    return UsageError(f"no {kind} named '{name}'; {hint}")
