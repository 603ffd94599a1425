"""The command line: one file per verb. `main` is the entry point."""

from cofront.cli.main import main

__all__ = ["main"]
