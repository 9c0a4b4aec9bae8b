"""`tidings backtest`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from worker.errors import SettingsError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from worker.alert.rules import RuleSet
    from worker.backtest.inputs import Input
    from worker.backtest.report import Report
    from worker.backtest.running import Plan
    from worker.backtest.scoring import Labels
    from worker.settings import Settings

_WIDE = 200


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("backtest")(backtest)


def backtest(
    source: Annotated[str, typer.Option("--input", metavar="FILE|TOPIC", help="JSON lines, Parquet, or a topic of signals.")],
    rules: Annotated[Path, typer.Option("--rules", help="The rule file.")] = Path("rules.yaml"),
    labels: Annotated[Path | None, typer.Option("--labels", help="Incidents as JSON lines, to hold the alerts to.")] = None,
    grace: Annotated[str, typer.Option("--grace", help="So long after its end an alert still counts for an incident.")] = "5m",
    compare: Annotated[Path | None, typer.Option("--compare", help="Another rule file: what would it change?")] = None,
    shadow: Annotated[
        bool,
        typer.Option("--shadow", help="The input is sentiment.shadow: alerts by the second model beside those by the first."),
    ] = False,
    lateness: Annotated[
        str | None, typer.Option("--allowed-lateness", help="Such as 5s; as alert.allowed_lateness_s has it unless given.")
    ] = None,
    plot: Annotated[Path | None, typer.Option("--plot", help="Draw the keys into this file, .png or .svg.")] = None,
    keys: Annotated[list[str] | None, typer.Option("--keys", help="Draw this key; may be given several times.")] = None,
    max_keys: Annotated[int, typer.Option("--max-keys", min=1, max=50, help="Draw the so many most eventful keys.")] = 6,
    strict: Annotated[bool, typer.Option("--strict", help="Fail at the first line that cannot be read.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=0, help="List so many alerts and incidents.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object with everything.")] = False,
) -> None:
    """Run alert rules over history, and say how they did.

    The input holds signals (`tidings schema signal`), predictions, or rows that say when, what about, and how it was meant; a
    topic is read up to its present end. It is decided by the code of the live worker. With --labels it tells precision, recall
    and delay; each incident is `{"alert_key": ..., "start": ..., "end": ...}`. Lines that cannot be read are counted and
    named. Exits with 0; with 1 if the input cannot be read, with --strict any line of it; with 130 on Ctrl-C, after telling
    what was found so far.

        tidings backtest --rules rules.yaml --input sentiment.signals

        tidings backtest --input signals.jsonl --labels incidents.jsonl --plot timeline.png

        tidings backtest --input signals.parquet --labels incidents.jsonl --compare stricter.yaml

        tidings backtest --input sentiment.shadow --shadow
    """
    from worker.app import load_settings
    from worker.backtest import running, timeline

    if shadow and compare:
        raise typer.BadParameter("two models are compared under one rule file", param_hint="--compare")
    settings = load_settings()
    lateness_ms = round(settings.alert.allowed_lateness_s * 1_000)
    if lateness is not None:
        lateness_ms = _milliseconds("--allowed-lateness", lateness)
    known = _rules(rules)
    plan = running.Plan(known, known if shadow else _rules(compare) if compare else None, lateness_ms, strict)
    names = ("serving", "shadow") if shadow else (str(rules), str(compare))
    grace_ms = _milliseconds("--grace", grace)
    held_to = _labels(labels, grace_ms) if labels else None
    if plot:
        timeline.require_matplotlib()
    with _opened(source, settings, shadow=shadow) as opened:
        report = _report(opened, plan, held_to, names)
        _tell(report, limit, as_json=as_json)
        if report.ran.interrupted:
            raise typer.Exit(130)
        if plot:
            drawing = timeline.Drawing(plot, keys or (), max_keys)
            timeline.draw(opened, plan, report, held_to.incidents if held_to else (), drawing)
            typer.echo(f"drew {plot}", err=True)


def _opened(source: str, settings: "Settings", *, shadow: bool) -> "AbstractContextManager[Input]":
    from worker.backtest import inputs
    from worker.backtest import shadow as shadowed

    if shadow:
        return shadowed.opened(source, settings.kafka)
    return inputs.opened(source, settings.kafka, round(settings.score.max_future_s * 1_000))


def _report(opened: "Input", plan: "Plan", labels: "Labels | None", names: tuple[str, str]) -> "Report":
    from worker.backtest import comparing, report, running, scoring

    ran = running.run(opened, plan)
    outcomes = [ran.outcome] if ran.other is None else [ran.outcome, ran.other]
    sides = tuple(report.Side(name, found, scoring.score(found, labels)) for name, found in zip(names, outcomes, strict=False))
    compared = comparing.compare(ran.outcome, ran.other) if ran.other else None
    return report.Report(opened.name, ran, sides, compared, labels is not None)


def _tell(report: "Report", limit: int, *, as_json: bool) -> None:
    from worker.backtest.report import as_json as plain
    from worker.backtest.report import show

    if as_json:
        typer.echo(json.dumps(plain(report)))
        return
    console = Console()
    show(report, console if console.is_terminal else Console(width=_WIDE), limit)


def _rules(path: Path) -> "RuleSet":
    from worker.alert.rules import parse_rules

    try:
        return parse_rules(_read(path).decode(), str(path))
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path} is no UTF-8: {error}") from error


def _labels(path: Path, grace_ms: int) -> "Labels":
    from worker.backtest.incidents import parse_incidents
    from worker.backtest.scoring import Labels

    return Labels(parse_incidents(_read(path), str(path)), grace_ms)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from error


def _milliseconds(option: str, text: str) -> int:
    from worker.alert.parameters import parse_duration

    try:
        return parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error
