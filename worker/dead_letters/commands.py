"""`tidings dead-letters`: list, show, replay."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer
from rich.console import Console

if TYPE_CHECKING:
    from worker.dead_letters.filters import Filters
    from worker.dead_letters.letter import DeadLetter
    from worker.dead_letters.reading import Selection
    from worker.dead_letters.replay import Destination
    from worker.settings import KafkaSettings

    _Read = Callable[[str], Iterator[DeadLetter]]

T = TypeVar("T")
MAX_ROWS = 200
"""In the table, unless --limit says otherwise: a table is laid out as a whole."""
_WIDE = 200

Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Dead letters by name, as `list` shows them.")]
Reason = Annotated[list[str] | None, typer.Option("--reason", help="Refused for this reason; may be given several times.")]
Topic = Annotated[str | None, typer.Option("--topic", help="Came from this topic.")]
Partition = Annotated[int | None, typer.Option("--partition", min=0, help="Came from this partition of its topic.")]
Offset = Annotated[str | None, typer.Option("--offset", help="Came from this offset, or a range: 17, 17..20, 17.., ..20.")]
Since = Annotated[str | None, typer.Option("--since", help="Refused at this time or later: RFC 3339, or 2h for two hours ago.")]
Until = Annotated[str | None, typer.Option("--until", help="Refused before this time.")]
Key = Annotated[str | None, typer.Option("--key", help="With this key, as `list` shows it.")]
Grep = Annotated[str | None, typer.Option("--grep", help="With a body in which this regular expression is found.")]
After = Annotated[str | None, typer.Option("--after", help="Behind this dead letter: goes on where a replay was broken off.")]
Limit = Annotated[int | None, typer.Option("--limit", min=1, help="The first so many, in order of partition and offset.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON object a line.")]


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(
        name="dead-letters",
        help="Look at the records that could not be scored, and send them again.",
        no_args_is_help=True,
        rich_markup_mode="markdown",
    )
    group.command("list")(list_letters)
    group.command("show")(show)
    group.command("replay")(replay)
    app.add_typer(group)


def list_letters(
    reason: Reason = None,
    topic: Topic = None,
    partition: Partition = None,
    offset: Offset = None,
    since: Since = None,
    until: Until = None,
    key: Key = None,
    grep: Grep = None,
    after: After = None,
    limit: Limit = None,
    as_json: Json = False,
) -> None:
    """List dead letters, and count them by reason.

    tidings dead-letters list --since 2h

    tidings dead-letters list --reason not_json --topic news --limit 20

    tidings dead-letters list --grep 'breaking' --json
    """
    from worker.dead_letters import showing

    selection = _selection((), limit, _filters(reason, topic, partition, offset, since, until, key, grep, after))
    rows: list[DeadLetter] = []
    summary = showing.Summary()
    with _letters(selection) as letters:
        for letter in letters("reading dead letters"):
            summary.add(letter)
            if as_json:
                typer.echo(showing.as_json(letter))
            elif len(rows) < (limit or MAX_ROWS):
                rows.append(letter)
    if as_json:
        return
    if rows:
        _console().print(showing.table(rows))
    typer.echo(str(summary), err=True)
    if summary.total > len(rows):
        typer.echo(f"the first {len(rows)} are shown; --limit shows more, filters others, --json all", err=True)


def show(
    ids: Ids = None,
    reason: Reason = None,
    topic: Topic = None,
    partition: Partition = None,
    offset: Offset = None,
    since: Since = None,
    until: Until = None,
    key: Key = None,
    grep: Grep = None,
    after: After = None,
    limit: Limit = None,
    as_json: Json = False,
    raw: Annotated[bool, typer.Option("--raw", help="The body of one letter and nothing else, byte for byte.")] = False,
) -> None:
    """Show everything about dead letters: reason, origin, headers, body; bytes that are no UTF-8 as hex.

    tidings dead-letters show 0-17

    tidings dead-letters show --topic news --partition 3 --offset 204

    tidings dead-letters show 0-17 --raw > body.bin
    """
    from worker.dead_letters import showing

    filters = _filters(reason, topic, partition, offset, since, until, key, grep, after)
    selection = _selection(ids or (), 1 if raw else limit, filters)
    if not (ids or filters.given or limit):
        raise typer.BadParameter("say which: by ID, by filters, or --limit 1 for the first")
    with _letters(selection) as letters:
        for letter in letters("looking for dead letters"):
            if raw:
                sys.stdout.buffer.write(letter.letter.value or b"")
            elif as_json:
                typer.echo(showing.as_json(letter))
            else:
                _console().print(showing.whole(letter), "", soft_wrap=True)


def replay(
    ids: Ids = None,
    reason: Reason = None,
    topic: Topic = None,
    partition: Partition = None,
    offset: Offset = None,
    since: Since = None,
    until: Until = None,
    key: Key = None,
    grep: Grep = None,
    after: After = None,
    limit: Limit = None,
    all_letters: Annotated[bool, typer.Option("--all", help="All there are, where neither IDs nor filters are given.")] = False,
    to: Annotated[str | None, typer.Option("--to", metavar="TOPIC", help="To this topic, not where each came from.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be sent, and send nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Send dead letters again to where they came from, with their key, time and headers.

    The header `tidings.attempt` counts the attempts, `tidings.replayed_from` names the dead letter. What is refused again
    becomes a new dead letter; the old one stays, so sending it twice scores it twice. Mind the retention of the input topic
    when a letter's own time lies further back. Exits with 1 if any could not be delivered, with 130 on Ctrl-C.

        tidings dead-letters replay 0-17 0-18

        tidings dead-letters replay --reason model_output_invalid --since 2h --dry-run

        tidings dead-letters replay --all --to news-repaired --yes
    """
    from worker.dead_letters.replay import destination

    filters = _filters(reason, topic, partition, offset, since, until, key, grep, after)
    if not (ids or filters.given or all_letters):
        raise typer.BadParameter("say which: by ID, by filters, or --all")
    where = destination(_kafka(), to)
    with _letters(_selection(ids or (), limit, filters)) as letters:
        if dry_run or (sys.stdin.isatty() and not yes):
            _survey(letters, to, dry_run=dry_run, as_json=as_json)
        if not dry_run:
            _send(letters, where, as_json=as_json)


def _survey(letters: "_Read", to: str | None, *, dry_run: bool, as_json: bool) -> None:
    """Count what would be sent and where to; ask whether to go on unless it is a dry run."""
    from worker.dead_letters import showing
    from worker.dead_letters.filters import escaped

    summary = showing.Summary()
    for letter in letters("counting"):
        summary.add(letter)
        if dry_run and as_json:
            typer.echo(showing.as_json(letter))
    where = to or ", ".join(f"{escaped(name)} {count:,}" for name, count in summary.topics.most_common()) or "nowhere"
    typer.echo(f"{summary}\nto {where}", err=True)
    if not dry_run and not typer.confirm("Send them again?", err=True):
        raise typer.Exit(1)


def _send(letters: "_Read", where: "Destination", *, as_json: bool) -> None:
    from worker.adapters.kafka import Resender
    from worker.dead_letters.filters import escaped
    from worker.dead_letters.replay import replay as send_again

    outcome = send_again(letters("sending again"), where, Resender(_kafka()))
    if as_json:
        import json

        typer.echo(json.dumps({name: getattr(outcome, name) for name in outcome.__struct_fields__}))
    for name, why in outcome.failures.items():
        typer.secho(f"{name}: {escaped(why)}", fg="red", err=True)
    said = f"{outcome.delivered:,} sent again" + (f", {outcome.failed:,} could not be" if outcome.failed else "")
    if outcome.unknown:
        said += f", of {outcome.unknown:,} it is not known"
    if outcome.interrupted:
        said += f"; broken off after {outcome.last or 'none'}" + (f", --after {outcome.last} goes on" if outcome.last else "")
    typer.echo(said, err=True)
    raise typer.Exit(130 if outcome.interrupted else 1 if outcome.failed else 0)


def _console() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=_WIDE)


def _kafka() -> "KafkaSettings":
    from worker.app import load_settings

    return load_settings().kafka


@contextmanager
def _letters(selection: "Selection") -> Iterator["_Read"]:
    from worker.dead_letters.reading import Letters

    with closing(Letters(_kafka(), selection)) as letters:
        yield letters.read


def _selection(ids: Sequence[str], limit: int | None, filters: "Filters") -> "Selection":
    from worker.dead_letters.filters import parse_place
    from worker.dead_letters.reading import Selection

    return Selection([_parsed("ID", parse_place, name) for name in ids], filters, limit)


def _filters(
    reason: list[str] | None,
    topic: str | None,
    partition: int | None,
    offset: str | None,
    since: str | None,
    until: str | None,
    key: str | None,
    grep: str | None,
    after: str | None,
) -> "Filters":
    from worker.dead_letters import filters as parse

    now_ms = int(time.time() * 1000)

    def moment(text: str) -> int:
        return parse.parse_moment(text, now_ms)

    return parse.Filters(
        reasons=frozenset(reason or ()),
        topic=topic,
        partition=partition,
        offsets=None if offset is None else _parsed("--offset", parse.parse_offsets, offset),
        since_ms=None if since is None else _parsed("--since", moment, since),
        until_ms=None if until is None else _parsed("--until", moment, until),
        key=key,
        grep=None if grep is None else _parsed("--grep", parse.parse_pattern, grep),
        after=None if after is None else _parsed("--after", parse.parse_place, after),
    )


def _parsed(option: str, parse: Callable[[str], T], text: str) -> T:
    """Tell what is wrong with an option's value as wrong usage."""
    try:
        return parse(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from error
