"""What the alert role writes into the log beside signals: who reads it from its middle misses nothing that is in force."""

import pytest
from structlog.testing import capture_logs

from tests.unit.worker.alert.builders import RULE
from tests.unit.worker.alert.test_role import P0, START_MS, Bench
from tests.unit.worker.alert.test_role_attention import P1, Two
from worker.errors import RetryableError
from worker.messages import AlertEvent, Silence, Standing, TopicPartition

SILENCE = Silence("s", ("entity=target",), START_MS + 1_000_000, "kim", "premiere")


def standings(bench: Two, partition: TopicPartition) -> list[Standing]:
    """What was said to be in force."""
    return [one for one in bench.said(partition) if isinstance(one, Standing)]


def test_what_is_in_force_is_said_again_where_it_is() -> None:
    """At first, and then at every half of what a replay covers, 50 s; in the partition that it is of, and in no other."""
    bench = Two(RULE)
    bench.say(SILENCE, P1)
    role, counts = bench.role(), []
    for second in range(0, 100, 5):
        bench.texts(P0, second, label="neutral")
        bench.texts(P1, second, label="neutral")
        role.run_until_idle()
        counts.append(len(standings(bench, P1)))
    assert counts == [1] * 5 + [2] * 5 + [3] * 5 + [4] * 5
    assert set(standings(bench, P1)) == {Standing((SILENCE,))}
    assert standings(bench, P0) == []


def test_where_no_rule_inhibits_open_alerts_are_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that would not answer to it is in nobody's way."""
    bench = Bench()

    def failing(_: TopicPartition) -> dict[str, AlertEvent]:
        raise RetryableError("gone")

    monkeypatch.setattr(bench.store, "open_alerts", failing)
    with capture_logs() as lines:
        bench.role().run_until_idle()
    assert {line["log_level"] for line in lines} == {"info"}
