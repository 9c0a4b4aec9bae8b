from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.worker.builders import NOW_MS, record
from tests.unit.worker.dead_letters.builders import as_stored, letter
from worker.dead_letters.letter import read_letter, sent_again
from worker.messages import Headers, Origin, Record

header_names = st.text() | st.sampled_from(["tidings.reason", "tidings.attempt", "tidings.replayed_from", "tidings.topic"])
any_headers = st.lists(st.tuples(header_names, st.none() | st.binary()), max_size=6).map(tuple)


def is_marked(headers: Headers) -> bool:
    """Whether headers end as a replay's do."""
    return tuple(name for name, _ in headers[-2:]) == ("tidings.attempt", "tidings.replayed_from")


@given(any_headers, st.none() | st.binary(), st.none() | st.binary(), st.integers(1, 2**50))
def test_a_replay_is_the_record_as_it_was(headers: Headers, key: bytes | None, value: bytes | None, time_ms: int) -> None:
    """Key, value, time and headers, also those that a producer named like ours; then the two of the replay, and no more."""
    if is_marked(headers):
        return
    found = read_letter(as_stored(record(value, key=key, headers=headers, timestamp_ms=time_ms)))
    again = sent_again(found, "news")
    assert (again.topic, again.key, again.value, again.timestamp_ms) == ("news", key, value, time_ms)
    assert again.headers == (*headers, ("tidings.attempt", b"2"), ("tidings.replayed_from", b"dlq-0-17"))


@given(any_headers, st.integers(1, 30))
def test_attempts_do_not_pile_headers_up(headers: Headers, attempts: int) -> None:
    """However often it was tried, the next replay has the record's own headers and one mark, which counts."""
    if is_marked(headers):
        return
    found = read_letter(as_stored(record(b"{", headers=headers)))
    for number in range(attempts):
        again = sent_again(found, "news")
        found = read_letter(as_stored(record(again.value, headers=again.headers), offset=18 + number))
    assert (found.attempt, found.headers) == (attempts + 1, headers)
    assert found.replayed_from == f"dlq-0-{17 + attempts - 1}"
    assert len(sent_again(found, "news").headers) == len(headers) + 2


def test_what_a_letter_says() -> None:
    """Reason, detail, place and time of the refused record, and of the letter itself."""
    found = letter(b"{", reason="not_json", at=(3, 9), topic="chat", partition=5, offset=77)
    assert (found.reason, found.detail, found.origin) == ("not_json", "because", Origin("chat", 5, 77))
    assert (found.timestamp_ms, found.attempt, found.replayed_from, found.id) == (NOW_MS, 1, None, "3-9")


def test_the_record_cannot_speak_for_us() -> None:
    """Headers that a producer wrote under our names say nothing about the letter: where it is sent, least of all."""
    forged = (("tidings.reason", b"x"), ("tidings.topic", b"sentiment.alerts"), ("tidings.offset", b"1"))
    found = letter(headers=forged)
    assert (found.reason, found.origin, found.headers) == ("not_json", Origin("news", 0, 5), forged)


@pytest.mark.parametrize(
    ("time_ms", "read", "sent"),
    [
        pytest.param(NOW_MS, NOW_MS, NOW_MS, id="a time"),
        pytest.param(-1, None, None, id="Kafka had none"),
        pytest.param(0, 0, None, id="1970, which librdkafka takes for now"),
        pytest.param(1, 1, 1, id="a millisecond later"),
    ],
)
def test_times(time_ms: int, read: int | None, sent: int | None) -> None:
    """The record's own time is kept wherever it can be."""
    found = letter(timestamp_ms=time_ms)
    assert (found.timestamp_ms, sent_again(found, "news").timestamp_ms) == (read, sent)


@pytest.mark.parametrize(
    "attempt", [None, b"", b"0", b"1", b"-2", b"2.0", b"two", b"9" * 40, b"\xff", "²".encode(), "٣".encode()]
)
def test_what_is_no_mark_stays(attempt: bytes | None) -> None:
    """Only a whole number from 2 on, at the very end, is a replay's mark; anything else is the producer's own."""
    headers = (("a", b"b"), ("tidings.attempt", attempt), ("tidings.replayed_from", b"dlq-0-1"))
    assert (letter(headers=headers).attempt, letter(headers=headers).headers) == (1, headers)


def test_a_mark_in_the_middle_is_the_producers() -> None:
    """A replay's mark stands last."""
    headers = (("tidings.attempt", b"7"), ("tidings.replayed_from", b"dlq-0-1"), ("a", b"b"))
    assert (letter(headers=headers).attempt, letter(headers=headers).headers) == (1, headers)


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("a", b"b"),),
        (("tidings.reason", None),),
        (("tidings.reason", b"\xff"), ("tidings.partition", b"-3"), ("tidings.topic", b"news"), ("tidings.offset", b"1")),
        (("tidings.reason", b"x"), ("tidings.partition", b"9" * 5_000), ("tidings.topic", b"n"), ("tidings.offset", b"1")),
        (("tidings.reason", b"x"), ("tidings.timestamp_ms", b"soon")),
    ],
)
def test_what_no_worker_put_there_is_read_all_the_same(headers: Any) -> None:
    """Somebody else's record has no origin, and ends nothing."""
    found = read_letter(Record("dlq", 0, 1, None, None, -1, headers))
    assert (found.origin, found.timestamp_ms, found.attempt) == (None, None, 1)
