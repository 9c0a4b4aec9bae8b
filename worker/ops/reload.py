"""The rule file, looked at every few seconds while the worker runs, and at once after SIGHUP.

It is read and compared by content: a modification time may not move when a file is written twice within its grain, and
Kubernetes mounts a ConfigMap by swapping a symbolic link. What is wrong never takes the place of what works.
"""

import hashlib
import time
from collections.abc import Callable

import structlog

from worker.alert.rules import RuleSet, parse_rules
from worker.errors import SettingsError

log = structlog.get_logger(__name__)
EVERY_S = 3.0


class RulesFile:
    """The rules that a file holds, as one thread asks for them; see `HasReload` for the others.

    Args:
        read: gives the file's text, or raises SettingsError.
        name: what errors call the file.
        wall_clock: seconds since the epoch, for the metric.
        monotonic: seconds, for the distance between two looks.
        check: raises SettingsError where rules do not go with the other settings.
    """

    def __init__(
        self,
        read: Callable[[], str],
        name: str,
        wall_clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        check: Callable[[RuleSet], None] = lambda _: None,
    ) -> None:
        self._read = read
        self._name = name
        self._wall_clock = wall_clock
        self._monotonic = monotonic
        self._check = check
        self._rules: RuleSet | None = None
        self._in_force = self._seen = ""
        self._next_s = float("-inf")
        self._hurried = False
        self.successful = False
        self.succeeded_at_s = 0.0

    def load(self) -> RuleSet:
        """Return the rules to begin with; raises SettingsError."""
        text = self._read()
        rules = self._parse(text)
        self._take(rules, _digest(text))
        return rules

    def hurry(self) -> None:
        """Have the file looked at when it is next asked for; a flag, so that any thread may set it."""
        self._hurried = True

    def changed(self) -> RuleSet | None:
        """Return new rules, if the file holds them since it was last looked at; None if all is as before.

        A file that is wrong, or gone, is told once, and the rules before it stay in force.
        """
        now_s = self._monotonic()
        if not self._hurried and now_s < self._next_s:
            return None
        self._hurried, self._next_s = False, now_s + EVERY_S
        try:
            text = self._read()
        except SettingsError as error:
            self._refuse(error, _digest(str(error)))
            return None
        return self._look(text, _digest(text))

    def _look(self, text: str, digest: str) -> RuleSet | None:
        if digest == self._seen:
            return None
        if digest == self._in_force:
            log.info("the rule file is as it was, and in force", file=self._name)
            self._seen, self.successful = digest, True
            return None
        try:
            rules = self._parse(text)
        except SettingsError as error:
            self._refuse(error, digest)
            return None
        log.info("rules reloaded", file=self._name, **_differences(self._rules, rules))
        self._take(rules, digest)
        return rules

    def _parse(self, text: str) -> RuleSet:
        rules = parse_rules(text, self._name)
        self._check(rules)
        return rules

    def _take(self, rules: RuleSet, digest: str) -> None:
        self._rules = rules
        self._in_force = self._seen = digest
        self.successful, self.succeeded_at_s = True, self._wall_clock()

    def _refuse(self, error: SettingsError, digest: str) -> None:
        self.successful = False
        if digest != self._seen:
            log.error("the rule file is wrong, the rules before it go on", faults=str(error).splitlines())
        self._seen = digest


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _differences(old: RuleSet | None, new: RuleSet) -> dict[str, list[str]]:
    before = {name: rule.version for name, rule in old.by_name.items()} if old else {}
    after = {name: rule.version for name, rule in new.by_name.items()}
    return {
        "added": sorted(after.keys() - before.keys()),
        "removed": sorted(before.keys() - after.keys()),
        "changed": sorted(name for name in after.keys() & before.keys() if after[name] != before[name]),
    }
