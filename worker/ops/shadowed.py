"""What Prometheus sees of a second model: how it agrees with the first, how sure and fast it is, how alerts would differ."""

from collections.abc import Iterator

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily

from worker.ops.watch import ModelWatch
from worker.score.shadow import ShadowCounts

_PLAIN = (
    ("compared", "Messages that both models have answered."),
    ("disagreed", "Messages to which the models gave different labels."),
    ("skipped", "Messages of the share that the second model was not asked about, as it was busy."),
    ("failed", "Messages that the second model did not answer."),
    ("unpublished", "Comparisons that were not published, as there was no room."),
)


class ShadowWatch:
    """The families of one worker's second model."""

    def __init__(self, counts: ShadowCounts, model: ModelWatch) -> None:
        self._counts = counts
        self._model = model

    def families(self) -> Iterator[Metric]:
        """Yield them."""
        counts = self._counts
        for name, told in _PLAIN:
            yield CounterMetricFamily(f"tidings_shadow_{name}", told, getattr(counts, name))
        yield CounterMetricFamily(
            "tidings_shadow_probability_gap", "Largest difference of a probability, added up over messages.", counts.gap
        )
        yield _by_model(
            "tidings_shadow_confidence",
            "Probability of the label, added up over messages: the share of right labels that the model itself expects.",
            counts.serving_confidence,
            counts.shadow_confidence,
        )
        yield _by_model(
            "tidings_shadow_negative_signals",
            "Signals that would be negative by each model: what share, surge and single alerts are made of.",
            counts.serving_negative,
            counts.shadow_negative,
        )
        for family in self._model.seconds.collect():
            renamed = Metric("tidings_shadow_request_seconds", "One request to the second model, seconds.", family.type)
            for sample in family.samples:
                name = sample.name.replace("tidings_model_request", "tidings_shadow_request")
                renamed.add_sample(name, sample.labels, sample.value)
            yield renamed


def _by_model(name: str, told: str, serving: float, shadow: float) -> Metric:
    family = CounterMetricFamily(name, told, labels=["model"])
    family.add_metric(["serving"], serving)
    family.add_metric(["shadow"], shadow)
    return family
