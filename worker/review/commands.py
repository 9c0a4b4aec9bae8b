"""`tidings review`: a person labels what the model is unsure of."""

import getpass
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

if TYPE_CHECKING:
    from worker.messages import Feedback, Label, Review
    from worker.review.desk import Desk
    from worker.settings import Settings

    _Key = Callable[[Callable[[], bool]], str]

_KEYS: "dict[str, Label]" = {"n": "negative", "u": "neutral", "p": "positive"}


class Answer(StrEnum):
    """What `--label` can say."""

    NEGATIVE = "negative"
    NEUTRAL = "neutral"
    POSITIVE = "positive"
    SKIP = "skip"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("review")(review)


def review(
    label: Annotated[Answer | None, typer.Option("--label", help="Give this answer, and ask nobody.")] = None,
    expected: Annotated[str | None, typer.Option("--id", help="With --label: only if this message is the next.")] = None,
    count: Annotated[int | None, typer.Option("--count", "-n", min=1, help="So many questions; with --label one.")] = None,
    annotator: Annotated[str | None, typer.Option(help="Whose answers these are; by default the user of the system.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Questions (or with --label the answers) one a line.")] = False,
) -> None:
    """Label the messages that the model is unsure of; the answers go to the topic of feedback, which training reads.

    Keys: n negative, u neutral, p positive, s skip for good, q leave. Questions are shared out among all who review at a time.
    Each answer commits together with the position behind its question: leaving at any moment loses none and doubles none.
    `score.review_share` has the worker ask at all.

        tidings review

        tidings review --json --count 20     # look at what waits, and answer nothing

        tidings review --label negative --id chat-0-17 --annotator kim --json
    """
    if expected and label is None:
        raise typer.BadParameter("it needs --label", param_hint="--id")
    with _desk(_settings(), annotator or getpass.getuser()) as desk:
        if label is not None:
            _answer(desk, label, expected, count or 1, as_json=as_json)
        elif as_json:
            _list(desk, count)
        else:
            _converse(desk, count)


def _list(desk: "Desk", count: int | None) -> None:
    from worker.review.showing import question_json

    for question, _ in zip(_questions(desk), range(count or sys.maxsize), strict=False):
        typer.echo(question_json(question))


def _answer(desk: "Desk", label: Answer, expected: str | None, count: int, *, as_json: bool) -> None:
    """Give one answer to the next `count` questions."""
    from worker.errors import SelectionError

    given = 0
    for _ in range(count):
        question = desk.next()
        if expected is not None and (question is None or question.id != expected):
            found = f"{question.id} is" if question else "nothing is"
            raise SelectionError(f"{found} next, not {expected}; `tidings review --json --count 1` shows what is")
        if question is None:
            break
        _tell(_settle(desk, question, label), as_json=as_json)
        given += 1
    typer.echo(f"{given:,} answered", err=True)


def _settle(desk: "Desk", question: "Review", label: Answer) -> "Feedback | None":
    from worker.review.keys import uninterrupted

    with uninterrupted():
        if label is Answer.SKIP:
            desk.pass_over()
            return None
        return desk.answer(question, _KEYS[_letter(label)], datetime.now(UTC))


def _letter(label: Answer) -> str:
    return next(key for key, name in _KEYS.items() if name == label.value)


def _tell(feedback: "Feedback | None", *, as_json: bool) -> None:
    from worker.review.showing import answer_json

    if as_json and feedback is not None:
        typer.echo(answer_json(feedback))


def _converse(desk: "Desk", count: int | None) -> None:
    """Ask a person, one question at a time."""
    from worker.errors import AbortedError
    from worker.review.keys import raw_keys

    if not sys.stdin.isatty():
        raise typer.BadParameter("standard input is no terminal: use --label, or --json to look", param_hint="tidings review")
    console, answered = Console(), 0
    with raw_keys() as key:
        while answered < (count or sys.maxsize) and (question := desk.next()) is not None:
            label = _ask(desk, question, key, console)
            if label is None:
                break
            try:
                answered += _settle(desk, question, label) is not None
            except AbortedError as error:
                console.print(f"not taken: {error}", style="yellow", markup=False)
    typer.echo(f"{answered:,} answered", err=True)


def _ask(desk: "Desk", question: "Review", key: "_Key", console: Console) -> Answer | None:
    """Show a question until there is an answer; None for a wish to leave."""
    from worker.review.showing import panel

    console.print(panel(question))
    while True:
        pressed = key(desk.keep).lower()
        if pressed in _KEYS:
            return Answer(_KEYS[pressed])
        if pressed == "q":
            return None
        if pressed in {"s", ""}:  # "": it has gone to somebody else, which passing it over finds out
            return Answer.SKIP


def _questions(desk: "Desk") -> Iterator["Review"]:
    while (question := desk.next()) is not None:
        yield question


@contextmanager
def _desk(settings: "Settings", annotator: str) -> Iterator["Desk"]:
    """A desk on Kafka; the source is closed before the sink."""
    from worker.adapters.kafka import KafkaSink, KafkaSource, require_topics
    from worker.ops import log
    from worker.review.desk import Desk, DeskOptions
    from worker.settings import process_id

    log.configure(settings.log.model_copy(update={"level": "warning"}))
    kafka, group = settings.kafka, f"{settings.kafka.group_prefix}-review"
    require_topics(kafka, {kafka.topics.review: "Read", kafka.topics.feedback: "Write"})
    options = DeskOptions(kafka.topics.review, kafka.topics.feedback, annotator)
    with closing(KafkaSink(kafka, f"{group}-{process_id()}")) as sink, closing(KafkaSource(kafka, group)) as source:
        desk = Desk(source, sink, options, time.monotonic)
        desk.open()
        yield desk


def _settings() -> "Settings":
    from worker.app import load_settings

    return load_settings()
