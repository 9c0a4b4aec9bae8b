"""Alert rules: `rules.yaml` as checked, frozen values, with the line and field of every error. Pure: takes text, not files.

A rule file looks like this:

rules:
  - name: negative-share
    scope: {entities: [acme], topics: [outage], kind: chat}
    detector: {type: share, window: 5m, bucket: 30s, threshold: 0.5, min_messages: 20}
    for: 1m
    keep_firing_for: 2m
    severity: critical
inhibit:
  - source_matchers: [severity=critical]
    target_matchers: [severity=~"warning|info"]
    equal: [entity]
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from worker.alert.faults import Fault, faults_of
from worker.alert.matchers import admit, checked_pattern, matches_whole, parse_matchers
from worker.alert.parameters import Detector, Duration, Part, Time
from worker.alert.yaml_lines import UNREADABLE, load_with_lines
from worker.errors import SettingsError
from worker.messages import Kind, Label

_CACHED_KEYS = 100_000


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


Names = Annotated[frozenset[Annotated[str, Field(min_length=1)]], BeforeValidator(_as_list), Field(min_length=1)]
Labels = Annotated[frozenset[Label], BeforeValidator(_as_list), Field(min_length=1)]
LabelName = Annotated[str, Field(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")]
Kinds = Annotated[frozenset[Kind], BeforeValidator(_as_list), Field(min_length=1)]


class Scope(Part):
    """Which signals a rule looks at: any of the named keys, of the sources and of the kinds. What is left out is not asked."""

    entities: Names | None = None
    """Entities of the watchlist."""
    topics: Names | None = None
    """Topics of the watchlist."""
    keys: Names | None = None
    """Alert keys as they stand, such as `entity:acme`."""
    keys_matching: Annotated[str, AfterValidator(checked_pattern)] | None = None
    """A regular expression (RE2) that the whole alert key must match, besides."""
    source: Names | None = None
    """Sources, as the messages name them."""
    kind: Kinds | None = None
    """`news` or `chat`."""
    label: Labels | None = None
    """The model's label: `negative`, `neutral` or `positive`. A share of what is left is then another share."""

    @cached_property
    def alert_keys(self) -> frozenset[str] | None:
        """The alert keys asked for; None means every key."""
        if self.entities is None and self.topics is None and self.keys is None:
            return None
        entities = {f"entity:{name}" for name in self.entities or ()}
        topics = {f"topic:{name}" for name in self.topics or ()}
        return frozenset(entities | topics | (self.keys or frozenset()))

    def covers(self, alert_key: str) -> bool:
        """Tell whether signals on that key are looked at."""
        named = self.alert_keys is None or alert_key in self.alert_keys
        return named and (self.keys_matching is None or matches_whole(self.keys_matching, alert_key))

    def admits(self, source: str | None, kind: Kind, label: Label) -> bool:
        """Tell whether a signal of that source, kind and label is looked at, whatever its key."""
        return (
            (self.source is None or source in self.source)
            and (self.kind is None or kind in self.kind)
            and (self.label is None or label in self.label)
        )


class FlapGuard(Part):
    """Keeps an alert firing that comes and goes: as long as it has fired `fires` times `within` that time, it does not end."""

    fires: Annotated[int, Field(ge=2, le=20, strict=True)] = 3
    """The alert fired so many times, the present one included."""
    within: Time = 3_600_000
    """In so much time."""


class Rule(Part):
    """One rule: which signals, what is too much, for how long, and how bad that is."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,99}$")]
    """Unique; lower case letters, digits, `-`, `_` and `.`."""
    scope: Scope = Scope()
    """By default every alert key."""
    detector: Detector
    for_: Annotated[Duration, Field(alias="for")] = 0
    """How long the detector must see it without a break before the alert fires."""
    keep_firing_for: Duration = 0
    """How long all must be well before the alert resolves."""
    no_data: Literal["keep", "resolve", "fire", "stale"] = "keep"
    """What too little data means to an alert: it stays as it is; all is well; that itself is the alert; nothing is known."""
    flap_guard: FlapGuard | None = None
    """By default an alert may come and go as often as it likes."""
    severity: Literal["info", "warning", "critical"] = "warning"
    labels: dict[LabelName, str] = Field(default_factory=dict)
    """Labels of the rule's own, beside those that every alert has: what silences, inhibition and receivers go by."""
    link: Annotated[str, Field(pattern=r"^https?://")] | None = None
    """Where to look further: a URL; `{alert_key}`, `{alert_id}`, `{rule}`, `{start_ms}` and `{end_ms}` in it are filled in."""
    count_duplicates: Annotated[bool, Field(strict=True)] = False
    """Whether a text that was seen before counts again."""

    @cached_property
    def version(self) -> str:
        """A hash of everything the rule says that means something, however it was written down: 12 hexadecimal digits."""
        fields = self.model_dump(mode="json", by_alias=True, exclude={"detector": self.detector.unused})
        scope = {name: value for name, value in fields["scope"].items() if value is not None}
        fields["scope"] = {name: sorted(value) if isinstance(value, list) else value for name, value in scope.items()}
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def span_ms(self) -> int:
        """How far back in event time the rule's present state can reach; after so long a silence nothing is left to change."""
        guard_ms = self.flap_guard.within if self.flap_guard else 0
        return max(self.detector.window, self.detector.memory_ms) + self.for_ + self.keep_firing_for + guard_ms


def _matchers(text: str) -> str:
    parse_matchers(text)
    return text


Matchers = Annotated[tuple[Annotated[str, AfterValidator(_matchers)], ...], BeforeValidator(_as_list), Field(min_length=1)]


class InhibitRule(Part):
    """Which firing alerts, the sources, keep which others, the targets, quiet; as in Prometheus Alertmanager."""

    source_matchers: Matchers
    """What a source's labels must match, all of it: `severity=critical`, `alertname=~"outage-.*"`, `!=`, `!~`."""
    target_matchers: Matchers
    """What a target's labels must match, all of it."""
    equal: Annotated[tuple[LabelName, ...], BeforeValidator(_as_list)] = ()
    """Names of labels in which both must agree, such as `entity`; one that both lack agrees."""


class RuleFile(Part):
    """The rules of Tidings: what is too much, for how long, and how bad that is."""

    rules: Annotated[list[Rule], Field(min_length=1)]
    """At least one rule; their names differ."""
    inhibit: list[InhibitRule] = Field(default_factory=list)
    """Which alerts keep which others quiet; by default none."""

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [rule.name for rule in self.rules]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"rule names must differ; used twice: {', '.join(repeated)}")
        return self


class RulesError(SettingsError):
    """A rule file is wrong: one line for each fault, with file, line, field and what should be there."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("\n".join(map(str, faults)))
        self.faults = tuple(faults)


class RuleSet:
    """The rules of a file, in the order of their names, found by alert key in constant time."""

    def __init__(self, rules: list[Rule], inhibit: Sequence[InhibitRule] = ()) -> None:
        self.inhibit = tuple(inhibit)
        self.rules = tuple(sorted(rules, key=lambda rule: rule.name))
        self.by_name = {rule.name: rule for rule in self.rules}
        self.for_key = lru_cache(_CACHED_KEYS)(self._for_key)
        """Return the rules that look at this key, in the order of their names."""

    def _for_key(self, alert_key: str) -> tuple[Rule, ...]:
        return tuple(rule for rule in self.rules if rule.scope.covers(alert_key))

    def is_source(self, labels: Mapping[str, str]) -> bool:
        """Tell whether an alert of these labels may inhibit others."""
        return any(admit(rule.source_matchers, labels) for rule in self.inhibit)

    @property
    def span_ms(self) -> int:
        """The longest `Rule.span_ms`."""
        return max(rule.span_ms for rule in self.rules)


def parse_rules(text: str, name: str = "rules.yaml") -> RuleSet:
    """Check the text of a rule file; `name` is what errors call it.

    Raises:
        RulesError: with every fault.
    """
    try:
        document, lines = load_with_lines(text)
    except UNREADABLE as error:
        mark = getattr(error, "problem_mark", None)
        raise RulesError([Fault(name, mark.line + 1 if mark else 1, "", _unreadable(error))]) from error
    if not isinstance(document, dict):
        raise RulesError([Fault(name, 1, "", "expected a mapping with the field `rules`, a list of rules")])
    try:
        file = RuleFile.model_validate(document)
    except ValidationError as error:
        raise RulesError(faults_of(error, RuleFile, name, lines)) from error
    return RuleSet(file.rules, file.inhibit)


def _unreadable(error: Exception) -> str:
    """One line; PyYAML tells of some things in two."""
    return " ".join(str(getattr(error, "problem", None) or error).split())
