"""Rules that change while the role works."""

import pytest

from tests.unit.worker.alert.builders import RULE, rules
from tests.unit.worker.alert.test_role import FIRING, GROUP, P0, RECOVERY, Bench, at
from worker.alert.loading import AlertPorts
from worker.alert.relay import Relay
from worker.alert.role import AlertRole
from worker.alert.rules import RuleSet
from worker.messages import Signal
from worker.testing.broker import InMemoryHistory, InMemorySink

OTHER = RULE.replace("bad-press", "other-press")
STRICTER = RULE.replace("threshold: 0.5, resolve_below: 0.4", "threshold: 0.3, resolve_below: 0.2")
BOTH = RULE + OTHER.removeprefix("\nrules:\n")
LATER = [at(second) for second in range(100, 111)]


class Changing:
    """A role whose rules a test changes."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        self.next: RuleSet | None = None
        options = bench.role()._options
        bench.broker.groups.clear()
        ports = AlertPorts(bench.source(), bench.store, InMemoryHistory(bench.broker))
        self.role = AlertRole(ports, Relay(InMemorySink(bench.broker), bench.store), rules(), options, self._take)

    def _take(self) -> RuleSet | None:
        taken, self.next = self.next, None
        return taken

    def work(self, *signals: Signal) -> None:
        """Send these, and have them worked off."""
        self.bench.send(*signals)
        self.role.run_until_idle()


def told(bench: Bench) -> list[tuple[str, str, str]]:
    """Rule, state and reason of what is on `sentiment.alerts`."""
    return [(event.rule, event.state, event.reason) for event in bench.relayed()]


FIRED = ("bad-press", "firing", "threshold_passed")


def test_an_alert_of_a_removed_rule_resolves() -> None:
    """At its next look, which its timer brings; the rule that came in its place begins with what comes then."""
    bench = Bench()
    changing = Changing(bench)
    changing.work(*FIRING)
    assert told(bench) == [FIRED]
    changing.next = rules(OTHER)
    changing.work(at(11, alert_key="entity:else"), at(21, alert_key="entity:else"))
    assert told(bench) == [FIRED, ("bad-press", "resolved", "rule_removed")]
    changing.work(*LATER)
    assert told(bench)[2:] == [("other-press", "firing", "threshold_passed")]


def test_an_alert_of_a_changed_rule_goes_on_under_its_id() -> None:
    """Until the new rule finds all well; nothing fires again meanwhile."""
    bench = Bench()
    changing = Changing(bench)
    changing.work(*FIRING)
    changing.next = rules(STRICTER)
    changing.work(*RECOVERY, *[at(second, "positive") for second in range(32, 90)])
    fired, resolved = bench.relayed()
    assert (fired.state, resolved.state) == ("firing", "resolved")
    assert resolved.alert_id == fired.alert_id
    assert {fired.rule_version, resolved.rule_version} == {rules().rules[0].version, rules(STRICTER).rules[0].version}


def test_a_rule_that_is_added_leaves_the_others_alone() -> None:
    """What is under way under an unchanged rule goes on, windows and all."""
    bench = Bench()
    changing = Changing(bench)
    changing.work(*FIRING[:-1])
    changing.next = rules(BOTH)
    changing.work(FIRING[-1])
    assert told(bench) == [FIRED]
    changing.work(*LATER)
    assert ("other-press", "firing", "threshold_passed") in told(bench)


def test_partitions_that_come_later_are_loaded_under_the_new_rules() -> None:
    """The loader has them too: after a rebalance nothing is back at the old rules."""
    bench = Bench()
    changing = Changing(bench)
    changing.work(at(0))
    changing.next = rules(OTHER)
    changing.work(at(1))
    bench.broker.rebalance(GROUP)
    changing.work(*LATER)
    assert {rule for rule, _, _ in told(bench)} == {"other-press"}


def test_a_partition_that_waits_is_loaded_under_the_new_rules() -> None:
    """The store was away when the rules changed."""
    bench = Bench()
    changing = Changing(bench)
    changing.work(at(0))
    changing.role._reload(P0)
    changing.next = rules(OTHER)
    changing.work(*LATER)
    assert {rule for rule, _, _ in told(bench)} == {"other-press"}


@pytest.mark.parametrize("text", [OTHER, STRICTER, BOTH])
@pytest.mark.parametrize("place", [1, 4, 5, 9, 20, 27])
def test_a_reload_does_what_a_restart_does(text: str, place: int) -> None:
    """Wherever in the stream the rules change, the events are those of a worker that was stopped there and started anew."""
    stream = [*FIRING, *RECOVERY, at(60, alert_key="entity:else"), *LATER, at(200, "positive"), at(300, "positive")]
    reloaded, restarted = Bench(), Bench()
    changing = Changing(reloaded)
    changing.work(*stream[:place])
    changing.next = rules(text)
    changing.work(*stream[place:])
    restarted.send(*stream[:place])
    restarted.role().run_until_idle()
    restarted.broker.groups[GROUP].members.clear()
    restarted.text = text
    restarted.send(*stream[place:])
    restarted.role().run_until_idle()
    assert reloaded.relayed() == restarted.relayed()
    assert reloaded.relayed()
