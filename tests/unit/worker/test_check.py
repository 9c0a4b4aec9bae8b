import json
import sys
from pathlib import Path

import pytest

from tests.unit.worker.score.role_builders import Words
from tests.unit.worker.topics_builders import Opener, repository
from worker import app, check, cli
from worker.adapters.kafka.admin import ClusterReport, TopicReport, TopicSpec
from worker.errors import RetryableError, SettingsError
from worker.settings import KafkaSettings, Settings
from worker.testing.model import INFO, FakeModel, contract

ASKING = ("review", "feedback", "shadow")
SPEC = TopicSpec("news", reads=True, writes=False, config={})


class Store:
    """Redis of some version, or none."""

    def __init__(self, version: str | None) -> None:
        self._version = version

    def version(self) -> str:
        """Say it."""
        if self._version is None:
            raise RetryableError("nobody there")
        return self._version

    def close(self) -> None:
        """Nothing to do."""


@pytest.fixture(autouse=True)
def healthy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything as it should be."""
    monkeypatch.chdir(tmp_path)
    deploy = Path(app.__file__).parents[1] / "deploy" / "compose"
    for name in ("watchlist.yaml", "rules.yaml"):
        Path(name).write_bytes((deploy / name).read_bytes())
    kafka(monkeypatch, TopicReport(SPEC, 3))
    monkeypatch.setattr(check, "connect_store", lambda _settings: Store("7.2.4"))
    monkeypatch.setattr(app, "load_contract", lambda _settings: contract())
    monkeypatch.setattr(app, "load_tokenizer", lambda *_: None)
    monkeypatch.setattr(app, "connect_model", lambda *_: FakeModel())


def kafka(monkeypatch: pytest.MonkeyPatch, *topics: TopicReport) -> None:
    """A Kafka with these topics."""
    monkeypatch.setattr(check, "inspect", lambda _settings: ClusterReport(1, topics))


def failed() -> dict[str, tuple[str, str]]:
    """What is wrong, by name: what it says and what to do."""
    return {f.name: (f.detail, f.remedy) for f in check.findings(Settings()) if not f.ok}


def test_when_all_is_well_everything_was_looked_at() -> None:
    """Each part has a finding that says what was found."""
    found = {finding.name: finding for finding in check.findings(Settings())}
    assert list(found) == ["watchlist", "rules", "kafka", "topic news", "redis", "model contract", "model"]
    assert all(finding.ok and finding.detail for finding in found.values())
    assert "3 partitions, to read" in found["topic news"].detail
    assert "shape (1, 3)" in found["model"].detail


@pytest.mark.parametrize("name", ["watchlist", "rules"])
def test_a_missing_file_is_found(name: str) -> None:
    """With where to take one from, and the rest is looked at all the same."""
    Path(f"{name}.yaml").unlink()
    ((found, (detail, remedy)),) = failed().items()
    assert (found, f"deploy/compose/{name}.yaml" in remedy) == (name, True)
    assert f"{name}.yaml" in detail


def test_a_described_topic_without_a_model_for_it_is_found() -> None:
    """With what makes one; all else is looked at as before."""
    Path("watchlist.yaml").write_text("topics: [{name: floods, description: Water.}]")
    ((name, (detail, remedy)),) = failed().items()
    assert name == "topics by meaning"
    assert "embedding/contract.json" in detail
    assert "tidings export --embedding" in remedy


def test_a_described_topic_is_shown_with_what_it_takes_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threshold and share of the background, as the worker will have them."""
    Path("watchlist.yaml").write_text(
        "topics: [{name: floods, description: wet, threshold: 0.9}, {name: fares, description: x}]"
    )
    repository(tmp_path / "triton_repo")
    opener = Opener()
    monkeypatch.setattr(app, "load_tokenizer", lambda *_: Words())
    monkeypatch.setattr(app, "connect_model", lambda *given: opener(*given[1:]) if len(given) > 2 else FakeModel())
    found = {finding.name: finding for finding in check.findings(Settings())}
    assert "2 topics (2 known by their meaning)" in found["watchlist"].detail
    floods, fares = found["topic floods by meaning"], found["topic fares by meaning"]
    assert floods.ok
    assert floods.detail.startswith("threshold 0.900 (as given); ")
    assert "(calibrated); 2.0% of the background lies above it" in fares.detail


NOTIFY = """\
route: {receiver: team}
receivers: [{name: team, webhook_configs: [{url: http://hooks.example.org/team}]}]
"""


@pytest.mark.parametrize(
    ("text", "ok", "detail"),
    [
        (NOTIFY, True, "1 receivers in notify.yaml; team/webhook/0: plain http"),
        (NOTIFY.replace("receiver: team", "receiver: tema"), False, "no such receiver as `tema`"),
        (None, False, "notify.yaml"),
    ],
)
def test_who_is_told_is_looked_at_where_it_is_set(
    monkeypatch: pytest.MonkeyPatch, text: str | None, ok: bool, detail: str
) -> None:
    """A wrong file, or none, is found before the role starts; what is not safe is told."""
    monkeypatch.setenv("TIDINGS_NOTIFY__CONFIG", "notify.yaml")
    if text is not None:
        Path("notify.yaml").write_text(text)
    found = {finding.name: finding for finding in check.findings(Settings())}["notifications"]
    assert found.ok is ok
    assert detail in found.detail
    assert ok or "docs/notifications.md" in found.remedy


def test_topics_that_nobody_writes_need_not_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """The topic of reviews is looked at where a person is asked; that of answers is not the worker's."""
    missing = (TopicReport(TopicSpec(f"sentiment.{name}", reads=False, writes=True, config={}), 0) for name in ASKING)
    kafka(monkeypatch, *missing)
    assert failed() == {}
    monkeypatch.setenv("TIDINGS_SCORE__REVIEW_SHARE", "0.1")
    assert failed().keys() == {"topic sentiment.review"}


def test_a_kafka_that_is_away_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is said of its topics; Redis and the model are looked at all the same."""

    def away(_settings: KafkaSettings) -> ClusterReport:
        raise RetryableError("asking the brokers failed")

    monkeypatch.setattr(check, "inspect", away)
    assert failed().keys() == {"kafka"}
    assert "TIDINGS_KAFKA__BOOTSTRAP_SERVERS" in failed()["kafka"][1]


@pytest.mark.parametrize(
    ("topic", "detail", "remedy"),
    [
        (TopicReport(SPEC, 0), "does not exist", "--create-topics"),
        (TopicReport(SPEC, 3, ("read",)), "not allowed to read", "grant"),
        (TopicReport(SPEC, 0, ("describe",)), "not allowed to describe", "grant"),
    ],
)
def test_topics(monkeypatch: pytest.MonkeyPatch, topic: TopicReport, detail: str, remedy: str) -> None:
    """Missing and forbidden are told apart, each with what to do."""
    kafka(monkeypatch, topic)
    assert detail in failed()["topic news"][0]
    assert remedy in failed()["topic news"][1]


@pytest.mark.parametrize(("version", "detail"), [(None, "nobody there"), ("5.0.14", "5.0.14"), ("6.0.1", "6.0.1")])
def test_redis(monkeypatch: pytest.MonkeyPatch, version: str | None, detail: str) -> None:
    """Away, or too old."""
    monkeypatch.setattr(check, "connect_store", lambda _settings: Store(version))
    assert detail in failed()["redis"][0]


def test_a_wrong_redis_url_is_found_and_the_rest_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot even be tried is a finding as any other."""

    def wrong(_settings: Settings) -> Store:
        raise SettingsError("redis.url: expected redis://, rediss:// or unix://")

    monkeypatch.setattr(check, "connect_store", wrong)
    assert failed()["redis"][0].startswith("redis.url")
    assert [finding.name for finding in check.findings(Settings())][-1] == "model"


def test_a_model_that_cannot_be_tried_names_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """No Triton helps where an extra is missing."""

    def missing(*_: object) -> FakeModel:
        raise SettingsError("model.backend: onnx needs the `onnx` extra")

    monkeypatch.setattr(app, "connect_model", missing)
    assert failed()["model"] == ("model.backend: onnx needs the `onnx` extra", "set it right")


def test_a_release_candidate_of_redis_is_new_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Versions are not always three numbers."""
    monkeypatch.setattr(check, "connect_store", lambda _settings: Store("8.0-rc1"))
    assert failed() == {}


@pytest.mark.parametrize(("room", "fits"), [(1_004_096, True), (1_004_095, False), (None, True)])
def test_dead_letters_must_hold_whatever_the_inputs_take(monkeypatch: pytest.MonkeyPatch, room: int | None, fits: bool) -> None:
    """One record too large for them, and its partition would never get past it."""
    letters = TopicSpec("sentiment.dead-letters", reads=False, writes=True, config={})
    kafka(monkeypatch, TopicReport(SPEC, 3, (), 1_000_000), TopicReport(letters, 3, (), room))
    assert (failed() == {}) is fits
    if not fits:
        detail, remedy = failed()["topic sentiment.dead-letters"]
        assert "max.message.bytes is 1004095" in detail
        assert "1004096 or more" in remedy


def test_a_model_that_keeps_a_request_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """It accepts and never answers: that is said after a while, and not waited for."""
    monkeypatch.setattr(check, "_PROBE_TIMEOUT_S", 0.01)
    monkeypatch.setattr(app, "connect_model", lambda *_: FakeModel(manual=True))
    assert "did not answer within" in failed()["model"][0]


def test_a_model_that_is_not_the_contracts_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Differences are named, and nothing is sent to it."""
    model = FakeModel(info=type(INFO)(**{**{n: getattr(INFO, n) for n in INFO.__struct_fields__}, "versions": ("9",)}))
    monkeypatch.setattr(app, "connect_model", lambda *_: model)
    assert "version 9" in failed()["model"][0]
    assert model.shapes == []


def test_a_model_that_does_not_answer_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be loaded and fail all the same."""
    monkeypatch.setattr(app, "connect_model", lambda *_: FakeModel(failure=lambda *_: RetryableError("out of memory")))
    assert failed()["model"][0] == "out of memory"
    assert "TIDINGS_TRITON__URL" in failed()["model"][1]


@pytest.mark.parametrize("arguments", [("check",), ("check", "--json")])
@pytest.mark.parametrize("well", [True, False])
def test_the_command_shows_findings_and_exits_by_them(
    arguments: tuple[str, ...],
    well: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """0 when all is well, else 1, with the remedy; a line or a JSON object each."""
    if not well:
        kafka(monkeypatch, TopicReport(SPEC, 0))
    monkeypatch.setattr(sys, "argv", ["tidings", *arguments])
    with pytest.raises(SystemExit) as left:
        cli.main()
    out = capsys.readouterr().out
    assert left.value.code == (0 if well else 1)
    assert ("tidings check --create-topics" in out) != well
    if "--json" in arguments:
        assert [json.loads(line)["ok"] for line in out.splitlines()].count(False) == (not well)
