from collections.abc import Iterator
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.alert.lifecycle import OK, Attention, Cause, Life, Reason, Status, Timing, advance

AT = 100_000
TIMING = Timing(for_ms=20_000, keep_firing_ms=30_000)
PENDING = Life("pending", 90_000)
RIPE = Life("pending", 80_000)
FIRING = Life("firing", 50_000)
RECOVERING = Life("firing", 50_000, 80_000)
WELL = Life("firing", 50_000, 70_000)
RESOLVED = Life("resolved", 50_000)
STALE = Life("stale", 50_000, silences=1)
BACK = Life("firing", 50_000, silences=1)

SILENCED = Life("firing", 50_000, muted="silence", revision=1)
INHIBITED = Life("firing", 50_000, muted="inhibition", revision=1)
ATTENTION: tuple[Attention, ...] = ("acknowledge", "silence", "inhibition", "audible")

TABLE: list[tuple[Life, Cause, Life, Reason]] = [
    (OK, "breach", Life("pending", AT), "breach_began"),
    (OK, "hold", OK, "quiet"),
    (OK, "clear", OK, "quiet"),
    (OK, "no_data", OK, "no_data"),
    (OK, "absent", Life("pending", AT), "breach_began"),
    (OK, "silent", OK, "no_data"),
    (OK, "rule_changed", OK, "rule_changed"),
    (OK, "rule_removed", OK, "rule_removed"),
    (PENDING, "breach", PENDING, "breach_continues"),
    (RIPE, "breach", Life("firing", 80_000), "threshold_passed"),
    (PENDING, "hold", OK, "breach_ended"),
    (PENDING, "clear", OK, "breach_ended"),
    (PENDING, "no_data", OK, "data_ended"),
    (PENDING, "absent", PENDING, "breach_continues"),
    (RIPE, "absent", Life("firing", 80_000), "data_absent"),
    (PENDING, "silent", OK, "data_ended"),
    (PENDING, "rule_changed", OK, "rule_changed"),
    (PENDING, "rule_removed", OK, "rule_removed"),
    (FIRING, "breach", FIRING, "still_breaching"),
    (FIRING, "hold", FIRING, "not_yet_clear"),
    (FIRING, "clear", Life("firing", 50_000, AT), "recovering"),
    (FIRING, "no_data", FIRING, "kept_without_data"),
    (FIRING, "absent", FIRING, "still_absent"),
    (FIRING, "silent", STALE, "went_silent"),
    (FIRING, "rule_changed", FIRING, "rule_changed"),
    (FIRING, "rule_removed", RESOLVED, "rule_removed"),
    (RECOVERING, "breach", FIRING, "still_breaching"),
    (RECOVERING, "hold", FIRING, "not_yet_clear"),
    (RECOVERING, "clear", RECOVERING, "recovering"),
    (WELL, "clear", RESOLVED, "recovered"),
    (RECOVERING, "no_data", RECOVERING, "kept_without_data"),
    (WELL, "no_data", WELL, "kept_without_data"),
    (RECOVERING, "absent", FIRING, "still_absent"),
    (RECOVERING, "silent", STALE, "went_silent"),
    (RECOVERING, "rule_changed", FIRING, "rule_changed"),
    (RECOVERING, "rule_removed", RESOLVED, "rule_removed"),
    (RESOLVED, "breach", Life("pending", AT), "breach_began"),
    (RESOLVED, "hold", OK, "quiet"),
    (RESOLVED, "clear", OK, "quiet"),
    (RESOLVED, "no_data", OK, "no_data"),
    (RESOLVED, "absent", Life("pending", AT), "breach_began"),
    (RESOLVED, "silent", OK, "no_data"),
    (RESOLVED, "rule_changed", OK, "rule_changed"),
    (RESOLVED, "rule_removed", OK, "rule_removed"),
    (STALE, "breach", BACK, "still_breaching"),
    (STALE, "absent", BACK, "still_absent"),
    (STALE, "hold", BACK, "not_yet_clear"),
    (STALE, "clear", Life("firing", 50_000, AT, silences=1), "recovering"),
    (STALE, "no_data", STALE, "still_silent"),
    (STALE, "silent", STALE, "still_silent"),
    (STALE, "rule_changed", BACK, "rule_changed"),
    (STALE, "rule_removed", Life("resolved", 50_000, silences=1), "rule_removed"),
    (BACK, "silent", Life("stale", 50_000, silences=2), "went_silent"),
    *((life, cause, life, "not_open") for life in (OK, PENDING, RESOLVED) for cause in ATTENTION),
    (FIRING, "acknowledge", Life("firing", 50_000, revision=1), "acknowledged"),
    (STALE, "acknowledge", Life("stale", 50_000, silences=1, revision=1), "acknowledged"),
    (FIRING, "silence", SILENCED, "silenced"),
    (FIRING, "inhibition", INHIBITED, "inhibited"),
    (FIRING, "audible", FIRING, "not_suppressed"),
    (STALE, "silence", Life("stale", 50_000, silences=1, muted="silence", revision=1), "silenced"),
    (STALE, "inhibition", Life("stale", 50_000, silences=1, muted="inhibition", revision=1), "inhibited"),
    (STALE, "audible", STALE, "not_suppressed"),
    (SILENCED, "silence", SILENCED, "still_suppressed"),
    (SILENCED, "inhibition", Life("firing", 50_000, muted="inhibition", revision=1), "still_suppressed"),
    (SILENCED, "audible", Life("firing", 50_000, revision=2), "silence_ended"),
    (INHIBITED, "audible", Life("firing", 50_000, revision=2), "inhibition_ended"),
    (SILENCED, "acknowledge", Life("firing", 50_000, muted="silence", revision=2), "acknowledged"),
    (SILENCED, "breach", SILENCED, "still_breaching"),
    (SILENCED, "silent", Life("stale", 50_000, silences=1, muted="silence", revision=1), "went_silent"),
    (SILENCED, "rule_removed", RESOLVED, "rule_removed"),
]
CAUSES: tuple[Cause, ...] = (
    *("breach", "hold", "clear", "no_data", "absent", "silent", "rule_changed", "rule_removed"),
    *ATTENTION,
)
STATUSES: tuple[Status, ...] = ("ok", "pending", "firing", "resolved", "stale")
lives = st.builds(Life, st.sampled_from(STATUSES), st.integers(0, AT), st.none() | st.integers(0, AT)).map(
    lambda life: life if life.status == "firing" else OK if life.status == "ok" else Life(life.status, life.since_ms)
)


def literals(kind: Any) -> Iterator[str]:
    """The words of a type made of literals."""
    for one in get_args(kind):
        yield from [one] if isinstance(one, str) else literals(one)


def test_states_and_causes_are_all_there_are() -> None:
    """The table knows of each state and each cause that the machine knows, and gives each reason but the flap guard's."""
    assert set(STATUSES) == set(get_args(Status))
    assert set(CAUSES) == set(literals(Cause))
    assert {reason for *_, reason in TABLE} == set(get_args(Reason)) - {"flapping"}


@pytest.mark.parametrize(("life", "cause", "after", "reason"), TABLE)
def test_table(life: Life, cause: Cause, after: Life, reason: Reason) -> None:
    """Each pair of state and cause leads to one state, for one named reason."""
    assert advance(life, cause, AT, TIMING) == (after, reason)


def test_table_is_whole() -> None:
    """No pair of state and cause is left out."""
    assert {(life.status, cause) for life, cause, _, _ in TABLE} == {(status, cause) for status in STATUSES for cause in CAUSES}


def test_without_delays_a_breach_fires_and_a_clear_resolves_at_once() -> None:
    """`for` and `keep_firing_for` of nothing mean the first boundary."""
    assert advance(OK, "breach", AT, Timing()) == (Life("firing", AT), "threshold_passed")
    assert advance(FIRING, "clear", AT, Timing()) == (RESOLVED, "recovered")


@given(lives, st.integers(AT, 2 * AT), st.integers(0, AT), st.integers(0, AT))
def test_no_data_never_resolves_and_says_it_once(life: Life, at_ms: int, for_ms: int, keep_ms: int) -> None:
    """No data leaves a firing alert as it is; and to be told twice is to be told once."""
    timing = Timing(for_ms, keep_ms)
    once = advance(life, "no_data", at_ms, timing).life
    assert once == life if life.status in {"firing", "stale"} else once == OK
    assert advance(once, "no_data", at_ms + 10_000, timing).life == once


@given(lives, st.sampled_from(CAUSES), st.integers(AT, 2 * AT), st.integers(0, AT), st.integers(0, AT))
def test_only_firing_resolves(life: Life, cause: Cause, at_ms: int, for_ms: int, keep_ms: int) -> None:
    """Resolved comes from an open alert alone, on a clear window or because the rule is gone, and keeps the start."""
    after = advance(life, cause, at_ms, Timing(for_ms, keep_ms)).life
    if after.status == "resolved" and after != life:  # what people say of one that has ended leaves it as it is
        assert life.status in {"firing", "stale"}
        assert cause in {"clear", "rule_removed"}
        assert after.since_ms == life.since_ms


GUARDED = Timing(for_ms=0, keep_firing_ms=0, flap_fires=3, flap_within_ms=60_000)


def flap(times_s: list[int], timing: Timing = GUARDED) -> list[tuple[int, str]]:
    """Breach at each of these seconds, all well at the next; return what was said, and when."""
    life, told = OK, list[tuple[int, str]]()
    for at_s in times_s:
        for at_ms, cause in ((at_s * 1_000, "breach"), (at_s * 1_000 + 1_000, "clear")):
            step = advance(life, "breach" if cause == "breach" else "clear", at_ms, timing)
            life, told = step.life, [*told, (at_ms, step.reason)]
    return told


def test_flap_guard_keeps_an_alert_that_comes_and_goes() -> None:
    """At the third time within a minute it stays, until only two firings lie within the last minute."""
    told = flap([0, 10, 20, 30])
    assert [reason for _, reason in told[1::2]] == ["recovered", "recovered", "flapping", "flapping"]
    assert flap([0, 10, 20, 70])[-1] == (71_000, "recovered")


@pytest.mark.parametrize(("fires", "within_ms"), [(3, 80_000), (1, 60_000)])
def test_flap_guard_lets_go_when_a_firing_lies_as_far_back_as_it_looks(fires: int, within_ms: int) -> None:
    """The stretch is open at its far end, wherever event time stands; and a guard may count a single firing."""
    life, timing = Life("firing", 1_020_000, fires=(1_000_000, 1_010_000, 1_020_000)), Timing(0, 0, fires, within_ms)
    assert advance(life, "clear", 1_079_999, timing).reason == "flapping"
    assert advance(life, "clear", 1_080_000, timing).reason == "recovered"


def test_what_is_kept_by_the_flap_guard_has_recovered_meanwhile() -> None:
    """When the guard lets go, `keep_firing_for` has not to pass once more."""
    timing = Timing(0, 20_000, 2, 60_000)
    kept, reason = advance(Life("firing", 90_000, 100_000, fires=(70_000, 90_000)), "clear", 120_000, timing)
    assert (kept.clear_since_ms, reason) == (100_000, "flapping")
    assert advance(kept, "clear", 130_000, timing).reason == "recovered"


def test_what_the_flap_guard_counts_outlives_a_pending_breach() -> None:
    """With a `for`, too, an alert that comes and goes is known by its earlier firings."""
    timing = Timing(20_000, 0, 2, 600_000)
    pending = advance(Life(fires=(50_000,)), "breach", 90_000, timing).life
    assert (pending.status, pending.fires) == ("pending", (50_000,))
    assert advance(pending, "breach", 110_000, timing).life.fires == (50_000, 110_000)


def test_without_a_guard_it_comes_and_goes() -> None:
    """And nothing is remembered of it."""
    assert {reason for _, reason in flap(list(range(0, 100, 10)), Timing())[1::2]} == {"recovered"}
    assert advance(OK, "breach", AT, Timing()).life.fires == ()


def test_flap_guard_remembers_no_more_than_it_needs() -> None:
    """The latest firings, at most as many as the guard counts, and none older than it looks back."""
    life = OK
    for at_s in range(0, 500, 5):
        life = advance(life, "breach", at_s * 1_000, GUARDED).life
        life = advance(life, "rule_removed", at_s * 1_000, GUARDED).life
        assert len(life.fires) <= 3
    assert advance(life, "breach", 10_000_000, GUARDED).life.fires == (10_000_000,)
