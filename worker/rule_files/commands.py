"""`tidings rules`: check, schema."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

Files = Annotated[list[Path] | None, typer.Argument(metavar="[FILE]...", help="Rule files; alert.rules unless given.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line, for each file.")]
_WIDE = 200
"""Of a table that goes into a pipe, where nothing is to be cut off."""


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(
        name="rules",
        help="Check the alert rules, and print their JSON Schema for an editor.",
        no_args_is_help=True,
        rich_markup_mode="markdown",
    )
    group.command("check")(check)
    group.command("schema")(schema)
    app.add_typer(group)


def check(files: Files = None, as_json: Json = False) -> None:
    """Say of each fault in a rule file where it is and what to write instead; of a good one, show the rules.

    Needs no Kafka, Redis or Triton. Exits with 1 if any file is not as it should be.

        tidings rules check

        tidings rules check rules.yaml more/rules.yaml

        tidings rules check rules.yaml --json | jq .faults
    """
    from worker.app import load_settings
    from worker.rule_files import showing

    paths = files or [load_settings().alert.rules]
    checked = [showing.look_at(path) for path in paths]
    console = Console() if sys.stdout.isatty() else Console(width=_WIDE)
    for one in checked:
        if as_json:
            typer.echo(json.dumps(showing.as_dict(one)))
        else:
            for part in showing.told(one):
                console.print(part, soft_wrap=isinstance(part, Text))
    raise typer.Exit(0 if all(one.rules for one in checked) else 1)


def schema() -> None:
    """Print the JSON Schema of a rule file.

    An editor with the YAML language server reads it, if the rule file begins with
    `# yaml-language-server: $schema=rules.schema.json`.

        tidings rules schema > rules.schema.json
    """
    from worker.alert.rule_schema import rules_schema

    typer.echo(json.dumps(rules_schema(), indent=2))
