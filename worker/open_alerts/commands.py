"""`tidings alerts`: list, show, ack, silence, history, tail."""

import getpass
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.console import Console

if TYPE_CHECKING:
    from worker.messages import AlertState
    from worker.open_alerts.actions import Desk
    from worker.open_alerts.book import Book
    from worker.settings import Settings

T = TypeVar("T")
_WIDE = 200
"""Of a table that goes into a pipe, where nothing is to be cut off."""
_AUTHOR_CHARS, _COMMENT_CHARS = 256, 1_024


class State(StrEnum):
    """What an open alert can be."""

    FIRING = "firing"
    STALE = "stale"


Id = Annotated[str, typer.Argument(metavar="ID", help="The alert's id as `list` shows it, or the beginning of it.")]
Matchers = Annotated[
    list[str] | None,
    typer.Option("--matcher", "-m", help="Labels as in Alertmanager, such as severity=critical; several: all."),
]
Silenced = Annotated[bool | None, typer.Option("--silenced/--not-silenced", help="Kept quiet by a silence or another alert.")]
Acknowledged = Annotated[bool | None, typer.Option("--acknowledged/--not-acknowledged", help="Somebody has taken it.")]
Comment = Annotated[str, typer.Option("--comment", "-c", help="Why; everybody sees it.")]
Author = Annotated[str | None, typer.Option("--author", help="Who; by default the user of the system.")]
Wait = Annotated[float, typer.Option("--wait", min=0, help="Seconds to wait until the alert role has taken it.")]
Explain = Annotated[bool, typer.Option("--explain", help="Also which words drove the predictions; needs the training package.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    settings = {"no_args_is_help": True, "rich_markup_mode": "markdown"}
    group = typer.Typer(name="alerts", help="Look at alerts, take them on, and keep them quiet.", **settings)  # type: ignore[arg-type]
    silences = typer.Typer(name="silence", help="Keep alerts quiet for a while.", **settings)  # type: ignore[arg-type]
    group.command("list")(list_alerts)
    group.command("show")(show)
    group.command("ack")(ack)
    group.command("history")(history)
    group.command("tail")(tail)
    silences.command("add")(add_silence)
    silences.command("list")(list_silences)
    silences.command("expire")(expire_silence)
    group.add_typer(silences)
    app.add_typer(group)


def list_alerts(
    state: Annotated[list[State] | None, typer.Option("--state", help="In this state; may be given twice.")] = None,
    matcher: Matchers = None,
    silenced: Silenced = None,
    acknowledged: Acknowledged = None,
    as_json: Json = False,
) -> None:
    """List the open alerts, the newest first. Reads Redis alone.

    tidings alerts list

    tidings alerts list --not-acknowledged --not-silenced

    tidings alerts list -m severity=critical -m 'topic=~"film|music"' --json
    """
    from worker.open_alerts import showing
    from worker.open_alerts.book import Wanted

    names: dict[State, AlertState] = {State.FIRING: "firing", State.STALE: "stale"}
    states = frozenset(names[one] for one in state or ())
    wanted = Wanted(states=states, matchers=_matchers(matcher, "--matcher"), silenced=silenced, acknowledged=acknowledged)
    with _book() as book:
        events = [entry.event for entry in book.alerts(wanted)]
    if as_json:
        for event in events:
            typer.echo(showing.as_json(event))
        return
    if events:
        _console().print(showing.alerts_table(events))
    typer.echo(f"{len(events):,} open alert{'' if len(events) == 1 else 's'}", err=True)


def show(alert_id: Id, explain: Explain = False, as_json: Json = False) -> None:
    """Show everything about an alert, open or not: why it fires, the messages that weighed most, its history.

    With --explain the model is asked again, without each word in turn, about the messages in the evidence as they stand there;
    with --json that is one line more.

    tidings alerts show 3f2a9c0d11e4b7aa

    tidings alerts show 3f2a --json

    tidings alerts show 3f2a --explain
    """
    from worker.errors import SelectionError
    from worker.open_alerts import explaining, showing
    from worker.open_alerts.history import Past, events

    settings = _settings()
    past = events(settings.kafka, Past(alert_id=alert_id))
    with _book() as book:
        found = [entry.event for entry in book.alerts() if entry.event.alert_id.startswith(alert_id)]
    if len({event.alert_id for event in (*past, *found)}) != 1:
        problem = "more than one alert has an id that begins with" if past or found else "there is no alert"
        raise SelectionError(f"{problem} {alert_id}; `tidings alerts list` and `tidings alerts history` show the ids")
    latest = (found or past)[-1]
    words = explaining.explained(latest, settings.model.repository) if explain else None
    if as_json:
        for event in past or [latest]:
            typer.echo(showing.as_json(event))
        if words:
            typer.echo(explaining.as_json(words))
        return
    _console().print(showing.whole(latest, past))
    if words:
        _console().print(explaining.shown(words, latest.model))


def ack(alert_id: Id, comment: Comment, author: Author = None, wait: Wait = 10.0, as_json: Json = False) -> None:
    """Take an open alert upon yourself; every later event of it says so, until it resolves.

    Who acknowledges an alert that somebody else has takes it over.

        tidings alerts ack 3f2a9c0d11e4b7aa --comment "looking at it"

        tidings alerts ack 3f2a -c "the vendor knows" --author kim
    """
    from worker.messages import Acknowledge
    from worker.open_alerts import showing

    said, who = _said(comment, "--comment", _COMMENT_CHARS), _author(author)
    with _desk(wait) as (desk, book):
        entry = book.alert(alert_id)
        now_ms = int(time.time() * 1000)
        done = desk.acknowledge(entry, Acknowledge(entry.event.alert_key, entry.event.alert_id, who, said, now_ms))
    typer.echo(
        showing.as_json(done) if as_json else f"{done.alert_id} ({done.rule} on {done.alert_key}) is acknowledged by {who}"
    )


def add_silence(
    matchers: Annotated[list[str], typer.Argument(metavar="MATCHER...", help="Labels as in Alertmanager; all must match.")],
    comment: Comment,
    duration: Annotated[str | None, typer.Option("--for", help="How long from now on: 30m, 2h, 1d12h.")] = None,
    until: Annotated[str | None, typer.Option("--until", help="Until this time: RFC 3339.")] = None,
    since: Annotated[str | None, typer.Option("--from", help="Not before this time, RFC 3339; by default at once.")] = None,
    author: Author = None,
    wait: Wait = 10.0,
    as_json: Json = False,
) -> None:
    """Keep alerts quiet for a while: they live on, but nobody is woken by them. Times are event time.

    An open alert says that it is quiet when it is looked at next, at the end of a bucket of its rule.

        tidings alerts silence add topic=film severity!=critical --for 2h --comment "the premiere"

        tidings alerts silence add 'alertname=~"share-.*"' --until 2026-12-01T08:00:00Z -c "until the fix is out"
    """
    from worker.alert.matchers import admit, fault_of
    from worker.messages import Silence
    from worker.open_alerts import showing

    texts = _matchers(matchers, "MATCHER")
    silence = Silence(
        id=uuid.uuid4().hex[:16],
        matchers=texts,
        ends_at_ms=_end(duration, until),
        author=_author(author),
        comment=_said(comment, "--comment", _COMMENT_CHARS),
        starts_at_ms=0 if since is None else _moment("--from", since),
    )
    if fault := fault_of(silence):
        raise typer.BadParameter(fault)
    with _desk(wait) as (desk, book):
        desk.silence(silence)
        matched = sum(admit(texts, entry.event.labels) for entry in book.alerts())
    if as_json:
        typer.echo(showing.as_json(silence))
        return
    typer.echo(f"{silence.id} until {showing.moment(silence.ends_at_ms)} UTC; open alerts that it matches: {matched}")


def list_silences(as_json: Json = False) -> None:
    """List the silences that were not taken back, those that end first at the top. Reads Redis alone.

    tidings alerts silence list
    """
    from worker.open_alerts import showing

    with _book() as book:
        silences = book.silences()
    if as_json:
        for silence in silences:
            typer.echo(showing.as_json(silence))
        return
    if silences:
        _console().print(showing.silences_table(silences))
    typer.echo(f"{len(silences):,} silence{'' if len(silences) == 1 else 's'}", err=True)


def expire_silence(
    silence_id: Annotated[str, typer.Argument(metavar="ID", help="The silence's id, as `silence list` shows it.")],
    wait: Wait = 10.0,
    as_json: Json = False,
) -> None:
    """End a silence now.

    tidings alerts silence expire 9d0c41f2ab5e7733
    """
    import json

    with _desk(wait) as (desk, _):
        desk.expire(silence_id)
    typer.echo(json.dumps({"expired": silence_id}) if as_json else f"{silence_id} is over")


def history(
    since: Annotated[str | None, typer.Option("--since", help="Published since: RFC 3339, or 24h for a day ago.")] = None,
    matcher: Matchers = None,
    as_json: Json = False,
) -> None:
    """Tell what has become of alerts, from the topic of alert events, as far back as that reaches.

    tidings alerts history --since 24h

    tidings alerts history -m topic=film --json
    """
    from worker.open_alerts import showing
    from worker.open_alerts.history import Past, events

    since_ms = None if since is None else _moment("--since", since)
    found = events(_settings().kafka, Past(since_ms=since_ms, matchers=_matchers(matcher, "--matcher")))
    if as_json:
        for event in found:
            typer.echo(showing.as_json(event))
        return
    if found:
        _console().print(showing.history_table(found))
    typer.echo(f"{len(found):,} event{'' if len(found) == 1 else 's'}", err=True)


def tail(
    from_beginning: Annotated[
        bool, typer.Option("--from-beginning", help="Begin with the oldest event, not the next.")
    ] = False,
    count: Annotated[int | None, typer.Option("--count", "-n", min=1, help="Leave after so many events.")] = None,
    as_json: Json = False,
) -> None:
    """Follow alert events as they are published. Ctrl-C leaves.

    tidings alerts tail

    tidings alerts tail --from-beginning --count 10 --json
    """
    from worker.tail import Following
    from worker.tail import tail as follow

    follow(_settings().kafka, "alerts", Following(from_beginning, count, as_json), Console())


def _settings() -> "Settings":
    from worker.app import load_settings

    return load_settings()


@contextmanager
def _book() -> Iterator["Book"]:
    from worker.open_alerts.book import Book
    from worker.stores import connect_store

    settings = _settings()
    with closing(connect_store(settings)) as store:
        yield Book(store, settings.kafka.topics.signals, settings.kafka.partitions)


@contextmanager
def _desk(wait_s: float) -> Iterator[tuple["Desk", "Book"]]:
    from worker.adapters.kafka import KafkaControls
    from worker.open_alerts.actions import Desk

    kafka = _settings().kafka
    with _book() as book, closing(KafkaControls(kafka)) as log:
        yield Desk(log, book, kafka.topics.signals, wait_s), book


def _console() -> Console:
    return Console() if sys.stdout.isatty() else Console(width=_WIDE)


def _matchers(texts: list[str] | None, option: str) -> tuple[str, ...]:
    from worker.alert.matchers import parse_matchers

    for text in texts or ():
        _parsed(option, parse_matchers, text)
    return tuple(texts or ())


def _end(duration: str | None, until: str | None) -> int:
    from worker.alert.parameters import parse_duration

    if (duration is None) == (until is None):
        raise typer.BadParameter("say how long: --for 2h, or --until TIME")
    if duration is not None:
        return int(time.time() * 1000) + _parsed("--for", parse_duration, duration)
    return _moment("--until", until or "")


def _moment(option: str, text: str) -> int:
    from worker.dead_letters.filters import parse_moment
    from worker.messages import MAX_EVENT_TIME_MS

    found = _parsed(option, lambda text: parse_moment(text, int(time.time() * 1000)), text)
    if not 0 <= found <= MAX_EVENT_TIME_MS:
        raise typer.BadParameter("expected a time of the years 1970 to 9999", param_hint=option)
    return found


def _author(author: str | None) -> str:
    try:
        who = author if author is not None else getpass.getuser()
    except (OSError, KeyError) as error:
        raise typer.BadParameter("the system does not know who you are: say who with --author") from error
    return _said(who, "--author", _AUTHOR_CHARS)


def _said(text: str, option: str, limit: int) -> str:
    if not text.strip() or len(text) > limit:
        raise typer.BadParameter(f"expected 1 to {limit:,} characters, not white space alone", param_hint=option)
    return text


def _parsed(option: str, parse: Callable[[str], T], text: str) -> T:
    """Tell what is wrong with an option's value as wrong usage."""
    try:
        return parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error
