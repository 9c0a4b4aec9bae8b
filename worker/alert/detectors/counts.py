"""Too many messages of a key, or too many negative ones: rarer than once in so many days by the key's own past."""

from math import log10
from typing import NamedTuple

import msgspec

from worker.alert.detectors.baseline import BaselineParameters, CountBaseline, CountReading, settling, step
from worker.alert.detectors.reading import Reading, Verdict, View
from worker.alert.parameters import SurgeDetector, VolumeDetector

_DAY_MS = 86_400_000


class VolumeParameters(msgspec.Struct, frozen=True):
    """What the detector is told.

    `once_in_ms`: the return period that is too much. `resolve_share`: all is well again below this share of it. `min_ratio`:
    less than so many times the usual is never too much, however rare: on a key that hardly varies, little is.
    """

    baseline: BaselineParameters = BaselineParameters()
    once_in_ms: int = 4 * _DAY_MS
    resolve_share: float = 0.3
    min_ratio: float = 1.5


class VolumeReading(NamedTuple):
    """The verdict; `statistic` is what was held to `threshold`, both decimal logarithms of a return period in days."""

    verdict: Verdict
    statistic: float
    threshold: float
    figures: CountReading


def judge(parameters: VolumeParameters, past: CountBaseline, start_ms: int, count: int) -> tuple[CountBaseline, VolumeReading]:
    """Judge the bucket of `count` messages that starts at `start_ms`, and take it into the past.

    It is too much when the key shows such a count, on its loudest scale, less than once in `once_in_ms`; well again when what
    it shows is common, `resolve_share` of that. The statistic and its references are those of `baseline.step`. One threshold
    means the same on every key: about so many alarms a month, on one that sends ten messages a day or ten a second.

    Raises:
        ValueError: the bucket comes out of order.
    """
    past, reading = step(parameters.baseline, past, start_ms, count)
    threshold = log10(parameters.once_in_ms / _DAY_MS)
    verdict = "no_data" if settling(parameters.baseline, past) else _verdict(parameters, reading, threshold)
    return past, VolumeReading(verdict, reading.statistic, threshold, reading)


def _verdict(parameters: VolumeParameters, reading: CountReading, threshold: float) -> Verdict:
    if reading.statistic >= threshold and reading.ratio >= parameters.min_ratio:
        return "breach"
    return "clear" if reading.statistic < threshold + log10(parameters.resolve_share) else "hold"


def volume(parameters: VolumeDetector, past: CountBaseline, view: View) -> tuple[CountBaseline, Reading]:
    """Judge the count of messages. That there are none is a count like any other."""
    return _read(parameters, past, view, view.newest.messages)


def surge(parameters: SurgeDetector, past: CountBaseline, view: View) -> tuple[CountBaseline, Reading]:
    """Judge the count of negative messages; a window without enough messages says nothing about them."""
    past, reading = _read(parameters, past, view, view.newest.negatives)
    return past, reading._replace(verdict="no_data") if view.window.messages < parameters.min_messages else reading


def _read(
    parameters: VolumeDetector | SurgeDetector, past: CountBaseline, view: View, count: int
) -> tuple[CountBaseline, Reading]:
    told = VolumeParameters(
        baseline=BaselineParameters(bucket_ms=parameters.bucket),
        once_in_ms=parameters.once_in,
        resolve_share=parameters.resolve_share,
        min_ratio=parameters.min_ratio,
    )
    past, found = judge(told, past, view.at_ms - parameters.bucket, count)
    return past, Reading(found.verdict, found.statistic, found.threshold, found.figures.expected)
