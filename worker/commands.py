"""The worker's commands. No logic: each reads its options, calls what does the work, and shows the outcome."""

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, BinaryIO

import typer
from rich.console import Console

from worker import __version__
from worker.backtest import commands as backtest
from worker.dead_letters import commands as dead_letters
from worker.errors import SettingsError
from worker.feedback import commands as feedback
from worker.migration import commands as migration
from worker.notify import commands as notify
from worker.open_alerts import commands as open_alerts
from worker.review import commands as review
from worker.rule_files import commands as rule_files
from worker.tune import commands as tune

console = Console()


class Stream(StrEnum):
    """What `tail` can follow."""

    PREDICTIONS = "predictions"
    SIGNALS = "signals"
    ALERTS = "alerts"
    DEAD_LETTERS = "dead-letters"
    REVIEW = "review"
    FEEDBACK = "feedback"
    SHADOW = "shadow"


class SchemaName(StrEnum):
    """What `schema` can print."""

    MESSAGE = "message"
    PREDICTION = "prediction"
    SIGNAL = "signal"
    ALERT = "alert"
    REVIEW = "review"
    FEEDBACK = "feedback"
    SHADOW = "shadow"
    WATCHLIST = "watchlist"
    ASYNCAPI = "asyncapi"


def register(app: typer.Typer) -> None:
    """Add the worker's commands."""
    app.command("work")(work)
    app.command("check")(check)
    app.command("produce")(produce)
    app.command("tail")(tail)
    app.command("schema")(schema)
    app.command("metrics")(metrics)
    dead_letters.register(app)
    open_alerts.register(app)
    backtest.register(app)
    rule_files.register(app)
    tune.register(app)
    notify.register(app)
    review.register(app)
    feedback.register(app)
    migration.register(app)


def work(
    roles: Annotated[
        str | None,
        typer.Option(
            help="Roles to run, separated by commas: score, alert, notify.",
            show_default="score,alert, and notify if notify.config is set",
        ),
    ] = None,
) -> None:
    """Run the worker until SIGTERM or Ctrl-C.

    It finishes and publishes what it has in hand before it leaves.

        tidings work

        tidings work --roles score

        TIDINGS_KAFKA__BOOTSTRAP_SERVERS=broker:9092 tidings work --roles alert
    """
    from worker import app
    from worker.ops import log

    asked = {part.strip() for part in roles.split(",")} if roles is not None else None
    names = [name for name in app.ROLES if asked is not None and name in asked]
    if unknown := (asked or set()) - set(names):
        raise typer.BadParameter(
            f"{', '.join(sorted(unknown))}: expected score, alert, notify or several of them", param_hint="--roles"
        )
    settings = app.load_settings()
    log.configure(settings.log)
    app.work(settings, names or list(app.default_roles(settings)))


def check(
    create_topics: Annotated[bool, typer.Option("--create-topics", help="Make the topics that are missing first.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Connect to everything and say what is wrong and what to do about it.

    Looks at the settings, the watchlist, the rules, Kafka with its topics, partitions and permissions, Redis, and the model
    with its contract. Exits with 1 if anything is not as it should be.

        tidings check

        tidings check --create-topics
    """
    from worker import app
    from worker.adapters.kafka import create_topics as create
    from worker.check import findings

    settings = app.load_settings()
    if create_topics:
        for name in create(settings.kafka):
            typer.echo(f"created topic {name}", err=True)
    well = True
    for finding in findings(settings):
        well = well and finding.ok
        if as_json:
            typer.echo(json.dumps({name: getattr(finding, name) for name in finding.__struct_fields__}))
            continue
        mark = typer.style("ok  ", fg="green") if finding.ok else typer.style("FAIL", fg="red")
        typer.echo(f"{mark} {finding.name}: {finding.detail}" + (f"\n     → {finding.remedy}" if finding.remedy else ""))
    raise typer.Exit(0 if well else 1)


def produce(
    topic: Annotated[str, typer.Argument(help="Topic to write to, such as news or chat.")],
    file: Annotated[Path, typer.Argument(help="File with one message a line; - is standard input.")] = Path("-"),
    text: Annotated[bool, typer.Option("--text", help="Lines are plain text, not JSON objects.")] = False,
    signals: Annotated[
        bool, typer.Option("--signals", help="Lines are signals, as `tidings drift --signals` writes them: each is checked.")
    ] = False,
    rate: Annotated[float, typer.Option(min=0, help="Messages per second; 0 is as fast as it goes.")] = 0,
) -> None:
    """Send messages from a file or standard input.

    Lines are sent as they are, byte for byte, unless --text wraps each in a message of its own.

        tidings produce news articles.jsonl --rate 50

        echo 'the best phone I ever had' | tidings produce chat --text

        tidings produce sentiment.signals drift.jsonl --signals
    """
    from worker import app
    from worker import produce as producing

    if text and signals:
        raise typer.BadParameter("lines are plain text or signals, not both", param_hint="--signals")
    settings = app.load_settings()
    from_stdin = str(file) == "-"
    with sys.stdin.buffer if from_stdin else _open(file) as lines:
        total = None if from_stdin else file.stat().st_size
        plan = producing.Plan(topic, rate, as_text=text, total_bytes=total, as_signals=signals)
        sent = producing.produce(settings.kafka, plan, lines)
    typer.echo(f"sent {sent} messages to {topic}", err=True)


def _open(file: Path) -> BinaryIO:
    try:
        return file.open("rb")
    except OSError as error:
        raise SettingsError(f"{file} cannot be read: {error.strerror}") from error


def tail(
    stream: Annotated[Stream, typer.Argument(help="What to follow.")],
    from_beginning: Annotated[
        bool, typer.Option("--from-beginning", help="Begin with the oldest record, not the next.")
    ] = False,
    count: Annotated[int | None, typer.Option("--count", "-n", min=1, help="Leave after so many records.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Records as they are, one a line.")] = False,
) -> None:
    """Follow what Tidings writes, as it is committed. Ctrl-C leaves.

    tidings tail alerts

    tidings tail predictions --from-beginning --count 10 --json
    """
    from worker import app
    from worker import tail as tailing

    settings = app.load_settings()
    tailing.tail(settings.kafka, stream.value, tailing.Following(from_beginning, count, as_json), console)


def schema(
    name: Annotated[SchemaName, typer.Argument(help="Which schema.")] = SchemaName.ASYNCAPI,
) -> None:
    """Print the JSON Schema of a record or of watchlist.yaml, or the AsyncAPI document of all topics.

    tidings schema message

    tidings schema asyncapi > asyncapi.json
    """
    from worker import schema as schemas
    from worker.app import load_settings

    document = (
        schemas.asyncapi(load_settings().kafka, __version__) if name is SchemaName.ASYNCAPI else schemas.json_schema(name.value)
    )
    typer.echo(json.dumps(document, indent=2))


def metrics(as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, for each metric.")] = False) -> None:
    """List every metric that a worker exports: type, unit, labels and what it says. Needs no Kafka, Redis or Triton.

    tidings metrics > docs/metrics.md

    tidings metrics --json | jq -r 'select(.labels | index("partition")) | .name'
    """
    from worker.ops.catalogue import catalogue, page

    if as_json:
        for one in catalogue():
            typer.echo(json.dumps(one._asdict()))
    else:
        typer.echo(page(), nl=False)
