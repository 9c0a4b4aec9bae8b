from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from tests.unit.worker.builders import review
from worker.codec import decode_feedback, encode_review
from worker.errors import AbortedError, RetryableError
from worker.messages import Feedback, Review
from worker.review.desk import Desk, DeskOptions
from worker.testing.broker import InMemoryBroker, InMemorySink, InMemorySource

QUESTIONS, ANSWERS, GROUP = "sentiment.review", "sentiment.feedback", "tidings-review"
NOW = datetime(2026, 1, 2, tzinfo=UTC)


class Clock:
    """Half a second passes each time that somebody looks."""

    now_s = 0.0

    def __call__(self) -> float:
        """Say what time it is."""
        self.now_s += 0.5
        return self.now_s


def asking(count: int = 6, partitions: int = 2) -> InMemoryBroker:
    """A broker with so many questions, m0 and on."""
    broker = InMemoryBroker({QUESTIONS: partitions, ANSWERS: 1})
    for number in range(count):
        broker.send(QUESTIONS, encode_review(review(id=f"m{number}")), key=b"m%d" % number)
    return broker


def opened(broker: InMemoryBroker, annotator: str = "ann", sink: InMemorySink | None = None) -> Desk:
    """A desk on the broker."""
    options = DeskOptions(QUESTIONS, ANSWERS, annotator)
    desk = Desk(InMemorySource(broker, GROUP), sink or InMemorySink(broker), options, Clock())
    desk.open()
    return desk


def answers(broker: InMemoryBroker) -> list[Feedback]:
    """What is on the topic of answers."""
    return [decode_feedback(record.value) for record in broker.records(ANSWERS)]


def every(desk: Desk) -> Iterator[Review]:
    """The questions until there is none."""
    while (question := desk.next()) is not None:
        yield question


def test_an_answer_says_what_was_scored_and_by_whom() -> None:
    """The whole text, with its title; the label, who gave it and when, and what the model had said."""
    broker = asking(0, 1)
    broker.send(QUESTIONS, encode_review(review(id="id-1", title="Markets", text="Acme fell")))
    desk = opened(broker, "kim")
    question = desk.next()
    assert question is not None
    said = desk.answer(question, "negative", NOW)
    assert answers(broker) == [said]
    assert said == Feedback(
        id="id-1", text="Markets\nAcme fell", label="negative", annotator="kim", at=NOW, predicted="positive", model_version="1"
    )


def test_each_question_is_asked_once_and_what_is_skipped_is_gone() -> None:
    """Across all partitions; who comes later goes on behind."""
    broker = asking()
    desk = opened(broker)
    for number, question in enumerate(every(desk)):
        if number % 2:
            desk.pass_over()
        else:
            desk.answer(question, "neutral", NOW)
    assert len({said.id for said in answers(broker)}) == len(answers(broker)) == 3
    assert desk.next() is None


def test_what_was_not_answered_comes_again() -> None:
    """A question that was on the screen when the process ended is asked of the next one."""
    broker = asking(3, 1)
    first = opened(broker)
    shown = first.next()
    assert shown is not None
    first.answer(shown, "positive", NOW)
    left = first.next()
    broker.groups[GROUP].members.clear()
    assert [question.id for question in every(opened(broker))] == ["m1", "m2"]
    assert left is not None
    assert left.id == "m1"


def test_a_rolled_back_answer_is_none_and_its_question_comes_again() -> None:
    """Neither the answer nor the position is there."""
    broker = asking(2, 1)
    sink = InMemorySink(broker)
    desk = opened(broker, sink=sink)
    question = desk.next()
    assert question is not None
    sink.fail_next = "abort"
    with pytest.raises(AbortedError):
        desk.answer(question, "positive", NOW)
    assert answers(broker) == []
    for again in every(desk):
        desk.answer(again, "negative", NOW)
    assert [said.id for said in answers(broker)] == ["m0", "m1"]


def test_a_question_that_went_to_somebody_else_is_not_answered_here() -> None:
    """While a person thinks, the membership is kept; when the partition goes, so does the question."""
    broker = asking(4, 1)
    desk = opened(broker)
    question = desk.next()
    assert question is not None
    assert desk.keep()
    broker.rebalance(GROUP, lost=True)
    broker.groups[GROUP].members[0].expect(set(), lost=True)
    assert not desk.keep()
    with pytest.raises(AbortedError, match="somebody else"):
        desk.answer(question, "positive", NOW)
    assert answers(broker) == []


def test_a_person_may_think_for_long() -> None:
    """What is kept polls and takes nothing in meanwhile; the next question is the one after."""
    broker = asking(3, 1)
    desk = opened(broker)
    question = desk.next()
    assert question is not None
    assert all(desk.keep() for _ in range(1_000))
    desk.answer(question, "positive", NOW)
    following = desk.next()
    assert following is not None
    assert following.id == "m1"


def test_what_is_no_question_is_passed_over() -> None:
    """Somebody else's record does not stand in the way, now or later."""
    broker = asking(0, 1)
    for value in (b"{}", None, encode_review(review(id="real")), b"\xff"):
        broker.send(QUESTIONS, value)
    desk = opened(broker)
    question = desk.next()
    assert question is not None
    assert question.id == "real"
    desk.pass_over()
    assert desk.next() is None
    (committed,) = broker.committed(GROUP).values()
    assert committed >= 4


def test_one_reviewer_too_many_is_told() -> None:
    """There is nothing to wait for where others have all partitions."""
    broker = asking(1, 1)
    first, second = opened(broker), opened(broker)
    assert first.next() is not None
    with pytest.raises(RetryableError, match=r"no partition of sentiment\.review"):
        second.next()
