"""Runs a verb and turns every outcome into an exit code and, for errors, one line on standard error.

Exit codes: 0 done; 1 failed, or nothing meets the limits; 2 the request is wrong; 130 interrupted (what was found is
kept and printed); 141 the reader of our output went away.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress

import typer

from cofront.errors import CofrontError

#: The base of all errors of the option parser, through a name that every version of typer exports.
_ParserError = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")

INTERRUPTED = 130
BROKEN_PIPE = 141


def main() -> None:
    """Entry point of the command `cofront`: SIGTERM ends it as Ctrl-C does, with all that it has started."""
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Runs one command line and returns its exit code."""
    try:
        code = _run(arguments)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # nobody reads: keep the interpreter from flushing into the closed pipe once more at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _fail(f"{error.filename or 'output'}: {error.strerror or error}", 1)


def _run(arguments: Sequence[str]) -> int:
    from cofront.cli.app import command

    try:
        # not `main` of the parser's command: its handling of interrupts and closed pipes is not ours
        parser = command(arguments)
        with parser.make_context("cofront", list(arguments)) as context:
            result = parser.invoke(context)
    except typer.Exit as error:
        return error.exit_code
    except CofrontError as error:
        return _fail(str(error), error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        return _fail("interrupted", INTERRUPTED)
    except MemoryError:
        return _fail("out of memory; use a smaller space or grid, or a machine with more memory", 1)
    except OSError:  # of standard output: see `run`
        raise
    except Exception as error:
        if isinstance(error, _ParserError):
            from cofront.cli.parsing import parser_message

            return _fail(parser_message(error), 2)
        if os.environ.get("COFRONT_TRACEBACK"):
            raise
        text = f"internal error, please report it: {type(error).__name__}: {error}"
        return _fail(f"{text} (COFRONT_TRACEBACK=1 shows where)", 1)
    return result if isinstance(result, int) else 0


def _fail(text: str, code: int) -> int:
    line = " ".join(text.split())
    with suppress(OSError):  # standard error may be closed: the exit code still tells
        print(f"cofront: {line}", file=sys.stderr)
    return code
