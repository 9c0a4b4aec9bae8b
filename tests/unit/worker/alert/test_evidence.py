import pytest

from tests.unit.worker.alert.builders import RULE, rules, signal
from worker.alert import windows
from worker.alert.detectors import Reading
from worker.alert.evidence import Scene, gather, labels_of, link_of
from worker.alert.ring import EMPTY, close
from worker.alert.rules import Rule

READING = Reading("breach", 0.7, 0.5, 0.2)
LABELLED = """
rules:
  - name: outage
    detector: {type: share}
    severity: critical
    labels: {team: care, severity: mine}
    link: https://logs.example/?key={alert_key}&from={start_ms}&to={end_ms}&id={alert_id}&rule={rule}&raw={other}
"""


def scene(rule: Rule, scores: dict[int, float], reading: Reading, late: int = 0) -> Scene:
    """What the rule saw at 30 s of signals with these scores by their seconds."""
    buckets: windows.Buckets = ()
    for at_s, score in scores.items():
        buckets = windows.add(buckets, signal(at_s, score=score), 10_000)
    return Scene(30_000, close(EMPTY, buckets, 30_000, rule.detector.spans_ms), late, reading)


def test_samples_come_from_the_whole_window() -> None:
    """The worst of all buckets, not of the last."""
    (rule,) = rules().rules
    evidence = gather(rule, scene(rule, {1: -0.6, 2: -0.8, 11: -0.7, 12: -0.1, 21: -0.9}, READING, 2))
    assert [sample.score for sample in evidence.samples] == [-0.9, -0.8, -0.7]
    assert (evidence.messages, evidence.negatives, evidence.window_start_ms) == (5, 5, -20_000)
    assert evidence.samples[0].excerpt == "the words"
    assert evidence.mean_score == pytest.approx(-0.62)
    assert (evidence.statistic, evidence.threshold, evidence.baseline, evidence.late) == (0.7, 0.5, 0.2, 2)


def test_evidence_is_of_the_span_that_decided() -> None:
    """Not of the whole window, whose figures would contradict the statistic."""
    (rule,) = rules(RULE.replace("bucket: 10s", "bucket: 10s, shortest_window: 20s")).rules
    evidence = gather(rule, scene(rule, {1: -0.96, 2: -0.98, 11: -0.7, 21: -0.9}, READING._replace(span_ms=20_000)))
    assert (evidence.window_start_ms, evidence.window_end_ms) == (10_000, 30_000)
    assert (evidence.messages, evidence.negatives, evidence.negative_share) == (2, 2, 1.0)
    assert [sample.score for sample in evidence.samples] == [-0.9, -0.7]


def test_empty_window_has_evidence_too() -> None:
    """No messages, a share of nothing and no samples."""
    evidence = gather(rules().rules[0], Scene(30_000, EMPTY, 0, READING))
    assert (evidence.messages, evidence.negative_share, evidence.mean_score, evidence.samples) == (0, 0.0, 0.0, ())


@pytest.mark.parametrize(
    ("alert_key", "scope"), [("entity:acme", {"entity": "acme"}), ("topic:a:b", {"topic": "a:b"}), ("plain", {}), ("odd:", {})]
)
def test_labels_name_the_alert(alert_key: str, scope: dict[str, str]) -> None:
    """Rule, key, what the key stands for and severity, as Alertmanager has them; the rule's own cannot hide those."""
    (rule,) = rules(LABELLED).rules
    own = {"alertname": "outage", "alert_key": alert_key, "severity": "critical", "team": "care"}
    assert labels_of(rule, alert_key) == own | scope


def test_link_is_filled_in_and_quoted() -> None:
    """Keys are other people's words and may hold anything; places that are none stay as they are."""
    (rule,) = rules(LABELLED).rules
    evidence = gather(rule, Scene(300_000, EMPTY, 0, READING))
    link = link_of(rule, "topic:a&b c/d", "0123", evidence)
    assert link == "https://logs.example/?key=topic%3Aa%26b%20c%2Fd&from=0&to=300000&id=0123&rule=outage&raw={other}"
    assert link_of(rules().rules[0], "k", "0123", evidence) is None
