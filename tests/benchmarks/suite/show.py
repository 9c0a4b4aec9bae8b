"""What the person who waits sees: which scenario is under way, how each ended, and the figures."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from tests.benchmarks.suite.figures import from_json, rounded
from tests.benchmarks.suite.result import Options
from tests.benchmarks.suite.run import run


def ended(names: Sequence[str], options: Options, *, fresh: bool) -> list[str]:
    """Run the scenarios behind a progress bar; return those that failed. Ctrl-C ends the one under way, and clears up."""
    console, failed = Console(stderr=True), list[str]()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task(names[0], total=len(names))
        for place, (name, how) in enumerate(run(names, options, fresh=fresh), 1):
            progress.console.print(f"{name}: {how}", highlight=False)
            failed += [] if how.startswith("done") else [name]
            progress.update(task, completed=place, description=names[min(place, len(names) - 1)])
    return failed


def show(report: Mapping[str, Any], out: Path, *, as_json: bool) -> None:
    """Print the report, or its figures that something was asked of."""
    if as_json:
        typer.echo(json.dumps(report, indent=2))
        return
    table = Table("what", "median (range over rounds)", "asked", "holds", title="benchmarks")
    for aim in report["aims"]:
        asked = "" if aim["asked"] is None else f"{'at least' if aim['at_least'] else 'at most'} {rounded(aim['asked']):,}"
        table.add_row(aim["name"], str(from_json(aim)), asked, {True: "yes", False: "no", None: ""}[aim["holds"]])
    Console().print(table)
    for name, one in report["scenarios"].items():
        if skipped := one["details"].get("skipped"):
            typer.echo(f"{name} is skipped: {skipped}")
    typer.echo(f"{out}/report.json, and pictures beside it")
