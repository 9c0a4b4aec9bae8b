"""The command `tidings chaos`; what it does is in `run.py`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

Seed = Annotated[int, typer.Option(help="Draws the faults and the input; the same seed gives the same of both.")]
Minutes = Annotated[float, typer.Option(min=0.5, help="How long faults go on. Start, reference and the end come on top.")]
Rate = Annotated[float, typer.Option(min=1, help="Messages a second; a burst has ten times that.")]
Every = Annotated[float, typer.Option(min=0.5, help="Mean seconds from one fault to the next.")]
Only = Annotated[list[str] | None, typer.Option(help="Only faults of this kind; may be given more than once.")]
Poison = Annotated[
    bool, typer.Option("--model-poison/--no-model-poison", help="Send texts on which the model fails, whatever the batch.")
]
Planted = Annotated[str, typer.Option(help="Plant a bug into the workers: the report must then turn red.")]
Out = Annotated[Path, typer.Option(help="Where the report goes.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("chaos")(chaos)


def chaos(
    seed: Seed = 1,
    minutes: Minutes = 20.0,
    rate: Rate = 30.0,
    every: Every = 4.0,
    only: Only = None,
    planted: Planted = "",
    model_poison: Poison = False,
    out: Out = Path("build/chaos"),
) -> None:
    """Break everything, again and again, and count what was lost or doubled.

    Starts three Kafka brokers, Redis with a replica, Triton and six workers on this machine, sends the same input twice, once
    in peace and once under faults, and compares. Writes report.json, a readable report and a timeline. Exits with 1 unless
    every count is 0.

        tidings chaos --seed 7 --minutes 5

        tidings chaos --minutes 1 --only redis_failover --only alert_kill

        tidings chaos --minutes 2 --planted no_fence
    """
    from deploy.local.console import errors_as_one_line
    from tests.chaos.faults import CATALOGUE
    from tests.chaos.planted import BUGS
    from tests.chaos.run import Options, run
    from tests.chaos.show import Show

    if unknown := sorted(set(only or ()) - CATALOGUE.keys()):
        raise typer.BadParameter(f"{', '.join(unknown)}: there are {', '.join(CATALOGUE)}", param_hint="--only")
    if planted and planted not in BUGS:
        raise typer.BadParameter(f"{planted}: there are {', '.join(BUGS)}", param_hint="--planted")
    options = Options(
        seed=seed,
        minutes=minutes,
        rate=rate,
        only=tuple(only or ()),
        planted=planted,
        out=out,
        every_s=every,
        model_poison=model_poison,
    )
    with errors_as_one_line(), Show() as show:
        report = run(options, show)
    for problem in report["problems"]:
        typer.secho(problem, fg="red")
    typer.echo(summary(report))
    typer.echo(f"{report['verdict']}: {report['faults_total']} faults, {report['messages']} messages; see {out}/report.html")
    raise typer.Exit(0 if report["green"] else 1)


def summary(report: Mapping[str, Any]) -> str:
    """Return what is told beside the verdict, a line for each: the counts, what the faults came to, and what grew."""
    from tests.chaos.verify import FAULTY, TOLD

    def listed(figures: Mapping[str, Any]) -> str:
        return ", ".join(f"{name} {figure}" for name, figure in figures.items()) or "none"

    lines = {
        "counts": {name: report[name] for name in (*FAULTY, "orphans", *TOLD)},
        "kinds of fault": {"injected": len(report["faults"])},
        "without effect": report["faults_without_effect"],
        "not injected": report["not_injected"],
        "longest-lived": report["survivors"],
        "growth of memory": report["growth"]["rss"],
        "growth of open files": report["growth"]["open_files"],
    }
    return "\n".join(f"{name}: {listed(figures)}" for name, figures in lines.items())
