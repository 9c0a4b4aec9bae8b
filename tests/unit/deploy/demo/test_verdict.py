"""The verdict names every broken promise, and finds none in a good run."""

import json
from collections.abc import Callable

import pytest

from deploy.local.demo.ledger import Position
from deploy.local.demo.stage import Stage
from deploy.local.demo.verdict import Verdict, judge
from tests.unit.deploy.demo.builders import a_dead_letter, a_good_run, a_message, a_prediction, a_stage, an_alert

PROMISED = {
    "messages",
    "predictions",
    "duplicates",
    "lost",
    "dead_letters",
    "alerts_fired",
    "alerts_resolved",
    "throughput_per_s",
    "latency_ms_p50",
    "latency_ms_p99",
}


def judged(stage: Stage) -> Verdict:
    """The verdict on a run."""
    return judge(stage.ledger, stage.alerts, "topic:film", {"kafka": "apache-kafka 4.3.1"})


def test_a_good_run() -> None:
    """Nothing to complain of, and every figure there."""
    verdict = judged(a_good_run())
    assert verdict.problems == ()
    assert verdict.figures.keys() >= PROMISED
    assert verdict.figures.items() >= {"messages": 2, "lost": 0, "duplicates": 0, "dead_letters": 1}.items()
    assert verdict.figures["kafka"] == "apache-kafka 4.3.1"


def test_figures_are_json() -> None:
    """The figures of a run without a single answer are JSON too: no NaN."""
    assert "NaN" not in json.dumps(judged(a_stage()).figures)


def lose(stage: Stage) -> None:
    """A message without an answer."""
    stage.ledger.sent(a_message("gone"), 1.0)


def double(stage: Stage) -> None:
    """A second answer."""
    stage.ledger.prediction(a_prediction("m-1"))


def surprise(stage: Stage) -> None:
    """An answer that nobody asked for."""
    stage.ledger.prediction(a_prediction("stranger"))


def refuse(stage: Stage) -> None:
    """A record that Kafka did not take."""
    stage.ledger.failed(a_message("m-1"), "too large")


def mistake(stage: Stage) -> None:
    """A dead letter of a good message."""
    stage.ledger.dead_letter(a_dead_letter(Position("chat", 3, 3)))


def fire_again(stage: Stage) -> None:
    """The same alert event twice."""
    stage.alerts.on_topic(an_alert("firing"))


def fire_elsewhere(stage: Stage) -> None:
    """An alert where nothing was wrong."""
    stage.alerts.on_topic(an_alert("firing", alert="a2", key="topic:work"))


def empty_redis(stage: Stage) -> None:
    """Events that are on the topic alone."""
    stage.alerts.in_redis([])


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lose, "1 lost: gone"),
        (double, "1 doubled"),
        (surprise, "1 unexpected"),
        (refuse, "1 not taken by Kafka: m-1: too large"),
        (mistake, "1 unexpected"),
        (fire_again, "1 alert events doubled"),
        (fire_elsewhere, "an alert on topic:work, where nothing was wrong"),
        (empty_redis, "Redis and Kafka do not hold the same alert events"),
    ],
)
def test_each_broken_promise_is_named(spoil: Callable[[Stage], None], complaint: str) -> None:
    """One thing wrong makes the run fail, and the complaint says which."""
    stage = a_good_run()
    spoil(stage)
    assert any(complaint in problem for problem in judged(stage).problems)


def test_no_alert_is_a_broken_promise() -> None:
    """A run without an alert that fired and resolved fails."""
    assert "no alert on topic:film both fired and resolved" in judged(a_stage()).problems


def test_long_lists_are_cut() -> None:
    """Of many lost ids a few are named."""
    stage = a_good_run()
    for number in range(50):
        stage.ledger.sent(a_message(f"gone-{number:02}"), 1.0)
    (problem,) = judged(stage).problems
    assert problem == "50 lost: gone-00, gone-01, gone-02, gone-03, gone-04, …"
