"""From drifted rows to a fired alert: training writes signals, the alert role decides on them by an ordinary rule."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from training.drift.signals import Watched, lines, signals, strength
from training.drift.statistics import Drift, Limits
from worker import produce as producing
from worker.alert.loading import AlertOptions, AlertPorts
from worker.alert.relay import Relay
from worker.alert.role import AlertRole
from worker.alert.rules import parse_rules
from worker.cli import build
from worker.codec import decode_alert_event, decode_signal
from worker.errors import SettingsError
from worker.messages import AlertEvent, OutRecord
from worker.produce import Plan, produce
from worker.settings import KafkaSettings
from worker.testing.alert_store import InMemoryAlertStore
from worker.testing.broker import InMemoryBroker, InMemoryHistory, InMemorySink, InMemorySource

TOPIC, HOUR_MS = "sentiment.signals", 3_600_000
RULES = """
rules:
  - name: model-drift
    scope: {keys_matching: "model:.*"}
    detector: {type: single, threshold: 0.5, window: 1h, bucket: 1m}
    severity: warning
"""


def rows(count: int, words: int, seed: int) -> str:
    """Texts of about so many words, as JSON lines."""
    draw = np.random.default_rng(seed)
    lengths = words + draw.integers(0, 4, count)
    return "".join(json.dumps({"text": " ".join(["calm"] * int(n)), "lang": "en"}) + "\n" for n in lengths)


class Producer:
    """Puts what is sent into a broker in memory, at the time that it is of."""

    def __init__(self, broker: InMemoryBroker) -> None:
        self.broker = broker

    def require(self, topic: str) -> None:
        """Every topic is there."""

    def send(self, record: OutRecord) -> None:
        """Produce."""
        at_ms = json.loads(record.value or b"")["event_time_ms"]
        self.broker.produce(OutRecord(record.topic, record.key, record.value, (), at_ms))

    def flush(self) -> None:
        """Nothing is queued."""


def found(folder: Path, words: int) -> Path:
    """What `tidings drift --signals` writes of texts of about so many words, where it once were eight."""
    (folder / "then.jsonl").write_text(rows(300, 8, seed=0))
    (folder / "now.jsonl").write_text(rows(300, words, seed=1))
    asked = ["drift", str(folder / "now.jsonl"), "-r", str(folder / "then.jsonl"), "-m", str(folder), "--json"]
    result = CliRunner().invoke(build(), [*asked, "--signals", str(folder / "drift.jsonl")])
    assert result.exit_code == (0 if words == 8 else 3), result.output
    return folder / "drift.jsonl"


def an_hour_later(file: Path) -> Path:
    """Signals of the same model of which nothing is amiss: what moves event time on."""
    at_ms = json.loads(file.read_text().splitlines()[0])["event_time_ms"] + HOUR_MS
    calm = Drift("words", 0.01, 0.02, 0.9, 300, 300, drifted=False, told="median 9, now 9")
    file.with_name("later.jsonl").write_text(lines(signals([calm], Watched("sentiment", "1", at_ms), Limits())))
    return file.with_name("later.jsonl")


def decided(files: Sequence[Path], monkeypatch: pytest.MonkeyPatch) -> list[AlertEvent]:
    """The events of an alert role after `tidings produce --signals` sent these files."""
    broker, store = InMemoryBroker({TOPIC: 1, "sentiment.alerts": 1}), InMemoryAlertStore()
    monkeypatch.setattr(producing, "PlainProducer", lambda _settings: Producer(broker))
    for file in files:
        with file.open("rb") as read:
            produce(KafkaSettings(), Plan(TOPIC, 0, as_signals=True), read)
    records = broker.records(TOPIC)
    assert {record.key for record in records} == {b"model:sentiment"}
    newest_s = max(decode_signal(record.value).event_time_ms for record in records) / 1000
    ports = AlertPorts(InMemorySource(broker, "alert"), store, InMemoryHistory(broker))
    relay = Relay(InMemorySink(broker), store, jitter=lambda: 0.0)
    options = AlertOptions(allowed_lateness_ms=0, wall_clock=lambda: newest_s + 1)
    AlertRole(ports, relay, parse_rules(RULES), options).run_until_idle()
    return [decode_alert_event(record.value or b"") for record in broker.records("sentiment.alerts")]


def test_drifted_inputs_fire_an_alert_that_says_what_moved(tmp_path, monkeypatch) -> None:
    """By an ordinary rule on the key of the model, with the features as evidence; and it is over when nothing is amiss."""
    file = found(tmp_path, words=20)
    events = decided([file, an_hour_later(file)], monkeypatch)
    assert [(event.alert_key, event.rule, event.state) for event in events][:1] == [
        ("model:sentiment", "model-drift", "firing")
    ]
    evidence = events[0].evidence
    assert evidence.statistic > evidence.threshold == 0.5
    worst = evidence.samples[0]
    assert worst.source in {"words", "characters"}
    assert worst.excerpt.startswith(f"{worst.source}: median ")
    assert "calm" not in "".join(sample.excerpt for sample in evidence.samples)


def test_inputs_like_those_of_then_fire_nothing(tmp_path, monkeypatch) -> None:
    """Every feature has its signal all the same: no data would not be all well."""
    file = found(tmp_path, words=8)
    assert len(file.read_text().splitlines()) == 5
    assert decided([file, an_hour_later(file)], monkeypatch) == []


@pytest.mark.parametrize(
    ("drift", "far"),
    [
        (Drift("f", 0.2, None, None, 99, 99, drifted=True, told=""), 0.5),
        (Drift("f", 0.8, 0.01, 0.5, 99, 99, drifted=True, told=""), 0.8),
        (Drift("f", 0.0, 0.15, 1e-9, 99, 99, drifted=True, told=""), 0.5),
        (Drift("f", 0.0, 0.60, 0.5, 99, 99, drifted=False, told=""), 0.0),
    ],
)
def test_a_half_is_the_limit_whatever_it_is(drift: Drift, far: float) -> None:
    """A distance that may be chance has no part in it."""
    assert strength(drift, Limits()) == pytest.approx(far)
    assert (strength(drift, Limits()) >= 0.5) is drift.drifted


def test_what_is_no_signal_is_named_and_the_rest_was_sent(tmp_path, monkeypatch) -> None:
    """`tidings produce --signals` lets nothing into the topic that the alert role would pass over."""
    broker = InMemoryBroker({TOPIC: 1})
    monkeypatch.setattr(producing, "PlainProducer", lambda _settings: Producer(broker))
    good = signals([Drift("f", 0.3, None, None, 9, 9, drifted=True, told="")], Watched("m", "1", 5), Limits())
    (tmp_path / "mixed.jsonl").write_text(lines(good) + '{"alert_key": "model:m", "negative": 7}\n')
    with (tmp_path / "mixed.jsonl").open("rb") as read, pytest.raises(SettingsError, match="line 2 is no signal"):
        produce(KafkaSettings(), Plan(TOPIC, 0, as_signals=True), read)
    assert [record.key for record in broker.records(TOPIC)] == [b"model:m"]
