"""notify.yaml as a whole: read, checked, with file, line, field and remedy of every fault. Pure: takes text, not files.

A file looks like this:

route:
  receiver: team
  group_by: [alertname]
  routes:
    - {matchers: ['severity="critical"'], receiver: pager, repeat_interval: 1h}
receivers:
  - name: team
    slack_configs: [{api_url_file: /run/secrets/slack, channel: "#alerts"}]
  - name: pager
    webhook_configs: [{url: https://pager.example.org/hook, signing: {secret_file: /run/secrets/hmac}}]
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from pydantic import SecretStr, ValidationError

from worker.alert.faults import Fault, did_you_mean, faults_of
from worker.alert.yaml_lines import UNREADABLE, Lines, Path, load_with_lines
from worker.errors import SettingsError
from worker.notify.parts import Integration, NotifyFile, Receiver, Route, SlackConfig, WebhookConfig, is_plain

GROUP_WAIT_MS = 30_000
GROUP_INTERVAL_MS = 5 * 60_000
REPEAT_INTERVAL_MS = 4 * 3_600_000


class ConfigError(SettingsError):
    """notify.yaml is wrong: one line for each fault."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = tuple(faults)


class Timing(NamedTuple):
    """When a group is told of, milliseconds."""

    group_wait_ms: int
    group_interval_ms: int
    repeat_interval_ms: int


class Place(NamedTuple):
    """A route as it stands in the tree, with all that it has from the routes around it. `key` names it as Alertmanager does."""

    key: str
    matchers: tuple[str, ...]
    receiver: str
    group_by: tuple[str, ...]
    timing: Timing
    goes_on: bool
    inner: "tuple[Place, ...]"


class Target(NamedTuple):
    """One integration of a receiver. `name` is unique: `pager/webhook/0`."""

    name: str
    receiver: str
    config: WebhookConfig | SlackConfig


class NotifyConfig:
    """Who is told what: the tree of routes, and the integrations by name."""

    def __init__(self, file: NotifyFile) -> None:
        self.root = _place(file.route, _OUTERMOST, "{}")
        self.targets = {target.name: target for receiver in file.receivers for target in _targets(receiver)}

    def targets_of(self, receiver: str) -> tuple[Target, ...]:
        """The integrations of a receiver."""
        return tuple(target for target in self.targets.values() if target.receiver == receiver)

    def places(self) -> Iterator[Place]:
        """Every route of the tree."""
        return _all_of(self.root)

    def warnings(self) -> list[str]:
        """What is allowed, and not safe."""
        plain = [target.name for target in self.targets.values() if _is_plain(target.config)]
        return [f"{name}: plain http: what is sent, and a password with it, can be read on the way" for name in plain]


def parse_notify(text: str, name: str = "notify.yaml") -> NotifyConfig:
    """Check the text of the file; `name` is what errors call it. No fault repeats what may be a secret.

    Raises:
        ConfigError: with every fault.
    """
    try:
        document, lines = load_with_lines(text)
    except UNREADABLE as error:
        mark = getattr(error, "problem_mark", None)
        raise ConfigError([Fault(name, mark.line + 1 if mark else 1, "", "no valid YAML")]) from None
    if not isinstance(document, dict):
        raise ConfigError([Fault(name, 1, "", "expected a mapping with the fields `route` and `receivers`")])
    try:
        file = NotifyFile.model_validate(document)
    except ValidationError as error:
        raise ConfigError([_quiet(fault) for fault in faults_of(error, NotifyFile, name, lines)]) from None
    if faults := [*_faults(file, name, lines)]:
        raise ConfigError(faults)
    return NotifyConfig(file)


def _quiet(fault: Fault) -> Fault:
    """Drop what was found instead, where that may be a secret at the wrong place."""
    if not fault.field.startswith("receivers"):
        return fault
    return fault._replace(problem=fault.problem.partition(", not ")[0])


def _faults(file: NotifyFile, name: str, lines: Lines) -> Iterator[Fault]:
    names = [receiver.name for receiver in file.receivers]
    for index, receiver in enumerate(names):
        if receiver in names[:index]:
            line = lines.line_of(("receivers", index, "name"))
            yield Fault(name, line, f"receivers[{index}].name", f"`{receiver}` is there twice; names differ")
    if file.route.receiver is None:
        yield Fault(name, lines.line_of(("route",)), "route.receiver", f"missing: one of {', '.join(names)}")
    if file.route.matchers:
        problem = "the outermost route takes every alert: put the matchers into a route of `routes`"
        yield Fault(name, lines.line_of(("route", "matchers")), "route.matchers", problem)
    for path, route in _routes(file.route, ("route",)):
        field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
        if route.receiver is not None and route.receiver not in names:
            problem = (
                f"no such receiver as `{route.receiver}`{did_you_mean(route.receiver, names) or '.'} Known: {', '.join(names)}"
            )
            yield Fault(name, lines.line_of((*path, "receiver")), f"{field}.receiver", problem)
        if route.group_by and "..." in route.group_by and len(route.group_by) > 1:
            yield Fault(name, lines.line_of((*path, "group_by")), f"{field}.group_by", "`...` stands alone: it is all labels")


def _routes(route: Route, path: Path) -> Iterator[tuple[Path, Route]]:
    yield path, route
    for index, inner in enumerate(route.routes):
        yield from _routes(inner, (*path, "routes", index))


_OUTERMOST = Place("", (), "", (), Timing(GROUP_WAIT_MS, GROUP_INTERVAL_MS, REPEAT_INTERVAL_MS), False, ())


def _place(route: Route, around: Place, key: str) -> Place:
    timing = Timing(
        around.timing.group_wait_ms if route.group_wait is None else route.group_wait,
        route.group_interval or around.timing.group_interval_ms,
        route.repeat_interval or around.timing.repeat_interval_ms,
    )
    group_by = around.group_by if route.group_by is None else route.group_by
    place = Place(key, route.matchers, route.receiver or around.receiver, group_by, timing, route.continue_, ())
    inner = tuple(_place(one, place, f"{key}/{{{','.join(one.matchers)}}}/{index}") for index, one in enumerate(route.routes))
    return place._replace(inner=inner)


def _all_of(place: Place) -> Iterator[Place]:
    yield place
    for inner in place.inner:
        yield from _all_of(inner)


def _targets(receiver: Receiver) -> Iterator[Target]:
    configs: tuple[WebhookConfig | SlackConfig, ...] = (*receiver.webhook_configs, *receiver.slack_configs)
    for index, config in enumerate(configs):
        number = index if isinstance(config, WebhookConfig) else index - len(receiver.webhook_configs)
        yield Target(f"{receiver.name}/{config.kind}/{number}", receiver.name, config)


def _is_plain(config: Integration) -> bool:
    address = config.address
    return isinstance(address, SecretStr) and is_plain(address)
