"""What a rule's detector can be told: one class each, checked by pydantic. Pure.

Every detector looks back over `window` in steps of `bucket`; what it makes of that is in `worker.alert.detectors`.
"""

import re
from functools import cached_property
from math import log, sqrt
from statistics import NormalDist
from typing import Annotated, ClassVar, Literal, Self, TypeGuard

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

MAX_BUCKETS = 240
"""Buckets in a window: what bounds the state of one key."""

_UNITS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_PART = re.compile(r"([0-9]+)(ms|s|m|h|d)")
_DURATION = re.compile(r"(?:[0-9]+(?:ms|s|m|h|d))+")
_DAY_MS = 86_400_000
_LONGEST_MS = 3_660 * _DAY_MS
"""Ten years: whoever writes more meant something else, and the sums of some are no times any more."""


def parse_duration(value: object) -> int:
    """Return milliseconds for a duration such as "500ms", "30s", "5m" or "1h30m".

    Raises:
        ValueError: `value` is not such a text, or more than ten years.
    """
    if not (isinstance(value, str) and _DURATION.fullmatch(value)):
        raise ValueError(f'expected a duration such as "30s", "5m" or "1h30m", not {value!r}')
    milliseconds = sum(int(number) * _UNITS[unit] for number, unit in _PART.findall(value))
    if milliseconds > _LONGEST_MS:
        raise ValueError(f"expected at most {duration_text(_LONGEST_MS)}, not {value[:40]!r}")
    return milliseconds


def duration_text(milliseconds: int) -> str:
    """Return the duration as one would write it: the largest units first, "0s" for none."""
    parts, left = [], milliseconds
    for unit, size in sorted(_UNITS.items(), key=lambda item: -item[1]):
        count, left = divmod(left, size)
        parts += [f"{count}{unit}"] if count else []
    return "".join(parts) or "0s"


Duration = Annotated[
    int,
    BeforeValidator(parse_duration),
    WithJsonSchema({"type": "string", "pattern": f"^{_DURATION.pattern}$", "examples": ["30s", "5m", "1h30m"]}),
]


def _not_zero(milliseconds: int) -> int:
    if not milliseconds:
        raise ValueError("expected more than no time at all")
    return milliseconds


Time = Annotated[Duration, AfterValidator(_not_zero)]
"""A duration that something is divided by, or that nothing would come of if it were none."""
Share = Annotated[float, Field(gt=0, lt=1, strict=True)]
Count = Annotated[int, Field(ge=1, strict=True)]


class Part(BaseModel):
    """A part of the rule file: frozen, and strict about what it is given."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, populate_by_name=False, allow_inf_nan=False
    )


Baseline = Literal["score", "messages", "negatives", "share"]


class Windowed(Part):
    """What all detectors have in common."""

    window_default: ClassVar[str] = "5m"
    buckets_default: ClassVar[int] = 10
    moves_without_data: ClassVar[bool] = False
    """Whether a window can become too much by messages leaving it."""
    baseline_of: ClassVar[Baseline | None] = None
    """What the baseline of its readings is the usual of: mean score, count per bucket, or share; None: there is none."""

    window: Duration = 0
    """How far back messages count, and evidence is shown."""
    bucket: Duration = 0
    """The step at which the window moves on."""
    min_messages: Count = 1
    """Fewer messages than this in the window say nothing."""

    @model_validator(mode="before")
    @classmethod
    def _window_and_bucket(cls, fields: object) -> object:
        if not isinstance(fields, dict):
            return fields
        window = fields.get("window", cls.window_default)
        if not (isinstance(window, str) and _DURATION.fullmatch(window)):
            return fields
        return {"window": window, "bucket": f"{parse_duration(window) // cls.buckets_default}ms", **fields}

    @model_validator(mode="after")
    def _window_fits(self) -> Self:
        if self.bucket < 1 or self.window % self.bucket:
            raise ValueError("window must be a whole number of buckets: give `bucket` a duration that divides `window`")
        if self.window // self.bucket > MAX_BUCKETS:
            raise ValueError(f"window has {self.window // self.bucket} buckets; at most {MAX_BUCKETS}: make `bucket` longer")
        return self

    @property
    def memory_ms(self) -> int:
        """How much event time before the present its memory depends on: after so long a silence it begins afresh."""
        return 0

    @property
    def unused(self) -> set[str]:
        """Fields that mean nothing as it stands, for what they belong to is off: no part of the rule's version."""
        return set()

    @property
    def spans_ms(self) -> tuple[int, ...]:
        """What it looks back over, the longest first: the window, and perhaps shorter ones that end with it."""
        return (self.window,)


def _is_share(value: object) -> TypeGuard[float]:
    return isinstance(value, float) and 0 < value < 1


class ShareDetector(Windowed):
    """A share of negative messages whose lower confidence bound reaches a threshold; see `detectors.share`."""

    moves_without_data: ClassVar[bool] = True
    baseline_of: ClassVar[Baseline | None] = "share"

    type: Literal["share"]
    threshold: Share = 0.5
    """The lower bound of the negative share that is too much; with `rise` as low as that, unless given."""
    resolve_below: Share = 0.0
    """The negative share itself (with `shortest_window` its bound) below which all is well again; 0.8 of the threshold else."""
    rise: Annotated[float, Field(ge=0, lt=1, strict=True)] = 0.0
    """Where above 0, the bound must also lie so far above the share that is usual on the key; `resolve_below` moves along."""
    half_life: Time = 3 * _DAY_MS
    """With `rise`: how fast what is usual is forgotten."""
    min_messages: Count = 20
    """Fewer messages than this in the window say nothing."""
    confidence: Annotated[float, Field(gt=0.5, lt=1, strict=True)] = 0.95
    """One-sided confidence of the lower bound; of a shorter window's than `window` it is higher."""
    shortest_window: Duration = 0
    """Where given, half the window is looked at too, half of that, and so on down to this: short falls show, and long ones."""

    @model_validator(mode="before")
    @classmethod
    def _threshold_and_resolve_below(cls, fields: object) -> object:
        if not isinstance(fields, dict):
            return fields
        rise = fields.get("rise")
        threshold = fields.get("threshold", rise if _is_share(rise) else 0.5)
        if not _is_share(threshold):
            return fields
        return {"threshold": threshold, "resolve_below": round(0.8 * threshold, 6), **fields}

    @property
    def memory_ms(self) -> int:
        """With `rise` four half-lives, after which a sixteenth is left; the defaults are to fit into `redis.state_ttl_s`."""
        return 4 * self.half_life if self.rise else 0

    @property
    def unused(self) -> set[str]:
        """What tells how far above the usual, where that is not asked: such a rule is what it was before there was that."""
        return set() if self.rise else {"rise", "half_life"}

    @model_validator(mode="after")
    def _resolves_lower(self) -> Self:
        if self.resolve_below > self.threshold:
            raise ValueError("resolve_below must not lie above threshold, or the alert would flap")
        return self

    @model_validator(mode="after")
    def _shortest_fits(self) -> Self:
        if self.shortest_window and not self.bucket <= self.shortest_window <= self.window:
            raise ValueError("shortest_window must not be shorter than bucket, nor longer than window")
        return self

    @property
    def z(self) -> float:
        """The standard normal quantile of `confidence`."""
        return NormalDist().inv_cdf(self.confidence)

    @property
    def spans_ms(self) -> tuple[int, ...]:
        """The window, its half, its quarter and so on, in whole buckets, down to `shortest_window`."""
        return tuple(span_ms for span_ms, _ in self.quantiles)

    @cached_property
    def quantiles(self) -> tuple[tuple[int, float], ...]:
        """Each span with the normal quantile of its lower bound; see `detectors.share`."""
        spans = [self.window]
        while (half := spans[-1] // 2 // self.bucket * self.bucket) >= (self.shortest_window or self.window):
            spans.append(half)
        return tuple((span, sqrt(self.z**2 + 2 * log(self.window / span))) for span in spans)


class SingleDetector(Windowed):
    """One message that is negative beyond doubt; see `detectors.single`.

    It is over when the window has passed without another, which is also its rate limit: a key alerts once in that time.
    """

    window_default: ClassVar[str] = "1h"
    buckets_default: ClassVar[int] = 120

    type: Literal["single"]
    threshold: Share = 0.95
    """The probability of `negative` that makes a message severe."""


class ShiftDetector(Windowed):
    """A lasting fall of the mean score against the key's own past, by a one-sided CUSUM; see `detectors.shift`."""

    window_default: ClassVar[str] = "1h"
    buckets_default: ClassVar[int] = 12
    baseline_of: ClassVar[Baseline | None] = "score"

    type: Literal["shift"]
    threshold: Annotated[float, Field(gt=0, strict=True)] = 10.0
    """How far the sum of falls may run, in standard deviations: Page's h."""
    drift: Annotated[float, Field(ge=0, strict=True)] = 0.5
    """The fall that is still taken for chance, in standard deviations of a bucket's mean: Page's k."""
    half_life: Time = _DAY_MS
    """How fast the past that it compares with is forgotten."""
    warm_up: Count = 30
    """Messages before it says anything."""

    @property
    def memory_ms(self) -> int:
        """After ten half-lives a thousandth is left."""
        return 10 * self.half_life


class CountDetector(Windowed):
    """What the detectors of counts have in common."""

    window_default: ClassVar[str] = "1h"
    buckets_default: ClassVar[int] = 12

    once_in: Time = 4 * _DAY_MS
    """The return period that is too much: the key shows so high a count less often than that."""
    resolve_share: Share = 0.3
    """All is well again when what the key shows is as common as once in this share of `once_in`."""
    min_ratio: Annotated[float, Field(ge=1)] = 1.5
    """Less than so many times the usual is never too much, however rare."""

    @property
    def memory_ms(self) -> int:
        """After a week of silence the key's past says little about its present."""
        return 7 * _DAY_MS


class VolumeDetector(CountDetector):
    """Too many messages, whatever they say; see `detectors.counts`."""

    baseline_of: ClassVar[Baseline | None] = "messages"

    type: Literal["volume"]


class SurgeDetector(CountDetector):
    """Too many negative messages by the key's own past; see `detectors.counts`."""

    baseline_of: ClassVar[Baseline | None] = "negatives"

    type: Literal["surge"]


Detector = Annotated[
    ShareDetector | SurgeDetector | ShiftDetector | SingleDetector | VolumeDetector, Field(discriminator="type")
]
