import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.score.breaker import Breaker, BreakerLimits, Fault, FaultReason

LIMITS = BreakerLimits(failures=3, max_pause_s=10.0, first_pause_s=1.0)
AWAY = Fault("unavailable", "nobody there")


def open_at(now_s: float = 100.0, jitter: float = 1.0) -> Breaker:
    """A breaker that has just opened."""
    return Breaker().tripped(AWAY, LIMITS, now_s, jitter)


@pytest.mark.parametrize(
    ("reason", "suspicious", "counted"),
    [
        ("unavailable", False, True),
        ("not_loaded", False, True),
        ("no_answer", True, True),
        ("refused", True, False),
        ("not_finite", True, False),
        ("contract_broken", False, False),
    ],
)
def test_each_fault_speaks_against_the_batch_or_the_model(reason: FaultReason, suspicious: bool, counted: bool) -> None:
    """A server that is away says nothing of the batch; one that answers with an error is not away; silence may be either."""
    fault = Fault(reason, "")
    assert (fault.is_suspicious, fault.is_counted) == (suspicious, counted)


def test_it_opens_after_so_many_failures_in_a_row() -> None:
    """Until then it is closed and backs off."""
    breaker = Breaker()
    for count in (1, 2):
        breaker = breaker.failed(AWAY, LIMITS, 100.0, 1.0)
        assert (breaker.phase, breaker.failures) == ("closed", count)
    breaker = breaker.failed(AWAY, LIMITS, 101.0, 1.0)
    assert breaker == Breaker("open", 101.0, "unavailable", "nobody there", 0, 1, 102.0)


def test_an_answer_between_failures_forgets_them() -> None:
    """In a row means in a row, and the back-off ends with it."""
    breaker = Breaker().failed(AWAY, LIMITS, 100.0, 1.0).failed(AWAY, LIMITS, 100.0, 1.0).answered()
    assert breaker == Breaker()
    assert breaker.failed(AWAY, LIMITS, 100.0, 1.0).phase == "closed"


@pytest.mark.parametrize(("jitter", "pause_s"), [(0.0, 0.0), (0.5, 0.05), (1.0, 0.1)])
def test_a_failure_holds_the_next_batch_back(jitter: float, pause_s: float) -> None:
    """With full jitter, so that workers do not come back all at once."""
    breaker = Breaker().failed(AWAY, LIMITS, 100.0, jitter)
    assert breaker.admits(100.0) is (jitter == 0.0)
    assert breaker.admits(100.0 + pause_s)


@pytest.mark.parametrize("jitter", [0.0, 0.3, 1.0])
def test_the_pause_doubles_with_each_opening(jitter: float) -> None:
    """1, 2, 4, 8 and then never more than 10 s, of which jitter takes at most half."""
    breaker, pauses = Breaker(), []
    for _ in range(6):
        breaker = breaker.tripped(AWAY, LIMITS, 100.0, jitter)
        pauses.append(breaker.wait_until_s - 100.0)
        breaker = breaker.probing(100.0)
    assert pauses == pytest.approx([longest * (0.5 + jitter / 2) for longest in (1, 2, 4, 8, 10, 10)])


def test_while_it_is_open_nothing_is_sent() -> None:
    """Not until the pause is over, and then the canary alone."""
    breaker = open_at()
    assert not breaker.admits(1_000.0)
    assert not breaker.may_probe(100.9)
    assert breaker.may_probe(101.0)
    half_open = breaker.probing(101.0)
    assert (half_open.phase, half_open.since_s, half_open.reason) == ("half_open", 101.0, "pause_over")
    assert not half_open.admits(1_000.0)
    assert not half_open.may_probe(1_000.0)


def test_the_canary_closes_it() -> None:
    """And the next opening begins with the first pause again."""
    closed = open_at().probing(101.0).proved(102.0)
    assert closed == Breaker("closed", 102.0, "canary_answered")
    assert closed.admits(102.0)
    assert closed.tripped(AWAY, LIMITS, 200.0, 1.0).wait_until_s == 201.0


def test_a_canary_that_fails_opens_it_again() -> None:
    """With the canary's own reason, and for longer."""
    breaker = open_at().probing(101.0).tripped(Fault("no_answer", "too slow"), LIMITS, 110.0, 1.0)
    assert breaker == Breaker("open", 110.0, "no_answer", "too slow", 0, 2, 112.0)


@pytest.mark.parametrize("breaker", [open_at(), open_at().probing(101.0)], ids=["open", "half_open"])
def test_stragglers_change_nothing(breaker: Breaker) -> None:
    """What was sent before it opened may come back after it, either way."""
    assert breaker.failed(AWAY, LIMITS, 105.0, 1.0) is breaker
    assert breaker.answered() is breaker


def test_a_late_canary_does_not_close_an_open_breaker() -> None:
    """It was sent before the failures that opened it."""
    breaker = open_at()
    assert breaker.proved(100.5) is breaker
    assert breaker.tripped(AWAY, LIMITS, 100.5, 1.0) is breaker


STEPS = st.sampled_from(["failed", "tripped", "answered", "probe", "proved"])


@given(st.lists(st.tuples(STEPS, st.floats(0.0, 20.0), st.floats(0.0, 1.0)), max_size=60))
def test_it_is_never_stuck(steps: list[tuple[str, float, float]]) -> None:
    """Whatever happens, it admits batches or may be probed within the longest pause, but while a probe is under way."""
    breaker, now_s = Breaker(), 0.0
    for step, passed_s, jitter in steps:
        now_s += passed_s
        if step == "failed":
            breaker = breaker.failed(AWAY, LIMITS, now_s, jitter)
        elif step == "tripped":
            breaker = breaker.tripped(AWAY, LIMITS, now_s, jitter)
        elif step == "answered":
            breaker = breaker.answered()
        elif step == "proved":
            breaker = breaker.proved(now_s)
        elif breaker.may_probe(now_s):
            breaker = breaker.probing(now_s)
        later_s = now_s + LIMITS.max_pause_s
        assert breaker.phase == "half_open" or breaker.admits(later_s) or breaker.may_probe(later_s)
        assert breaker.since_s <= now_s
