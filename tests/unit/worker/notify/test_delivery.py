from collections.abc import Callable

from worker.notify.delivery import Delivery, DeliveryLimits
from worker.notify.pacing import Pace
from worker.notify.ports import Notification, Outcome
from worker.notify.routing import GroupName
from worker.testing.notify import SENT, Receivers


def sent(target: str) -> Notification:
    """A notification to it."""
    return Notification(GroupName(target, "{}"), "key", b"{}")


def test_each_integration_has_one_on_its_way_and_all_have_a_limit() -> None:
    """What hangs takes one place."""
    waiting: list[Callable[[], None]] = []
    delivery = Delivery(Receivers(), DeliveryLimits(max_in_flight=2), waiting.append, monotonic=lambda: 0.0)
    delivery.send(sent("a"))
    assert [delivery.allows(name) for name in "ab"] == [False, True]
    delivery.send(sent("b"))
    assert not delivery.allows("c")
    waiting.pop(0)()
    assert [one.notification.group.target for one in delivery.returned()] == ["a"]
    assert [delivery.allows(name) for name in "abc"] == [True, False, True]
    assert delivery.in_flight == 1


def test_a_send_that_breaks_is_not_waited_for_for_ever() -> None:
    """Its fate is unknown."""

    class Broken:
        def send(self, notification: Notification) -> Outcome:
            raise ValueError(notification.key)

    broken: list[Callable[[], None]] = []
    delivery = Delivery(Broken(), start=broken.append, monotonic=lambda: 0.0)
    delivery.send(sent("a"))
    try:
        broken.pop()()
    except ValueError:
        assert [one.outcome.result for one in delivery.returned()] == ["unknown"]
    assert delivery.in_flight == 0


def test_sends_happen_on_a_thread_of_their_own() -> None:
    """By default."""
    receivers = Receivers()
    delivery = Delivery(receivers)
    delivery.send(sent("a"))
    while delivery.in_flight:
        found = delivery.returned()
    assert found[0].outcome == SENT


def test_a_pace_is_kept() -> None:
    """A quarter of a minute's at once, then one by one."""
    pace = Pace(60, 300)
    for _ in range(15):
        assert pace.allows(0)
        pace.spend(0)
    assert not pace.allows(0.9)
    assert pace.allows(1.1)


def test_pauses_double_to_a_limit_and_obey_the_receiver() -> None:
    """What it asks for counts, but not beyond an hour; once it takes something all is forgotten."""
    pace = Pace(60, 10)
    assert [pace.went_wrong(0, 1.0, None) for _ in range(6)] == [1, 2, 4, 8, 10, 10]
    assert not pace.allows(9.9)
    assert pace.allows(10)
    pace.went_well()
    assert pace.went_wrong(0, 1.0, 60) == 60
    assert pace.went_wrong(0, 1.0, 10**9) == 3_600
    assert pace.went_wrong(0, 0.0, None) == 0
