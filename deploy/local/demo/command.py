"""The command `tidings demo`; what it does is in `run.py`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

Messages = Annotated[
    int, typer.Option(min=2_000, help="Texts to send; fewer are not enough for the alert. Bad input comes on top.")
]
Rate = Annotated[float, typer.Option(min=1, help="Messages a second.")]
Seed = Annotated[int, typer.Option(help="Draws and orders the texts; the same seed gives the same run.")]
Screenshot = Annotated[Path | None, typer.Option(help="Write a picture of the view to this file, as SVG.")]
Plain = Annotated[bool, typer.Option("--plain", help="Lines instead of the live view, as without a terminal.")]


def demo(
    messages: Messages = 3_000, rate: Rate = 50.0, seed: Seed = 1, screenshot: Screenshot = None, plain: Plain = False
) -> None:
    """Run the main job on a stack of its own and check that nothing is lost or doubled.

    Real texts that people rated are sent to Kafka in such an order that the sentiment on films turns bad and
    recovers. A worker scores them on Triton and raises the alert; a reader of its own compares what was sent
    with what came out. Ends by itself with one line of JSON; the exit status is 0 only if nothing was lost or
    doubled, an alert fired and resolved, and all bad input is in the dead letters, byte for byte.

    For example:

        tidings demo
        tidings demo --messages 4000 --rate 80
        tidings demo --plain | tail -1 | jq .latency_ms_p99

        # on a Kafka of yours, in topics of its own
        TIDINGS_KAFKA__BOOTSTRAP_SERVERS=broker:9092 tidings demo
    """
    from rich.console import Console

    from deploy.local.demo.run import Options, run

    console = Console()
    outcome = run(Options(messages, rate, seed, screenshot, plain), console)
    problems = outcome.verdict.problems
    for problem in problems:
        typer.secho(f"not as promised: {problem}", fg="red", err=True)
    if problems:
        typer.secho(f"the logs are in {outcome.logs}", err=True)
    typer.echo(json.dumps(outcome.verdict.figures))
    raise typer.Exit(1 if problems else 0)
