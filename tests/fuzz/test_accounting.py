"""That the account can be wrong: each thing that must not happen, planted, turns the report red."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.fuzz.accounting import Account, Layout
from tests.fuzz.mutations import Mutant, mutant
from tests.fuzz.parsers import Parsed
from tests.fuzz.report import as_dict, as_text, faults, write
from tests.fuzz.running import Plan, Result
from worker.codec import Clock, dead_letter, decode_message
from worker.errors import DecodeError
from worker.messages import Matches, ModelRef, Origin, Probabilities, Record, Sentiment
from worker.score.outputs import Scored, prediction_record

MESSAGES = 400
LAYOUT = Layout(("news", "chat"), 4)
SEED = 3
NOW_MS = 1_760_000_000_000
GOOD = Sentiment("positive", Probabilities(0.1, 0.2, 0.7), 0.6)


def as_input(number: int) -> Record:
    """The message as Kafka delivers it to the worker."""
    place, sent = LAYOUT.place(number), mutant(SEED, number)
    timestamp_ms = sent.timestamp_ms or NOW_MS
    return Record(place.topic, place.partition, place.offset, sent.key, sent.value, timestamp_ms, sent.headers)


def outputs() -> list[tuple[str, Record]]:
    """What a worker without fault makes of the messages: predictions and dead letters, with places of their own."""
    made = []
    for number in range(MESSAGES):
        record = as_input(number)
        try:
            message = decode_message(record, "news", Clock(NOW_MS, 300_000))
            out = prediction_record(Scored(message, Matches(), GOOD, None, ModelRef("sentiment", "1")), "predictions")
        except DecodeError as error:
            out = dead_letter("dead_letters", record, error)
        made.append((out.topic, Record(out.topic, 0, number, out.key, out.value, NOW_MS, out.headers)))
    return made


def accounted(made: list[tuple[str, Record]], messages: int = MESSAGES) -> Account:
    """The account of these outputs."""
    account = Account(messages, LAYOUT, partial(mutant, SEED))
    take: dict[str, Callable[[Record], None]] = {"predictions": account.prediction, "dead_letters": account.dead_letter}
    for topic, record in made:
        take[topic](record)
    return account


def report(account: Account, **result: Any) -> dict[str, Any]:
    """The report of a run with this account."""
    plan = Plan(account.messages, SEED, {"TIDINGS_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1"}, Path())
    return as_dict(plan, Result(account, seconds=2.0, **result), [Parsed("message", 10, 5)], {"kafka": "Apache Kafka"})


def first(made: list[tuple[str, Record]], topic: str) -> int:
    """The index of the first output on a topic."""
    return next(at for at, (name, _) in enumerate(made) if name == topic)


def test_a_run_without_fault_is_green() -> None:
    """Every count that must be 0 is, and the figures are those of the run."""
    made = outputs()
    found = report(accounted(made))
    assert faults(found) == {}
    assert found["inputs"] == found["predictions"] + sum(found["dead_letters"].values()) == MESSAGES
    assert found["messages_per_second"] == MESSAGES / 2
    assert len(found["dead_letters"]) > 3
    assert "every count that must be 0 is 0" in as_text(found)


def drop(made: list[tuple[str, Record]], at: int) -> None:
    """Lose an output."""
    del made[at]


def double(made: list[tuple[str, Record]], at: int) -> None:
    """Let one come twice."""
    made.append(made[at])


def change(**fields: Any) -> Callable[[list[tuple[str, Record]], int], None]:
    """Alter a field of one."""

    def changing(made: list[tuple[str, Record]], at: int) -> None:
        made[at] = (made[at][0], msgspec.structs.replace(made[at][1], **fields))

    return changing


def more_headers(made: list[tuple[str, Record]], at: int) -> None:
    """Put a header in front of one's."""
    change(headers=(("extra", b"1"), *made[at][1].headers))(made, at)


def other_time(made: list[tuple[str, Record]], _at: int) -> None:
    """Say another time in a dead letter of a message that had one of its own."""
    number = next(
        n for n, (topic, _) in enumerate(made) if topic == "dead_letters" and mutant(SEED, n).timestamp_ms is not None
    )
    record = made[number][1]
    change(headers=(*record.headers[:-1], ("tidings.timestamp_ms", b"77")))(made, number)


@pytest.mark.parametrize(
    ("topic", "plant", "expected"),
    [
        ("predictions", drop, {"unaccounted": 1}),
        ("dead_letters", drop, {"unaccounted": 1}),
        ("predictions", double, {"doubled": 1}),
        ("dead_letters", double, {"doubled": 1}),
        ("predictions", change(key=b"another"), {"altered": 1}),
        ("predictions", change(value=b"{}"), {"unaccounted": 1, "strangers": 1}),
        ("dead_letters", change(value=b"another"), {"altered": 1}),
        ("dead_letters", change(key=b"another"), {"altered": 1}),
        ("dead_letters", more_headers, {"altered": 1}),
        ("dead_letters", other_time, {"altered": 1}),
        ("dead_letters", change(headers=()), {"unaccounted": 1, "strangers": 1}),
    ],
)
def test_one_fault_among_many_turns_the_report_red(topic: str, plant: Any, expected: dict[str, int]) -> None:
    """It is counted under its name, and told."""
    made = outputs()
    plant(made, first(made, topic))
    found = report(accounted(made))
    assert faults(found) == expected
    assert "wrong: " in as_text(found)
    assert expected.keys() <= {"unaccounted"} or found["examples"]


def test_a_message_both_scored_and_refused_is_doubled() -> None:
    """Once means once over both topics."""
    made = outputs()
    record = as_input(first(made, "predictions"))
    letter = dead_letter("dead_letters", record, DecodeError("not_json", "no"))
    made.append(("dead_letters", Record("dead_letters", 0, 999, letter.key, letter.value, NOW_MS, letter.headers)))
    assert accounted(made).faults()["doubled"] == 1


def test_a_good_message_that_is_refused_is_a_fault() -> None:
    """Or a worker that refuses everything would pass."""
    number = next(number for number in range(MESSAGES) if mutant(SEED, number).spoilt == "whole")
    letter = dead_letter("dead_letters", as_input(number), DecodeError("not_json", "no"))
    made = outputs()
    made[number] = ("dead_letters", Record("dead_letters", 0, number, letter.key, letter.value, NOW_MS, letter.headers))
    assert faults(report(accounted(made))) == {"wrongly_refused": 1}


def test_an_output_of_no_message_is_a_stranger() -> None:
    """A message more than were sent."""
    assert accounted(outputs(), MESSAGES - 1).faults()["strangers"] == 1


@pytest.mark.parametrize(("what", "count"), [("crashes", 2), ("stalls", 1)])
def test_a_worker_that_ends_or_stands_still_turns_it_red(what: str, count: int) -> None:
    """Whatever came out."""
    assert faults(report(accounted(outputs()), **{what: count})) == {what: count}


def test_a_parser_that_crashed_turns_it_red() -> None:
    """Its crash is counted with the worker's."""
    account = accounted(outputs())
    plan = Plan(MESSAGES, SEED, {"TIDINGS_KAFKA__BOOTSTRAP_SERVERS": "x:1"}, Path())
    found = as_dict(plan, Result(account, seconds=1.0), [Parsed("rules", crashes=1, note="KeyError: 'x'")], {})
    assert faults(found) == {"crashes": 1}
    assert "KeyError" in as_text(found)


def test_the_report_is_written(tmp_path: Path) -> None:
    """As JSON and as text."""
    found = report(accounted(outputs()))
    write(found, tmp_path / "fuzz")
    assert json.loads((tmp_path / "fuzz" / "report.json").read_text()) == json.loads(json.dumps(found))
    assert (tmp_path / "fuzz" / "report.txt").read_text() == as_text(found)


@pytest.mark.parametrize(
    ("rss", "ratio"),
    [
        ([(0.1, 50), (0.5, 100), (0.55, 100), (0.9, 150)], 1.5),
        ([(0.5, 200), (0.9, 200), (0.95, 210), (1.0, 190)], 1.0),
        ([(0.1, 50)], None),
    ],
)
def test_memory_is_compared_late_to_early(rss: list[tuple[float, int]], ratio: float | None) -> None:
    """The last fifth of the messages to the middle one; without samples nothing is claimed."""
    assert Result(accounted([]), rss=rss).rss_growth_ratio == ratio


def test_every_message_has_its_place() -> None:
    """Numbers and places belong together one to one; offsets of a partition follow each other."""
    places = [LAYOUT.place(number) for number in range(64)]
    assert [LAYOUT.number(place) for place in places] == list(range(64))
    assert sorted({(place.topic, place.partition, place.offset) for place in places}) == [
        (topic, partition, offset) for topic in ("chat", "news") for partition in range(4) for offset in range(8)
    ]


@pytest.mark.parametrize("place", [Origin("other", 0, 0), Origin("news", 4, 0), Origin("news", -1, 0), Origin("news", 0, -1)])
def test_other_places_have_no_message(place: Origin) -> None:
    """What came from elsewhere is a stranger."""
    assert LAYOUT.number(place) is None


def test_a_seed_gives_the_same_messages() -> None:
    """In any process, so that the account can make each anew; another seed gives others; every kind of spoiling comes."""
    made = [mutant(1, number) for number in range(3_000)]
    assert made == [mutant(1, number) for number in range(3_000)]
    assert made != [mutant(2, number) for number in range(3_000)]
    assert {one.spoilt for one in made} >= {"whole", "bits flipped", "deep", "large", "lone surrogates", "nothing", "noise"}
    assert all(isinstance(one, Mutant) for one in made)
