"""The command line `tidings`: gathers the commands of what is installed; our errors end in one line and an exit code."""

import sys
from collections.abc import Callable
from importlib.metadata import entry_points

import typer

from worker import __version__
from worker.errors import TidingsError

GROUP = "tidings.commands"
Register = Callable[[typer.Typer], None]


def main() -> None:
    """Run the command line; exits with 0, with 1 on an error that we know, with 2 on wrong usage, with 130 on Ctrl-C.

    `tidings work` takes Ctrl-C as a wish to leave and exits with 0; with 3 if it had to leave before its work was finished.
    """
    try:
        build()()
    except TidingsError as error:
        typer.secho(f"tidings: {error}", fg="red", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)


def build() -> typer.Typer:
    """Return the application with the commands of every installed part.

    A slim image simply has fewer; the help says which were left out and why.
    """
    registers, left_out = _load_all()
    app = typer.Typer(
        name="tidings",
        help="Streaming sentiment and alerts: text in on Kafka, predictions and alerts out, exactly once.",
        epilog="\n\n".join(left_out) or None,
        no_args_is_help=True,
        rich_markup_mode="markdown",
        context_settings={"help_option_names": ["-h", "--help"]},
        pretty_exceptions_enable=False,
    )
    app.callback()(_root)
    for register in registers:
        register(app)
    return app


def _load_all() -> tuple[list[Register], list[str]]:
    """Load the commands of every part, the worker's first; a part that lacks its extra says so by ImportError."""
    registers: list[Register] = []
    left_out: list[str] = []
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.value != "worker.commands:register"):
        try:
            registers.append(entry.load())
        except ImportError as error:
            left_out.append(f"Left out, the commands of {entry.name}: {error}")
    return registers, left_out


def _version_if(on: bool) -> None:
    if on:
        typer.echo(f"tidings {__version__}")
        raise typer.Exit


def _root(
    _version: bool = typer.Option(False, "--version", help="Print the version and leave.", callback=_version_if),
) -> None:
    pass
