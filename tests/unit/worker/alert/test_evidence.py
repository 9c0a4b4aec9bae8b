from tests.unit.worker.alert.builders import rules, signal
from worker.alert import windows
from worker.alert.detectors import Reading
from worker.alert.evidence import gather, model_of
from worker.messages import ModelRef

READING = Reading("breach", 0.7, 0.5)


def test_samples_come_from_the_whole_window() -> None:
    """The worst of all buckets, not of the last."""
    buckets: windows.Buckets = ()
    for at_s, score in ((1, -0.6), (2, -0.8), (11, -0.7), (12, -0.1), (21, -0.9)):
        buckets = windows.add(buckets, signal(at_s, score=score), 10_000)
    evidence = gather(rules().rules[0], buckets, 30_000, READING)
    assert [sample.score for sample in evidence.samples] == [-0.9, -0.8, -0.7]
    assert (evidence.messages, evidence.negatives, evidence.window_start_ms) == (5, 5, -20_000)
    assert evidence.samples[0].excerpt == "the words"


def test_empty_window_has_evidence_too() -> None:
    """No messages, a share of nothing, no samples and no model."""
    evidence = gather(rules().rules[0], (), 30_000, READING)
    assert (evidence.messages, evidence.negative_share, evidence.samples) == (0, 0.0, ())
    assert model_of(()) is None


def test_model_is_that_of_the_newest_messages() -> None:
    """A window that spans a change of model names the new one."""
    new = ModelRef("sentiment", "2")
    buckets = windows.add(windows.add((), signal(1), 10_000), signal(11, model=new), 10_000)
    assert model_of(buckets) == new
