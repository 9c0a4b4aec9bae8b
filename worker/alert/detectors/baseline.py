"""What is usual of a count, and how rare what came instead: the online baseline under `surge` and `volume`. Pure.

    bucket's count ──▶ level x time of day = expected ──▶ log-ratio of smoothed counts, per scale ──▶ tail of the key's own
                          ▲ count, cut off                                                              past ratios ──▶ rarity

A fold over closed buckets of event time. The state has a fixed size, a bucket costs the same however long the past is, and a
silence of any length is passed over at once (`skip`). Nothing looks ahead: a bucket is judged before it is learnt.
"""

from functools import lru_cache
from math import exp, log, log10
from typing import NamedTuple

import msgspec

_HOUR_MS, _DAY_MS = 3_600_000, 86_400_000
_SLOTS = 24
"""Of the day, in UTC, each with a factor of its own."""
_MOST_FACTOR = 10.0
_TAIL = 0.05
"""The share of ratios that make up the tail: fewer would be learnt too slowly, and a week of incidents would lie beyond its
beginning and move it; more would not be a tail."""
_PRIOR_BAR, _PRIOR_SLOPE = 0.8, 0.5
"""Before a key has a past: where its tail begins and how fast it falls, in log-ratios: wide enough to span a day."""
_PRIOR_MS = 24 * _HOUR_MS
_SETTLING_MS = 4 * _HOUR_MS
"""How much past the priors of the tail's slope and of its beginning are worth."""
_LEAST_SLOPE = 0.02
_MOST_EXCESS = 3.0
"""An excess beyond this many slopes is learnt as this, and the less the larger it was: an alarm must not hide the next one."""
RARITY_RANGE = (-2.0, 9.0)
"""Beyond it a figure would claim more than a tail can tell."""


class BaselineParameters(msgspec.Struct, frozen=True):
    """What a baseline is told. Times in milliseconds.

    `scales_ms`: over how long counts are smoothed before they are judged, so that a spike and a slow swell are both seen.
    `half_life_ms`: how fast the level is forgotten; `season_half_life_ms`: the time of day; `tail_half_life_ms`: how
    fast the tail is. `pull_ms`: how much of an hour of the day must have been seen before its own factor outweighs "like any
    other". `grain`: messages that are added to both sides of a ratio, so that few messages make no large ratio. `cap`: a bucket
    counts for at most this multiple of what was expected.
    """

    bucket_ms: int = 300_000
    scales_ms: tuple[int, ...] = (900_000, _HOUR_MS, 3 * _HOUR_MS)
    half_life_ms: int = 3 * _DAY_MS
    season_half_life_ms: int = 14 * _DAY_MS
    tail_half_life_ms: int = 21 * _DAY_MS
    pull_ms: int = 4 * _HOUR_MS
    grain: float = 8.0
    cap: float = 3.0


class ScaleState(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One scale: smoothed count and expectation a bucket, and the tail of their log-ratio.

    The tail begins at `bar`; `excess` adds up how far it was passed and `passes` how often, both forgotten with time.
    """

    count: float
    expected: float
    bar: float
    excess: float
    passes: float


class CountBaseline(msgspec.Struct, frozen=True, array_like=True, tag="counts", gc=False):
    """The past of one key. `at_ms` is the end of the newest bucket; sums are of counts, cut off, and weights of buckets."""

    at_ms: int | None = None
    buckets: int = 0
    level_sum: float = 0.0
    level_weight: float = 0.0
    slot_sums: tuple[float, ...] = (0.0,) * _SLOTS
    slot_weights: tuple[float, ...] = (0.0,) * _SLOTS
    scales: tuple[ScaleState, ...] = ()


class CountReading(NamedTuple):
    """What the newest bucket shows, on the scale on which it is rarest.

    `statistic` is the decimal logarithm of the return period in days, within `RARITY_RANGE`: 1.0 is what this key shows once
    in ten days. `observed` and `expected` are smoothed, in messages a bucket; `ratio` is that of
    the two, with the grain on both sides.
    """

    statistic: float
    observed: float
    expected: float
    ratio: float
    scale_ms: int


class _Rates(NamedTuple):
    """The parameters, per bucket."""

    per_day: float
    keep: float
    tail_rate: float
    slot_keep: float
    pull: float
    smoothing: tuple[float, ...]
    grains: tuple[float, ...]
    settling: float
    prior_passes: float


@lru_cache(maxsize=256)
def _rates(parameters: BaselineParameters) -> _Rates:
    bucket = parameters.bucket_ms
    widths = [max(1.0, scale / bucket) for scale in parameters.scales_ms]
    return _Rates(
        per_day=_DAY_MS / bucket,
        keep=0.5 ** (bucket / parameters.half_life_ms),
        tail_rate=1 - 0.5 ** (bucket / parameters.tail_half_life_ms),
        slot_keep=0.5 ** (bucket * _SLOTS / parameters.season_half_life_ms),
        pull=parameters.pull_ms / bucket,
        smoothing=tuple(1 / width for width in widths),
        grains=tuple(parameters.grain / width for width in widths),
        settling=_SETTLING_MS / bucket,
        prior_passes=_TAIL * _PRIOR_MS / bucket,
    )


def step(parameters: BaselineParameters, state: CountBaseline, start_ms: int, count: int) -> tuple[CountBaseline, CountReading]:
    """Judge the bucket that starts at `start_ms` by the key's past, then take it into the past. What lies between was empty.

    Expected is an exponentially weighted mean of the counts times a factor of the hour of the day, drawn towards 1 as long as
    that hour was seen little. On each scale the ratio of smoothed count to smoothed expectation is held to the ratios that the
    key has shown before: beyond their upper 5 % their logarithms are taken for exponential, that is the ratios for a power law,
    as bursts are: nothing is assumed Poisson, and a chatty key has a higher bar than a steady one. A tail probability p of a
    bucket, smoothed over n buckets, comes once in n / p buckets, and on one of k scales k times as often (Bonferroni): that
    makes scales comparable, and is what a rule can be told. It is right to a factor of two or three, for what is rare comes in
    clusters.

    Mean and tail learn only up to a limit from what is extraordinary (Huber's winsorising), so that an alarm does not hide the
    next; what stays becomes usual within days.

    J. Pickands (1975), Statistical Inference Using Extreme Order Statistics, Annals of Statistics 3(1), 119-131, for the
    exponential tail above a bar (B. M. Hill, 1975, ibid. 3(5), on the log scale); A. Siffer et al. (2017), Anomaly Detection in
    Streams with Extreme Value Theory, KDD, for its use online. The bar follows a quantile by stochastic approximation: H.
    Robbins and S. Monro (1951), Annals of Mathematical Statistics 22(3). P. J. Huber (1964), ibid. 35(1).

    Raises:
        ValueError: the bucket lies before the end of the newest one: buckets come in order, and once.
    """
    state = _caught_up(parameters, state, start_ms)
    rates, slot = _rates(parameters), _slot(start_ms)
    if settling(parameters, state):
        known = _settle(rates, state, start_ms + parameters.bucket_ms, count)
        return known, CountReading(RARITY_RANGE[0], count, _base(known), 1.0, parameters.scales_ms[0])
    base, factor = _base(state), _factor(rates, state, slot)
    expected = base * factor
    judged = [_judge(rates, index, scale, (count, expected)) for index, scale in enumerate(state.scales)]
    loudest = max(range(len(judged)), key=lambda index: judged[index][1])
    moved, statistic, ratio = judged[loudest]
    learnt = min(count, parameters.cap * (expected + parameters.grain))
    known = CountBaseline(
        start_ms + parameters.bucket_ms,
        state.buckets + 1,
        rates.keep * state.level_sum + learnt / factor,
        rates.keep * state.level_weight + 1,
        _put(state.slot_sums, slot, rates.slot_keep * state.slot_sums[slot] + min(learnt / base, _MOST_FACTOR)),
        _put(state.slot_weights, slot, rates.slot_keep * state.slot_weights[slot] + 1),
        tuple(_learn(rates, state.buckets, scale, ratio) for scale, _, ratio in judged),
    )
    return known, CountReading(statistic, moved.count, moved.expected, exp(ratio), parameters.scales_ms[loudest])


def settling(parameters: BaselineParameters, state: CountBaseline) -> bool:
    """Tell whether too little is known of the key yet to judge a bucket."""
    return state.buckets < _rates(parameters).settling


def _settle(rates: _Rates, state: CountBaseline, at_ms: int, count: int) -> CountBaseline:
    """Take in a bucket of a key of which next to nothing is known: the level alone, and without a limit to hold it to."""
    level, weight = rates.keep * state.level_sum + count, rates.keep * state.level_weight + 1
    known = msgspec.structs.replace(state, at_ms=at_ms, buckets=state.buckets + 1, level_sum=level, level_weight=weight)
    return msgspec.structs.replace(known, scales=tuple(_fresh(rates, _base(known)) for _ in rates.smoothing))


def skip(parameters: BaselineParameters, state: CountBaseline, until_ms: int) -> CountBaseline:
    """Take the empty buckets up to `until_ms` into the past, at once however many: the limit of as many steps with no message.

    A state without a past has nothing to forget.
    """
    if state.at_ms is None or until_ms <= state.at_ms:
        return state
    rates, gone = _rates(parameters), (until_ms - state.at_ms) / parameters.bucket_ms
    visits = [covered / parameters.bucket_ms for covered in _slots_between(state.at_ms, until_ms)]
    keep, slots = rates.keep**gone, [rates.slot_keep**seen for seen in visits]
    quiet = CountBaseline(
        until_ms,
        state.buckets + round(gone),
        keep * state.level_sum,
        keep * state.level_weight + (1 - keep) / (1 - rates.keep),
        tuple(kept * total for kept, total in zip(slots, state.slot_sums, strict=True)),
        tuple(
            kept * weight + (1 - kept) / (1 - rates.slot_keep) for kept, weight in zip(slots, state.slot_weights, strict=True)
        ),
    )
    expected = expectation(parameters, quiet, until_ms)
    scales = tuple(_quieten(rates, index, scale, (state.buckets, gone, expected)) for index, scale in enumerate(state.scales))
    return msgspec.structs.replace(quiet, scales=scales)


def expectation(parameters: BaselineParameters, state: CountBaseline, start_ms: int) -> float:
    """Return how many messages are usual in a bucket that starts then."""
    return _base(state) * _factor(_rates(parameters), state, _slot(start_ms))


def _caught_up(parameters: BaselineParameters, state: CountBaseline, start_ms: int) -> CountBaseline:
    if state.at_ms is not None and start_ms < state.at_ms:
        raise ValueError(f"a bucket that starts at {start_ms} comes after one that ends at {state.at_ms}")
    return skip(parameters, state, start_ms)


def _slot(start_ms: int) -> int:
    return start_ms % _DAY_MS * _SLOTS // _DAY_MS


def _base(state: CountBaseline) -> float:
    """Return the level, a bucket, whatever the hour; half a message in one bucket before anything is known."""
    return (state.level_sum + 0.5) / (state.level_weight + 1)


def _factor(rates: _Rates, state: CountBaseline, slot: int) -> float:
    return (state.slot_sums[slot] + rates.pull) / (state.slot_weights[slot] + rates.pull)


def _put(values: tuple[float, ...], index: int, value: float) -> tuple[float, ...]:
    return (*values[:index], value, *values[index + 1 :])


def _fresh(rates: _Rates, expected: float) -> ScaleState:
    return ScaleState(expected, expected, _PRIOR_BAR, _PRIOR_SLOPE * rates.prior_passes, rates.prior_passes)


def _slope(scale: ScaleState) -> float:
    return max(scale.excess / scale.passes, _LEAST_SLOPE)


def _judge(rates: _Rates, index: int, scale: ScaleState, bucket: tuple[float, float]) -> tuple[ScaleState, float, float]:
    """Return the scale with the bucket's count and expectation in it, the rarity and the log-ratio."""
    smoothing, grain = rates.smoothing[index], rates.grains[index]
    count = scale.count + smoothing * (bucket[0] - scale.count)
    expected = scale.expected + smoothing * (bucket[1] - scale.expected)
    ratio = log((count + grain) / (expected + grain))
    tail = -log10(_TAIL) + (ratio - scale.bar) / _slope(scale) / log(10)
    low, high = RARITY_RANGE
    moved = ScaleState(count, expected, scale.bar, scale.excess, scale.passes)
    return moved, min(max(tail - log10(len(rates.smoothing) * rates.per_day * smoothing), low), high), ratio


def _learn(rates: _Rates, buckets: int, scale: ScaleState, ratio: float) -> ScaleState:
    slope, pace = _slope(scale), max(2 * rates.tail_rate, 1 / (buckets + rates.settling))
    if ratio <= scale.bar:
        return ScaleState(scale.count, scale.expected, max(0.0, scale.bar - pace * slope), scale.excess, scale.passes)
    excess = ratio - scale.bar
    weight = min(1.0, _MOST_EXCESS * slope / excess)
    keep = 1 - weight * min(0.5, rates.tail_rate / _TAIL)
    return ScaleState(
        scale.count,
        scale.expected,
        scale.bar + pace * slope * (1 - _TAIL) / _TAIL,
        keep * scale.excess + weight * min(excess, _MOST_EXCESS * slope),
        keep * scale.passes + weight,
    )


def _quieten(rates: _Rates, index: int, scale: ScaleState, silence: tuple[int, float, float]) -> ScaleState:
    buckets, gone, expected = silence
    keep = (1 - rates.smoothing[index]) ** gone
    settled = max(0.0, 1 / (2 * rates.tail_rate) - rates.settling - buckets)
    early = min(gone, settled)
    fall = log((buckets + rates.settling + early) / (buckets + rates.settling)) + 2 * rates.tail_rate * (gone - early)
    return ScaleState(
        keep * scale.count,
        keep * scale.expected + (1 - keep) * expected,
        max(0.0, scale.bar - fall * _slope(scale)),
        scale.excess,
        scale.passes,
    )


def _slots_between(start_ms: int, end_ms: int) -> list[int]:
    """Return how many milliseconds of the stretch fall into each slot of the day."""
    width = _DAY_MS // _SLOTS
    days, rest = divmod(end_ms - start_ms, _DAY_MS)
    begin = start_ms % _DAY_MS
    inside = [_overlap(begin, begin + rest, slot * width, width) for slot in range(2 * _SLOTS)]
    return [days * width + inside[slot] + inside[slot + _SLOTS] for slot in range(_SLOTS)]


def _overlap(start: int, end: int, slot_start: int, width: int) -> int:
    return max(0, min(end, slot_start + width) - max(start, slot_start))
