"""Signals that come late and partitions that fall silent, on the real stack: event time decides, whatever came when."""

from dataclasses import replace
from pathlib import Path

import pytest

from deploy.local.stack import LocalStack
from tests.conftest import Names
from tests.integration.flow import Flow, WorkerProcess, make_flow
from tests.integration.test_flow import BAD, GOOD, START_MS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

WATCHLIST = "topics: [{name: film, keywords: [film]}]\n"
RULES = """
rules:
  - name: film-turns-bad
    detector: {type: share, window: 60s, bucket: 10s, threshold: 0.5, resolve_below: 0.4, min_messages: 5}
"""


@pytest.fixture
def flow(stack: LocalStack, names: Names, tmp_path: Path) -> Flow:
    """Topics of this test's own; signals count up to 20 s late, and a partition is idle after 3 s."""
    flow = make_flow(names, stack.settings_env(), tmp_path, {"watchlist.yaml": WATCHLIST, "rules.yaml": RULES})
    return replace(flow, env={**flow.env, "TIDINGS_ALERT__ALLOWED_LATENESS_S": "20", "TIDINGS_ALERT__IDLE_AFTER_S": "3"})


def send(flow: Flow, *seconds: float, text: str) -> None:
    """Send a text of each of these seconds of event time, in this order."""
    flow.send_messages(
        "news",
        [
            {"id": f"{second:g}", "text": f"{text} ({second:g})", "published_at": START_MS + round(second * 1_000)}
            for second in seconds
        ],
    )


def told(flow: Flow) -> list[tuple[str, str, float]]:
    """What was said of the alert on its stream: state, reason, and the second of event time."""
    return [(event.state, event.reason, (event.at_ms - START_MS) / 1_000) for event in flow.stream_alerts()]


def reasons(flow: Flow) -> set[tuple[str, str]]:
    """States and reasons that were told, each once; a partition may be silent more than once."""
    return {(state, reason) for state, reason, _ in told(flow)}


def figure(worker: WorkerProcess, name: str) -> float:
    """One of the worker's metrics without labels."""
    return sum(float(line.split()[1]) for line in worker.get("/metrics")[1].splitlines() if line.startswith(f"{name} "))


def test_late_signals_count_in_the_window_they_belong_to_and_later_ones_are_told(flow: Flow) -> None:
    """The fifth negative of the first ten seconds comes when 25 s have been seen; one of the same time comes at 60 s."""
    with flow.worker() as worker:
        send(flow, 1, 2, 3, 4, text=BAD)
        send(flow, 25, text=GOOD)
        send(flow, 9, text=BAD)
        send(flow, 60, text=GOOD)
        worker.until(lambda: told(flow) == [("firing", "threshold_passed", 10.0)])
        assert figure(worker, "tidings_alert_signals_late_total") == 0
        send(flow, 9.5, text=BAD)
        worker.until(lambda: figure(worker, "tidings_alert_signals_late_total") == 1)
        send(flow, *range(70, 160, 5), text=GOOD)
        worker.until(lambda: [state for state, _, _ in told(flow)] == ["firing", "resolved"])
        assert worker.terminate() == 0
    fired, resolved = flow.alerts(2)
    assert (fired.evidence.messages, fired.evidence.negatives, fired.evidence.late) == (5, 5, 0)
    assert {sample.message_id for sample in fired.evidence.samples} <= {"1", "2", "3", "4", "9"}
    assert (resolved.evidence.negatives, resolved.evidence.late) == (0, 1)


def test_a_partition_that_falls_silent_makes_its_alert_stale_and_data_brings_it_back(flow: Flow) -> None:
    """Once, through a restart: no false end for want of data; and then the alert goes on and ends under its id."""
    with flow.worker() as worker:
        send(flow, 1, 2, 3, 4, 5, text=BAD)
        send(flow, 40, text=BAD)
        worker.until(lambda: ("stale", "went_silent") in reasons(flow))
        assert reasons(flow) == {("firing", "threshold_passed"), ("stale", "went_silent")}
        assert figure(worker, "tidings_alerts_stale_total") == 1
        assert worker.terminate() == 0
    with flow.worker() as worker:
        worker.until(worker.ready)
        send(flow, 41, 42, 43, 44, 75, text=BAD)
        worker.until(lambda: ("firing", "still_breaching") in reasons(flow))
        send(flow, *range(80, 180, 5), text=GOOD)
        worker.until(lambda: ("resolved", "recovered") in reasons(flow))
        assert worker.terminate() == 0
    events = flow.stream_alerts()
    assert len({event.alert_id for event in events}) == 1
    assert len({event.id for event in events}) == len(events)
    assert {event.id for event in flow.alerts(len(events))} == {event.id for event in events}
