"""Why an alert changed state: the window's figures and the messages that weighed most. Pure."""

from worker.alert.detectors import Reading
from worker.alert.rules import Rule
from worker.alert.windows import Buckets, count, most_negative
from worker.messages import Evidence, ModelRef


def gather(rule: Rule, window: Buckets, end_ms: int, reading: Reading) -> Evidence:
    """Write down what `reading` was made from: the buckets of the window that ends at `end_ms`."""
    messages, negatives = count(window), sum(bucket.negatives for bucket in window)
    return Evidence(
        window_start_ms=end_ms - rule.detector.window,
        window_end_ms=end_ms,
        messages=messages,
        negatives=negatives,
        negative_share=negatives / messages if messages else 0.0,
        detector=rule.detector.type,
        statistic=reading.statistic,
        threshold=reading.threshold,
        samples=most_negative(tuple(sample for bucket in window for sample in bucket.samples)),
    )


def model_of(window: Buckets) -> ModelRef | None:
    """Return the model that scored the newest messages of the window, None if it is empty."""
    return window[-1].model if window else None
