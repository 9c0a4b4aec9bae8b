import re
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.worker.builders import NOW_MS
from tests.unit.worker.dead_letters.builders import REFUSED_MS, letter
from worker.dead_letters.filters import (
    Filters,
    Offsets,
    Place,
    escaped,
    parse_moment,
    parse_offsets,
    parse_pattern,
    parse_place,
)
from worker.dead_letters.letter import read_letter
from worker.messages import Record

LETTER = letter(b'{"text": caf\xc3\xa9 \xff}', key=b"k\x1b", partition=3, offset=50)
FOREIGN = read_letter(Record("dlq", 0, 1, None, None, -1))


@pytest.mark.parametrize(
    ("filters", "admits"),
    [
        ({}, True),
        ({"reasons": frozenset({"not_json", "x"})}, True),
        ({"reasons": frozenset({"x"})}, False),
        ({"topic": "news"}, True),
        ({"topic": "new"}, False),
        ({"partition": 3}, True),
        ({"partition": 0}, False),
        ({"offsets": Offsets(50, 50)}, True),
        ({"offsets": Offsets(51, None)}, False),
        ({"offsets": Offsets(None, 50)}, True),
        ({"offsets": Offsets(None, 49)}, False),
        ({"since_ms": REFUSED_MS}, True),
        ({"since_ms": REFUSED_MS + 1}, False),
        ({"until_ms": REFUSED_MS}, False),
        ({"until_ms": REFUSED_MS + 1}, True),
        ({"key": "k\x1b"}, True),
        ({"key": "k\\x1b"}, True),
        ({"key": "k"}, False),
        ({"grep": re.compile("café")}, True),
        ({"grep": re.compile(r"\\xff")}, True),
        ({"grep": re.compile("^text")}, False),
        ({"after": Place(0, 16)}, True),
        ({"after": Place(0, 17)}, False),
        ({"after": Place(1, 0)}, False),
        ({"topic": "news", "partition": 3, "reasons": frozenset({"x"})}, False),
    ],
)
def test_a_letter_is_meant_if_everything_asked_is_so(filters: dict[str, Any], admits: bool) -> None:
    """Origin, time of refusal, key as it is or as it is shown, and body."""
    assert Filters(**filters).admits(LETTER) is admits
    assert Filters(**filters).given is bool(filters)


@pytest.mark.parametrize("filters", [{"topic": "news"}, {"partition": 0}, {"offsets": Offsets(0, None)}, {"key": ""}])
def test_a_record_without_origin_or_key_is_not_meant(filters: dict[str, Any]) -> None:
    """What is not known is not what was asked for."""
    assert not Filters(**filters).admits(FOREIGN)
    assert Filters().admits(FOREIGN)


@pytest.mark.parametrize(
    ("text", "place"), [("0-17", Place(0, 17)), ("12-0", Place(12, 0)), ("3-999999999999", Place(3, 999_999_999_999))]
)
def test_places(text: str, place: Place) -> None:
    """Partition and offset."""
    assert parse_place(text) == place


@pytest.mark.parametrize(
    ("text", "offsets"),
    [("17", Offsets(17, 17)), ("17..20", Offsets(17, 20)), ("17..", Offsets(17, None)), ("..20", Offsets(None, 20))],
)
def test_offsets(text: str, offsets: Offsets) -> None:
    """One, or a range with both ends in it, open where nothing is written."""
    assert parse_offsets(text) == offsets


@pytest.mark.parametrize(
    ("text", "moment_ms"),
    [
        ("2h", NOW_MS - 7_200_000),
        ("1h30m", NOW_MS - 5_400_000),
        ("0s", NOW_MS),
        ("2023-11-14T22:13:20Z", NOW_MS),
        ("2023-11-14T23:13:20.001+01:00", NOW_MS + 1),
        ("2023-11-14T22:13:20", NOW_MS),
        ("2023-11-14", NOW_MS - 80_000_000),
        ("0001-01-01T00:00:00+23:59", -62_135_683_140_000),
    ],
)
def test_moments(text: str, moment_ms: int) -> None:
    """RFC 3339, UTC unless it says otherwise, or so long ago."""
    assert parse_moment(text, NOW_MS) == moment_ms


@pytest.mark.parametrize(
    ("parse", "text", "says"),
    [
        (parse_place, "17", "0-17"),
        (parse_place, "0-17-2", "0-17"),
        (parse_place, "-1-2", "0-17"),
        (parse_place, "٣-1", "0-17"),
        (parse_place, "1-" + "9" * 19, "0-17"),
        (parse_offsets, "..", "17..20"),
        (parse_offsets, "", "17..20"),
        (parse_offsets, "a..b", "17..20"),
        (parse_pattern, "(", "regular expression"),
        (parse_pattern, "a{99999999999}", "regular expression"),
        (lambda text: parse_moment(text, NOW_MS), "yesterday", "2h"),
        (lambda text: parse_moment(text, NOW_MS), "9" * 5_000 + "h", "2h"),
        (lambda text: parse_moment(text, NOW_MS), "", "2h"),
    ],
)
def test_wrong_usage_says_what_is_right(parse: Any, text: str, says: str) -> None:
    """The message has an example."""
    with pytest.raises(ValueError, match=re.escape(says)):
        parse(text)


@given(st.text())
def test_whatever_is_written_there_is_an_answer(text: str) -> None:
    """A value, or ValueError."""
    for parse in (parse_place, parse_offsets, parse_pattern, lambda text: parse_moment(text, NOW_MS)):
        with suppress(ValueError):
            parse(text)


@given(st.text())
def test_escapes_leave_nothing_that_steers(text: str) -> None:
    """Everything that is left can be printed, and is on one line."""
    assert escaped(text).isprintable()
