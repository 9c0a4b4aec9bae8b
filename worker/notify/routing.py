"""Which groups an alert belongs to: the route tree of Prometheus Alertmanager. Pure.

https://prometheus.io/docs/alerting/latest/configuration/#route: an alert enters at the top and goes down into the first route
that takes it, and into the ones behind it for as long as they say `continue`.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from worker.alert.matchers import admit
from worker.notify.config import NotifyConfig, Place
from worker.notify.parts import ALL_LABELS


class GroupName(NamedTuple):
    """A group as one integration has it."""

    target: str
    """The integration: `pager/webhook/0`."""
    group_key: str
    """Route and labels, as in Alertmanager's `groupKey`."""


class Membership(NamedTuple):
    """A group that an alert belongs to: its name, its route's key, the labels that all its alerts share."""

    name: GroupName
    place: str
    labels: dict[str, str]


def memberships(config: NotifyConfig, labels: Mapping[str, str]) -> list[Membership]:
    """Return the groups of an alert with these labels, one for each integration that is to hear of it."""
    found = []
    for place in _taking(config.root, labels):
        shared = dict(labels) if ALL_LABELS in place.group_by else {n: labels[n] for n in sorted(place.group_by) if n in labels}
        key = f"{place.key}:{labels_text(shared)}"
        found += [Membership(GroupName(target.name, key), place.key, shared) for target in config.targets_of(place.receiver)]
    return found


def labels_text(labels: Mapping[str, str]) -> str:
    """Return labels as Prometheus writes them: `{alertname="x", severity="critical"}`."""
    inner = ", ".join(f'{name}="{_escaped(value)}"' for name, value in sorted(labels.items()))
    return f"{{{inner}}}"


def _taking(place: Place, labels: Mapping[str, str]) -> Iterator[Place]:
    if not admit(place.matchers, labels):
        return
    taken = False
    for inner in place.inner:
        deeper = list(_taking(inner, labels))
        taken = taken or bool(deeper)
        yield from deeper
        if deeper and not inner.goes_on:
            break
    if not taken:
        yield place


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
