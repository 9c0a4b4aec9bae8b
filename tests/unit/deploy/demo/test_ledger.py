"""The ledger counts what is lost, doubled, unexpected or altered, and nothing else."""

import math

import pytest

from deploy.local.demo.ledger import Ledger, Position, Seen, percentile
from tests.unit.deploy.demo.builders import a_dead_letter, a_message, a_prediction, bad_input

POSITION = Position("news", 0, 7)


@pytest.fixture
def ledger() -> Ledger:
    """Two messages and one malformed record, sent and delivered."""
    ledger = Ledger()
    ledger.sent(a_message("m-1", rated="negative"), 10.0)
    ledger.sent(a_message("m-2", rated="positive"), 10.5)
    ledger.sent(bad_input(), 11.0)
    ledger.delivered(bad_input(), POSITION)
    return ledger


def test_unanswered_is_lost(ledger: Ledger) -> None:
    """What has no answer counts as lost, messages and malformed records alike."""
    assert ledger.lost == ["m-1", "m-2", "a number"]
    assert not ledger.settled


def test_all_answered(ledger: Ledger) -> None:
    """One prediction a message and one dead letter a malformed record is what was promised."""
    ledger.prediction(a_prediction("m-1"))
    ledger.prediction(a_prediction("m-2"))
    ledger.dead_letter(a_dead_letter(POSITION))
    assert (ledger.messages, ledger.predictions, ledger.malformed, ledger.dead_letters) == (2, 2, 1, 1)
    assert (ledger.lost, ledger.duplicates, ledger.unexpected, ledger.altered) == ([], 0, [], [])
    assert ledger.settled


def test_each_record_more_is_a_duplicate(ledger: Ledger) -> None:
    """Three predictions of one message are two too many; a second dead letter is one."""
    for _ in range(3):
        ledger.prediction(a_prediction("m-1"))
    for _ in range(2):
        ledger.dead_letter(a_dead_letter(POSITION))
    assert ledger.duplicates == 3
    assert ledger.predictions == 1


def test_a_prediction_nobody_asked_for(ledger: Ledger) -> None:
    """A prediction with an id that was not sent is unexpected, and no answer to anything."""
    ledger.prediction(a_prediction("stranger"))
    assert len(ledger.unexpected) == 1
    assert ledger.predictions == 0


def test_a_prediction_under_another_key(ledger: Ledger) -> None:
    """The record's key is the message's id."""
    ledger.prediction(a_prediction("m-1", key=b"m-2"))
    assert len(ledger.unexpected) == 1


@pytest.mark.parametrize("value", [b"42 ", b"", None])
def test_an_altered_dead_letter(ledger: Ledger, value: bytes | None) -> None:
    """A dead letter that is not the very bytes that were sent does not count."""
    ledger.dead_letter(a_dead_letter(POSITION, value))
    assert len(ledger.altered) == 1
    assert ledger.dead_letters == 0


def test_an_empty_body_may_come_back_as_none() -> None:
    """Kafka's client reads an empty value and no value alike."""
    ledger = Ledger()
    ledger.delivered(bad_input(b"", "an empty body"), POSITION)
    ledger.dead_letter(a_dead_letter(POSITION, None))
    assert (ledger.altered, ledger.dead_letters) == ([], 1)


@pytest.mark.parametrize("position", [Position("news", 0, 8), Position("news", 1, 7), Position("chat", 0, 7)])
def test_a_dead_letter_of_a_good_message(ledger: Ledger, position: Position) -> None:
    """A dead letter is told by where its record stood; any other one is unexpected."""
    line = ledger.dead_letter(a_dead_letter(position))
    assert line == "unexpected: not_an_object"
    assert len(ledger.unexpected) == 1


def test_a_dead_letter_without_an_origin(ledger: Ledger) -> None:
    """A dead letter that does not say where it comes from is unexpected, not a crash."""
    ledger.dead_letter(Seen("sentiment.dead-letters", None, b"42", {}, 1.0))
    assert len(ledger.unexpected) == 1


def test_a_dead_letter_is_told_in_words(ledger: Ledger) -> None:
    """People read what was wrong and the worker's reason."""
    assert ledger.dead_letter(a_dead_letter(POSITION)) == "a number: not_an_object"


def test_undelivered(ledger: Ledger) -> None:
    """What Kafka refused is on record by name."""
    ledger.failed(a_message("m-1"), "too large")
    ledger.failed(bad_input(), "gone")
    assert ledger.undelivered == ["m-1: too large", "a number: gone"]


def test_latency_counts_from_sending(ledger: Ledger) -> None:
    """Latency is from produce to the reader, of the first prediction alone."""
    ledger.prediction(a_prediction("m-1", at_s=10.2))
    ledger.prediction(a_prediction("m-1", at_s=99.0))
    ledger.prediction(a_prediction("m-2", at_s=11.5))
    assert ledger.latency_ms(50) == pytest.approx(200)
    assert ledger.latency_ms(99) == pytest.approx(1000)
    assert ledger.throughput_per_s == pytest.approx(2 / 1.5)


def test_agreement_counts_rated_texts_only(ledger: Ledger) -> None:
    """Agreement is between the model's label and people's, where there is one."""
    ledger.sent(a_message("odd", rated=None), 11.0)
    for name in ("m-1", "m-2", "odd"):
        ledger.prediction(a_prediction(name, label="negative"))
    assert (ledger.agreed, ledger.rated) == (1, 2)


def test_nothing_yet() -> None:
    """An empty ledger has no latency and no throughput, and does not divide by zero."""
    ledger = Ledger()
    assert math.isnan(ledger.latency_ms(99))
    assert ledger.throughput_per_s == 0.0


@pytest.mark.parametrize(("percent", "expected"), [(50, 2), (51, 3), (99, 4), (100, 4), (1, 1)])
def test_percentile_is_nearest_rank(percent: float, expected: float) -> None:
    """The nearest-rank percentile is always one of the values."""
    assert percentile([4, 1, 3, 2], percent) == expected
