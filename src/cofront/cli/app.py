"""The verbs, put together. Importing a verb's module must stay cheap: what is heavy it imports when it runs."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any

import typer

from cofront import __version__

HELP = """Finds networks, precisions and FPGA accelerators together, with a proven bound.

The main job: cofront search --device zu3eg
"""

EPILOG = """Exit codes: 0 done, 1 failed or infeasible, 2 wrong usage, 130 interrupted (what was found is kept).
Every verb prints one JSON document with --json; docs/schema describes them."""

VERBS = (
    "search", "fit", "estimate", "train", "evaluate", "export", "report", "zoo", "devices", "spaces",
    "evaluate-predictor", "pareto", "build", "verify", "measure", "predict", "run", "quantize", "accelerate",
)  # fmt: skip


def _version(show: bool) -> None:
    if show:
        print(f"cofront {__version__}")
        raise typer.Exit()


def command(arguments: Sequence[str] = ()) -> Any:
    """The command line as a click command; with only the verb that `arguments` begin with, if they do."""
    app = typer.Typer(
        help=HELP, epilog=EPILOG, add_completion=False, rich_markup_mode=None, no_args_is_help=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    )  # fmt: skip

    @app.callback(invoke_without_command=True)
    def root(
        context: typer.Context,
        version: Annotated[
            bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
        ] = False,
    ) -> None:
        if context.invoked_subcommand is None:
            print(context.get_help())

    for name in arguments[:1] if arguments and arguments[0] in VERBS else VERBS:
        module = import_module(f"cofront.cli.{name.replace('-', '_')}")
        app.command(name, help=module.HELP, epilog=_verbatim(module.EXAMPLE), short_help=module.HELP.split("\n")[0])(
            module.run
        )
    return typer.main.get_command(app)


def _verbatim(text: str) -> str:
    """Keeps the line breaks of an example in click's help."""
    return "\b\n" + text.strip("\n")
