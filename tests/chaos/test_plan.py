import json
from collections import Counter
from collections.abc import Iterator
from functools import cache
from itertools import pairwise

import pytest

from tests.chaos import lexicon
from tests.chaos.odd_input import BAD_BODIES
from tests.chaos.plan import BASE_MS, KEYS_WATCHED, PLAN_ID, Plan, Planned, make_plan
from tests.chaos.shifts import FARTHEST_JUMP_S, NEAREST_JUMP_S
from worker.alert.partition import PartitionMemory, Placed
from worker.alert.rules import parse_rules
from worker.codec import Clock, decode_message
from worker.errors import DecodeError
from worker.messages import LABELS, AlertEvent, Matches, Message, ModelRef, Record, Signal
from worker.score.matching import Matcher, parse_watchlist

NOW = Clock(BASE_MS + 30 * 86_400_000, 300_000)
SEED, SECONDS, RATE, BURST = 7, 600.0, 12.0, (100.0, 5.0)


@cache
def the_plan() -> Plan:
    """Ten minutes with a burst and with poison."""
    return make_plan(SEED, SECONDS, RATE, [BURST], model_poison=True)


def everything(plan: Plan) -> tuple[Planned, ...]:
    """All messages, in the order of sending."""
    return (*plan.messages, *plan.closing)


def decoded(planned: Planned, offset: int = 0, clock: Clock = NOW) -> Message:
    """What the worker makes of a message."""
    record = Record(planned.kind, 0, offset, planned.key, planned.value, planned.timestamp_ms, planned.headers)
    return decode_message(record, planned.kind, clock)


def is_poison(planned: Planned) -> bool:
    """Whether it decodes and must end as a dead letter all the same."""
    return planned.id.startswith("poison-")


def signals(plan: Plan) -> Iterator[Signal]:
    """What the score role would make of the plan with the harness' own model, one message after the other."""
    matcher = Matcher(parse_watchlist(plan.watchlist, "watchlist.yaml"))
    sent = [planned for planned in everything(plan) if planned.expects == "prediction"]
    messages = [decoded(planned, offset) for offset, planned in enumerate(sent)]
    logits = lexicon.expected_logits([message.content[:900] for message in messages])
    for message, row in zip(messages, logits, strict=True):
        for key in matcher.match(message.content).alert_keys:
            yield signal(message, key, row)


def signal(message: Message, key: str, logits: lexicon.Table) -> Signal:
    """A signal as `worker.score.outputs` makes it, less what no alert looks at."""
    return Signal(
        alert_key=key,
        message_id=message.id,
        label=LABELS[int(logits.argmax())],
        negative=0.0,
        score=float(logits[2] - logits[0]),
        kind=message.kind,
        source=message.source,
        event_time_ms=message.event_time_ms,
        duplicate_of=None,
        excerpt="",
        model=ModelRef("sentiment", "1"),
        origin=message.origin,
    )


def alerts(plan: Plan) -> tuple[list[AlertEvent], int]:
    """The events of the plan on two partitions, and how many signals were late."""
    partitions = [PartitionMemory(parse_rules(plan.rules), int(plan.lateness_s * 1_000), 10**6) for _ in range(2)]
    events: list[AlertEvent] = []
    late = 0
    for offset, each in enumerate(signals(plan)):
        memory, run = partitions[len(each.alert_key) % 2], [Placed(offset, each)]
        memory.learn(memory.missing(run), {})
        effects = memory.apply(run)
        memory.settle(effects.next_offset)
        events += [stored.event for stored in effects.events]
        late += effects.late.signals
    return events, late


def test_the_same_arguments_give_the_same_plan() -> None:
    """And another seed another one."""
    assert make_plan(3, 60, 10) == make_plan(3, 60, 10)
    assert make_plan(3, 60, 10) != make_plan(4, 60, 10)


def test_every_message_ends_where_it_is_planned_to() -> None:
    """What expects a prediction decodes, at the planned time; bad input does not, for the reason that it was written for."""
    reasons = Counter[str]()
    for planned in everything(the_plan()):
        try:
            message = decoded(planned)
        except DecodeError as error:
            assert planned.expects == "dead_letter"
            reasons[error.reason] += 1
        else:
            at_ms = NOW.now_ms if planned.by_clock else planned.event_time_ms
            assert (message.id, message.event_time_ms) == (planned.id, at_ms)
            assert planned.expects == ("dead_letter" if is_poison(planned) else "prediction")
    assert reasons.keys() == {name.split(",")[0] for name in BAD_BODIES}
    assert 0.015 < reasons.total() / len(the_plan().messages) < 0.025


def test_texts_and_ids_are_all_different() -> None:
    """No text is a duplicate of another, for what is said of duplicates depends on one process' memory."""
    sent = everything(the_plan())
    assert len({planned.id for planned in sent}) == len(sent)
    texts = [" ".join(decoded(planned).content.split()) for planned in sent if planned.expects == "prediction"]
    assert len(set(texts)) == len(texts)


def test_only_poison_has_tokens_without_a_row() -> None:
    """The model can answer every message but those that are there to be refused."""
    for planned in everything(the_plan()):
        if planned.expects == "prediction" or is_poison(planned):
            ids = lexicon.token_ids(decoded(planned).content)
            assert (max(ids) >= lexicon.TABLE_ROWS) == is_poison(planned), planned.value
    assert sum(map(is_poison, the_plan().messages)) >= 10
    assert not any(map(is_poison, make_plan(1, 60, 10).messages))


def test_a_dead_letter_can_be_told_from_every_other() -> None:
    """By its header, or by a key that is its id."""
    bad = [planned for planned in the_plan().messages if planned.expects == "dead_letter"]
    names = [dict(planned.headers).get(PLAN_ID, planned.key) for planned in bad]
    assert names == [planned.id.encode() for planned in bad]


def test_input_is_as_motley_as_in_life() -> None:
    """Both kinds, keys of all sorts and none, headers, with and without a source, its own time or Kafka's."""
    sent = [planned for planned in the_plan().messages if planned.expects == "prediction"]
    assert {planned.kind for planned in sent} == {"news", "chat"}
    assert {None, b""} < {planned.key for planned in sent}
    assert len({planned.key for planned in sent}) > 30
    assert len({planned.headers for planned in sent}) > 3
    bodies = [json.loads(planned.value or b"") for planned in sent]
    assert 0.7 < sum("source" in body for body in bodies) / len(bodies) < 0.95
    assert {type(body.get("published_at")) for body in bodies} == {int, str, type(None)}
    sources = Counter(message.event_time_source for message in map(decoded, sent))
    assert 0.08 < sources["kafka"] / len(sent) < 0.15
    assert 0.025 < sources["clock"] / len(sent) < 0.04


@pytest.mark.parametrize("shift_s", [-FARTHEST_JUMP_S, -NEAREST_JUMP_S, NEAREST_JUMP_S, FARTHEST_JUMP_S])
def test_no_jump_of_the_clock_changes_a_time_but_those_that_are_the_clocks(shift_s: float) -> None:
    """And those are of messages that name nothing watched, so that no alert hangs on them."""
    shifted = NOW._replace(now_ms=NOW.now_ms + int(shift_s * 1_000))
    matcher = Matcher(parse_watchlist(the_plan().watchlist, ""))
    for planned in everything(the_plan()):
        if planned.expects == "prediction":
            before, after = decoded(planned), decoded(planned, clock=shifted)
            assert before.event_time_source == after.event_time_source
            assert after.event_time_ms - before.event_time_ms == (int(shift_s * 1_000) if planned.by_clock else 0)
            assert (before.event_time_source == "clock") == planned.by_clock
            assert not (planned.by_clock and matcher.match(before.content).alert_keys)


def test_messages_come_at_the_rate_and_tenfold_in_a_burst() -> None:
    """Event time goes with the clock, and both only forward."""
    messages = the_plan().messages
    times = [planned.at_s for planned in messages]
    begin, length = BURST
    in_burst = sum(begin <= at_s < begin + length for at_s in times)
    assert in_burst == pytest.approx(length * RATE * 10, rel=0.05)
    assert len(messages) - in_burst == pytest.approx((SECONDS - length) * RATE, rel=0.01)
    assert all(one <= other for one, other in pairwise(times))
    assert all(planned.event_time_ms == BASE_MS + int(planned.at_s * 1000) for planned in messages)


def test_closing_goes_on_in_event_time_and_ends_far_ahead() -> None:
    """No gap is wider than the skew but the last, which passes every window, the lateness and what is pending."""
    plan = the_plan()
    times = [plan.messages[-1].event_time_ms, *(planned.event_time_ms for planned in plan.closing)]
    gaps = [other - one for one, other in pairwise(times)]
    assert min(gaps) >= 0
    assert sorted(gaps)[-2] <= plan.max_skew_ms
    assert max(gaps) > plan.lateness_s * 1_000 + parse_rules(plan.rules).span_ms
    last = [planned for planned in plan.closing if planned.event_time_ms == times[-1]]
    matcher = Matcher(parse_watchlist(plan.watchlist, ""))
    named: list[Matches] = [matcher.match(decoded(planned).content) for planned in last]
    assert {key for matches in named for key in matches.alert_keys} == set(KEYS_WATCHED)


def test_every_name_turns_bad_and_recovers_several_times() -> None:
    """Each of the dozen keys fires and resolves at least three times in ten minutes, every rule does, and none is left open."""
    events, late = alerts(the_plan())
    assert late == 0
    assert Counter(event.state for event in events)["firing"] == len(events) / 2
    assert set(Counter(event.alert_id for event in events).values()) == {2}
    fired = Counter(event.alert_key for event in events if event.rule == "turned" and event.state == "firing")
    assert fired.keys() == set(KEYS_WATCHED)
    assert min(fired.values()) >= 3
    assert {event.rule for event in events} == {rule.name for rule in parse_rules(the_plan().rules).rules}


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_short_plan_has_alerts_of_its_own(seed: int) -> None:
    """A run of less than a minute still fires, and resolves all that it fires."""
    plan = make_plan(seed, 48, 30)
    events, late = alerts(plan)
    assert late == 0
    assert len(events) >= 20
    assert set(Counter(event.alert_id for event in events).values()) == {2}
    assert plan.max_skew_ms < plan.lateness_s * 1_000
