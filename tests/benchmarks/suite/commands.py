"""The command `tidings bench`; what it does is in `run.py`. Only a checkout has it, for it is no part of the package."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Names = Annotated[list[str] | None, typer.Argument(metavar="[SCENARIO]...", help="All of them, unless some are named.")]
Messages = Annotated[int, typer.Option(min=1, help="Messages on a filled topic; peers get a twentieth.")]
Rounds = Annotated[int, typer.Option(min=1, help="Rounds in which the sides take turns.")]
Seconds = Annotated[float, typer.Option(min=1, help="How long one open-loop run sends.")]
Limit = Annotated[float, typer.Option(min=0, help="At most so many seconds a scenario; 0: each its own limit.")]
Out = Annotated[Path, typer.Option(help="Where the results go.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Measure again what was measured at this commit.")]
Readme = Annotated[bool, typer.Option("--readme", help="Refresh the table in README.md.")]
Json = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]
Listed = Annotated[bool, typer.Option("--list", help="Say what there is, and leave.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("bench")(bench)


def bench(
    names: Names = None,
    messages: Messages = 20_000,
    rounds: Rounds = 3,
    seconds: Seconds = 15.0,
    limit: Limit = 0.0,
    out: Out = Path("build/bench"),
    fresh: Fresh = False,
    readme: Readme = False,
    as_json: Json = False,
    listed: Listed = False,
) -> None:
    """Measure the worker against the model alone, and against other systems, on the real stack.

    Each scenario runs in a process of its own and within a limit; what it found is kept after every round, and one
    that was done at this commit is not done again. Writes report.json and pictures. Exits with 1 if a scenario failed.

        tidings bench --list

        tidings bench ceiling pipeline

        tidings bench overhead --messages 5000 --rounds 1 --fresh
    """
    from tests.benchmarks.suite import book, plots
    from tests.benchmarks.suite.result import Options
    from tests.benchmarks.suite.run import SCENARIOS
    from tests.benchmarks.suite.show import ended, show

    if unknown := sorted(set(names or ()) - SCENARIOS.keys()):
        raise typer.BadParameter(f"{', '.join(unknown)}: there are {', '.join(SCENARIOS)}", param_hint="SCENARIO")
    if listed:
        for name, scenario in SCENARIOS.items():
            typer.echo(f"{name:10} at most {scenario.limit_s:3.0f} s  {scenario.about}")
        return
    options = Options(messages, rounds, seconds, limit, out)
    failed = ended(list(names or SCENARIOS), options, fresh=fresh)
    report = book.assemble(out, list(SCENARIOS))
    plots.draw(report, out)
    if readme and not book.refresh(Path("README.md"), report):
        typer.secho("README.md has no place for the table, or there is no figure yet", fg="yellow", err=True)
    show(report, out, as_json=as_json)
    raise typer.Exit(1 if failed else 0)
