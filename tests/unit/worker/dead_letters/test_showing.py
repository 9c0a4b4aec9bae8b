import base64
import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console, RenderableType

from tests.unit.worker.builders import NOW_MS
from tests.unit.worker.dead_letters.builders import REFUSED_MS, letter
from worker.dead_letters.letter import read_letter
from worker.dead_letters.showing import MAX_REASONS, Summary, as_json, moment, table, whole
from worker.messages import Record

FOREIGN = read_letter(Record("dlq", 2, 1, None, None, -1))


def printed(what: RenderableType) -> str:
    """What lands on the terminal."""
    console = Console(file=io.StringIO(), width=200, force_terminal=False)
    console.print(what, soft_wrap=True)
    written = console.file
    assert isinstance(written, io.StringIO)
    return written.getvalue()


def test_the_table_has_one_row_a_letter() -> None:
    """Name, time, reason, origin, key, size, attempt and the beginning of the body."""
    rows = printed(table([letter(b'{"text": 5}', key=b"acme"), FOREIGN])).splitlines()
    assert rows[1].split() == ["0-17", "2023-11-14", "22:13:21", "not_json", "news-0-5", "acme", "11", "1", '{"text":', "5}"]
    assert rows[2].split() == ["2-1", "unknown", "?", "?", "1", "(no", "value)"]


@pytest.mark.parametrize("control", ["\x1b[2J", "\x9b2J", "\x07", "\u202e", "\r", "\n", "\u2028"])
def test_nothing_from_outside_steers_the_terminal(control: str) -> None:
    """In the body, the key, the headers and their names."""
    evil = control.encode()
    one = letter(b"a" + evil, key=b"k" + evil, headers=((f"h{control}", b"v" + evil),), topic=f"t{control}")
    for said in (printed(table([one])), printed(whole(one)), as_json(one)):
        assert all(char.isprintable() or char == "\n" for char in said)
    assert len(printed(table([one])).splitlines()) == 2


def test_a_long_body_is_cut_in_the_table() -> None:
    """A megabyte is neither laid out nor escaped."""
    (row,) = printed(table([letter(b"x" * 1_000_000)])).splitlines()[1:]
    assert "1,000,000" in row
    assert row.rstrip().endswith("x…")


def test_everything_is_shown_of_one() -> None:
    """Also where it was replayed from; bytes that are no UTF-8 as hex and text."""
    mark = (("tidings.attempt", b"3"), ("tidings.replayed_from", b"dlq-0-4"))
    said = printed(whole(letter(b"\xffabc\n", key=b"\xfe", headers=(("h", b"v"), ("none", None), *mark))))
    for part in (
        "not_json",
        "because",
        "news-0-5",
        "2023-11-14 22:13:20",
        "attempt        3",
        "dlq-0-4",
        "fe  \\xfe",
        "header h       v",
        "header none    (none)",
        "body, 5 bytes",
        "00000000  ff 61 62 63 0a",
        ".abc.",
    ):
        assert part in said


@pytest.mark.parametrize(("value", "said"), [(None, "(no value)"), (b"", "body, 0 bytes"), ("é\nb".encode(), "é\nb")])
def test_text_is_shown_as_text(value: bytes | None, said: str) -> None:
    """With its lines."""
    assert said in printed(whole(letter(value)))


def test_json_holds_every_byte() -> None:
    """Strings where they are UTF-8, base64 elsewhere."""
    body: dict[str, Any] = json.loads(as_json(letter(b"\xff", key=b"k", headers=(("h", b"\xfe"), ("none", None)))))
    assert body == {
        "id": "0-17",
        "refused_at_ms": REFUSED_MS,
        "reason": "not_json",
        "detail": "because",
        "origin": {"topic": "news", "partition": 0, "offset": 5},
        "timestamp_ms": NOW_MS,
        "attempt": 1,
        "replayed_from": None,
        "key": "k",
        "headers": [["h", {"base64": "/g=="}], ["none", None]],
        "value": {"base64": "/w=="},
    }


@given(st.none() | st.binary(), st.none() | st.binary(), st.lists(st.tuples(st.text(), st.none() | st.binary())))
def test_whatever_it_is_it_can_be_shown(
    key: bytes | None, value: bytes | None, headers: list[tuple[str, bytes | None]]
) -> None:
    """Any record of the topic, ours or not, in all three forms."""
    for one in (
        letter(value, key=key, headers=tuple(headers)),
        read_letter(Record("dlq", 0, 0, key, value, -5, tuple(headers))),
    ):
        printed(table([one]))
        printed(whole(one))
        again = json.loads(as_json(one))["value"]
        assert (base64.b64decode(again["base64"]) if isinstance(again, dict) else again and again.encode()) == (value or again)


@pytest.mark.parametrize(
    ("ms", "said"),
    [
        (None, "unknown"),
        (-1, "unknown"),
        (0, "1970-01-01 00:00:00"),
        (-5, "-5"),
        (2**60, str(2**60)),
        (NOW_MS, "2023-11-14 22:13:20"),
    ],
)
def test_times_that_are_none(ms: int | None, said: str) -> None:
    """Kafka holds any number."""
    assert moment(ms) == said


def test_the_summary_counts_by_reason() -> None:
    """The most frequent first."""
    summary = Summary()
    for reason in ("not_utf8", "not_json", "not_json"):
        summary.add(letter(reason=reason))
    assert str(summary) == "3 dead letters: not_json 2, not_utf8 1"
    assert dict(summary.topics) == {"news": 3}


def test_the_summary_is_bounded() -> None:
    """A topic full of other people's reasons fills no memory, and every letter is counted."""
    summary = Summary()
    for number in range(5 * MAX_REASONS):
        summary.add(letter(reason=f"r{number}" + "x" * 1_000))
    assert (summary.total, summary.reasons.total()) == (5 * MAX_REASONS, 5 * MAX_REASONS)
    assert len(summary.reasons) <= MAX_REASONS + 1
