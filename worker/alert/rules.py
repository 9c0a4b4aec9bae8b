"""Alert rules: `rules.yaml` as checked, frozen values, with the line and field of every error. Pure: takes text, not files.

A rule file looks like this:

rules:
  - name: negative-share
    scope: {entities: [acme], topics: [outage], kind: chat}
    detector: {type: share, window: 5m, bucket: 30s, threshold: 0.5, min_messages: 20}
    for: 1m
    keep_firing_for: 2m
    severity: critical
"""

import hashlib
import json
import re
from functools import cached_property
from statistics import NormalDist
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from worker.alert.yaml_lines import UNREADABLE, Lines, Path, load_with_lines
from worker.errors import SettingsError
from worker.messages import Kind

MAX_BUCKETS = 240
"""Buckets in a window: what bounds the state of one key, and the time to look at it."""

_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_PART = re.compile(r"(\d+)(ms|s|m|h|d)")
_DURATION = re.compile(r"(?:\d+(?:ms|s|m|h|d))+")


def parse_duration(value: object) -> int:
    """Return milliseconds for a duration such as "500ms", "30s", "5m" or "1h30m".

    Raises:
        ValueError: `value` is not such a text.
    """
    if not (isinstance(value, str) and _DURATION.fullmatch(value)):
        raise ValueError(f'expected a duration such as "30s", "5m" or "1h30m", not {value!r}')
    return sum(int(number) * _UNITS[unit] for number, unit in _PART.findall(value))


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


Duration = Annotated[int, BeforeValidator(parse_duration)]
Names = Annotated[frozenset[Annotated[str, Field(min_length=1)]], BeforeValidator(_as_list), Field(min_length=1)]
Kinds = Annotated[frozenset[Kind], BeforeValidator(_as_list), Field(min_length=1)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, populate_by_name=False)


class Scope(_Part):
    """Which signals a rule looks at: any of the named keys, of the sources and of the kinds. What is left out is not asked."""

    entities: Names | None = None
    """Entities of the watchlist."""
    topics: Names | None = None
    """Topics of the watchlist."""
    keys: Names | None = None
    """Alert keys as they stand, such as `entity:acme`."""
    source: Names | None = None
    """Sources, as the messages name them."""
    kind: Kinds | None = None
    """`news` or `chat`."""

    @cached_property
    def alert_keys(self) -> frozenset[str] | None:
        """The alert keys asked for; None means every key."""
        if self.entities is None and self.topics is None and self.keys is None:
            return None
        entities = {f"entity:{name}" for name in self.entities or ()}
        topics = {f"topic:{name}" for name in self.topics or ()}
        return frozenset(entities | topics | (self.keys or frozenset()))

    def admits(self, source: str | None, kind: Kind) -> bool:
        """Tell whether a signal of that source and kind is looked at, whatever its key."""
        return (self.source is None or source in self.source) and (self.kind is None or kind in self.kind)


class ShareDetector(_Part):
    """A share of negative messages whose lower confidence bound reaches a threshold; see `detectors.share`."""

    type: Literal["share"]
    window: Duration = 300_000
    """How far back messages count."""
    bucket: Duration = 0
    """The step at which the window moves on; a tenth of the window unless given."""
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """The lower bound of the negative share that is too much."""
    resolve_below: Annotated[float, Field(gt=0, lt=1)] = 0.0
    """The negative share itself below which all is well again; 0.8 of the threshold unless given."""
    min_messages: Annotated[int, Field(ge=1)] = 20
    """Fewer messages than this in the window say nothing."""
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """One-sided confidence of the lower bound."""

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, fields: object) -> object:
        if not isinstance(fields, dict):
            return fields
        derived: dict[str, object] = {}
        window, threshold = fields.get("window", "5m"), fields.get("threshold", 0.5)
        if isinstance(threshold, float) and 0 < threshold < 1:
            derived["resolve_below"] = round(0.8 * threshold, 6)
        if isinstance(window, str) and _DURATION.fullmatch(window):
            derived["bucket"] = f"{parse_duration(window) // 10}ms"
        return {**derived, **fields}

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.bucket < 1 or self.window % self.bucket:
            raise ValueError("window must be a whole number of buckets: give `bucket` a duration that divides `window`")
        if self.window // self.bucket > MAX_BUCKETS:
            raise ValueError(f"window has {self.window // self.bucket} buckets; at most {MAX_BUCKETS}: make `bucket` longer")
        if self.resolve_below > self.threshold:
            raise ValueError("resolve_below must not lie above threshold, or the alert would flap")
        return self

    @cached_property
    def z(self) -> float:
        """The standard normal quantile of `confidence`."""
        return NormalDist().inv_cdf(self.confidence)


class Rule(_Part):
    """One rule: which signals, what is too much, for how long, and how bad that is."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,99}$")]
    """Unique; lower case letters, digits, `-`, `_` and `.`."""
    scope: Scope = Scope()
    """By default every alert key."""
    detector: ShareDetector
    for_: Annotated[Duration, Field(alias="for")] = 0
    """How long the detector must see it without a break before the alert fires."""
    keep_firing_for: Duration = 0
    """How long all must be well before the alert resolves."""
    severity: Literal["info", "warning", "critical"] = "warning"
    count_duplicates: bool = False
    """Whether a text that was seen before counts again."""

    @cached_property
    def version(self) -> str:
        """A hash of everything the rule says, however it was written down: 12 hexadecimal digits."""
        fields = self.model_dump(mode="json", by_alias=True)
        fields["scope"] = {name: sorted(value) for name, value in fields["scope"].items() if value is not None}
        return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def span_ms(self) -> int:
        """How far back in event time the rule's present state can reach."""
        return self.detector.window + self.for_ + self.keep_firing_for


class _RuleFile(_Part):
    rules: Annotated[list[Rule], Field(min_length=1)]

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [rule.name for rule in self.rules]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"rule names must differ; used twice: {', '.join(repeated)}")
        return self


class RuleSet:
    """The rules of a file, in the order of their names, found by alert key in constant time."""

    def __init__(self, rules: list[Rule]) -> None:
        self.rules = tuple(sorted(rules, key=lambda rule: rule.name))
        self.by_name = {rule.name: rule for rule in self.rules}
        named = {key for rule in self.rules for key in rule.scope.alert_keys or ()}
        self._general = tuple(rule for rule in self.rules if rule.scope.alert_keys is None)
        self._named = {key: tuple(rule for rule in self.rules if _covers(rule, key)) for key in named}

    def for_key(self, alert_key: str) -> tuple[Rule, ...]:
        """Return the rules that look at this key, in the order of their names."""
        return self._named.get(alert_key, self._general)

    @property
    def span_ms(self) -> int:
        """The longest `Rule.span_ms`."""
        return max(rule.span_ms for rule in self.rules)


def _covers(rule: Rule, alert_key: str) -> bool:
    return rule.scope.alert_keys is None or alert_key in rule.scope.alert_keys


def parse_rules(text: str, name: str = "rules.yaml") -> RuleSet:
    """Check the text of a rule file; `name` is what errors call it.

    Raises:
        SettingsError: one line for each fault: file, line, path, what was expected.
    """
    document, lines = _load(text, name)
    try:
        return RuleSet(_RuleFile.model_validate(document).rules)
    except ValidationError as error:
        faults = [_fault(name, lines.line_of(item["loc"]), item["loc"], item["msg"]) for item in error.errors()]
        raise SettingsError("\n".join(faults)) from error


def _load(text: str, name: str) -> tuple[dict[str, object], Lines]:
    try:
        document, lines = load_with_lines(text)
    except UNREADABLE as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or error
        raise SettingsError(f"{name}:{mark.line + 1 if mark else 1}: {problem}") from error
    if not isinstance(document, dict):
        raise SettingsError(f"{name}:1: expected a mapping with the field `rules`, a list of rules")
    return document, lines


def _fault(name: str, line: int, path: Path, message: str) -> str:
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
    expected = message.removeprefix("Value error, ")
    return f"{name}:{line}: {where + ': ' if where else ''}{expected}"
