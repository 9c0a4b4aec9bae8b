import hashlib
import os
import signal
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest
from pydantic import SecretStr

from tests.unit.worker.builders import message
from worker import app
from worker.alert.counting import AlertCounts
from worker.app import check_model, check_model_file, load_contract, load_rules, load_settings, load_tokenizer, load_watchlist
from worker.errors import ContractError, RetryableError, SettingsError
from worker.score.counts import ScoreCounts
from worker.score.outputs import ReviewPolicy
from worker.settings import OpsSettings, RedisSettings, ScoreSettings, Settings, TritonSettings, process_id
from worker.stores import store_address
from worker.testing.model import INFO, FakeModel, contract


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("load", "path"), [(load_watchlist, "watchlist.yaml"), (load_rules, "rules.yaml"), (load_contract, "contract.json")]
)
def test_a_missing_file_is_named(load: Callable[[Settings], object], path: str) -> None:
    """With its path, and the setting or the command that has to do with it."""
    with pytest.raises((SettingsError, ContractError), match=path) as missing:
        load(load_settings())
    assert any(word in str(missing.value) for word in ("score.watchlist", "alert.rules", "tidings export"))


@pytest.mark.parametrize(("load", "path"), [(load_watchlist, "watchlist.yaml"), (load_rules, "rules.yaml")])
def test_a_file_that_is_no_text_is_named(load: Callable[[Settings], object], path: str) -> None:
    """Bytes that are not UTF-8 are a wrong setting, not a traceback."""
    Path(path).write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match=path):
        load(load_settings())


def test_rules_that_look_back_further_than_state_is_kept_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """At the start, in one sentence; with the setting that it names they are taken."""
    Path("rules.yaml").write_text("rules: [{name: mood, detector: {type: shift, half_life: 3d}}]")
    with pytest.raises(SettingsError, match=r"mood looks back 30d5s .*STATE_TTL_S to 2592005 or more"):
        load_rules(load_settings())
    monkeypatch.setenv("TIDINGS_REDIS__STATE_TTL_S", "2592005")
    assert [rule.name for rule in load_rules(load_settings()).rules] == ["mood"]


def test_the_tokenizer_must_be_that_of_the_contract() -> None:
    """Another file with the same name gives other ids, and wrong scores in silence."""
    Path("triton_repo/sentiment").mkdir(parents=True)
    Path("triton_repo/sentiment/tokenizer.json").write_bytes(b"{}")
    promised = msgspec.structs.replace(contract().tokenizer, sha256=hashlib.sha256(b"another").hexdigest())
    with pytest.raises(ContractError, match=r"tokenizer\.json is not the file of the contract"):
        load_tokenizer(load_settings(), msgspec.structs.replace(contract(), tokenizer=promised))


def test_a_model_file_that_is_older_than_its_contract_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is built, so a newer contract may come without it. Where it cannot be seen, Triton alone is asked."""
    monkeypatch.setenv("TIDINGS_MODEL__REPOSITORY", str(tmp_path))
    promised = contract()
    settings = load_settings()
    check_model_file(settings, promised)
    file = tmp_path / promised.model.name / promised.model.version / "model.onnx"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"another model")
    with pytest.raises(ContractError, match=r"model\.onnx is not the file of the contract.*export again"):
        check_model_file(settings, promised)
    same = msgspec.structs.replace(promised.model, onnx_sha256=hashlib.sha256(b"another model").hexdigest())
    check_model_file(settings, msgspec.structs.replace(promised, model=same))


def test_the_served_model_is_held_to_its_contract() -> None:
    """All differences in one message; a model that is not there is another matter."""
    check_model(FakeModel(), contract())
    other = msgspec.structs.replace(INFO, versions=("7",), max_batch_size=1)
    with pytest.raises(ContractError, match=r"version 7; max_batch_size"):
        check_model(FakeModel(info=other), contract())
    gone = FakeModel()
    gone.close()
    with pytest.raises(RetryableError):
        check_model(gone, contract())


class Loop:
    """A role that ends when told to."""

    in_hand = 0

    def __init__(self, counts: object) -> None:
        self.counts = counts
        self.finished = False

    def run(self, stop: threading.Event) -> None:
        """Work."""
        stop.wait(30)
        self.finished = True

    def hasten(self) -> None:
        """Nothing is in hand."""


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_work(monkeypatch: pytest.MonkeyPatch, number: signal.Signals) -> None:
    """Meanwhile health and metrics are served; then the roles finish."""
    loops, port = {"score": Loop(ScoreCounts()), "alert": Loop(AlertCounts())}, free_port()
    monkeypatch.setattr(app, "build_score", lambda *_: loops["score"])
    monkeypatch.setattr(app, "build_alert", lambda *_: loops["alert"])
    seen: list[str] = []

    def look_and_leave() -> None:
        for path in ("healthz", "readyz", "metrics"):
            with suppress(urllib.error.HTTPError), urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}") as answer:
                seen.append(f"{path} {answer.status}")
        os.kill(os.getpid(), number)

    timer = threading.Timer(0.2, look_and_leave)
    timer.start()
    app.work(Settings(ops=OpsSettings(port=port)), ["score", "alert"])
    timer.join()
    assert loops["score"].finished
    assert loops["alert"].finished
    assert seen == ["healthz 200", "metrics 200"]


def test_what_is_wrong_is_found_before_anything_is_waited_for() -> None:
    """A missing watchlist ends the start at once, with no neighbour there to be asked."""
    with pytest.raises(ContractError, match=r"contract\.json"):
        app.work(Settings(ops=OpsSettings(port=None)), ["score"])
    with pytest.raises(SettingsError, match=r"rules\.yaml"):
        app.work(Settings(ops=OpsSettings(port=None)), ["alert"])


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://127.0.0.1:6379/0", "127.0.0.1:6379"),
        ("rediss://user:secret@redis.example:6380/1", "redis.example:6380"),
        ("unix:///run/redis.sock?db=1", "/run/redis.sock"),
    ],
)
def test_redis_is_named_without_its_password(url: str, address: str) -> None:
    """What is waited for is told in the log and on /readyz."""
    assert store_address(Settings(redis=RedisSettings(url=SecretStr(url)))) == address


@pytest.mark.parametrize(
    ("role", "topics"),
    [
        ("score", {"news", "chat", "sentiment.predictions", "sentiment.signals", "sentiment.dead-letters"}),
        ("alert", {"sentiment.signals", "sentiment.alerts"}),
    ],
)
def test_a_role_waits_for_its_own_topics_only(role: app.RoleName, topics: set[str]) -> None:
    """The others it may not even be allowed to see."""
    assert set(app._topics(Settings(), role)) == topics


def test_the_topic_of_reviews_is_waited_for_where_a_person_is_asked() -> None:
    """And the role knows whom to ask about what."""
    settings = Settings(score=ScoreSettings(review_share=0.1, review_below=0.5))
    assert app._topics(settings, "score")["sentiment.review"] == "Write"
    assert app._score_options(settings, contract()).review == ReviewPolicy("sentiment.review", 0.1, 0.5)
    assert app._score_options(Settings(), contract()).review is None


@pytest.mark.parametrize(("precision", "fills_up"), [("fp32", True), ("bf16", False), ("int8", False)])
def test_batches_are_filled_up_where_the_gates_hold_for_any_padding(precision: str, fills_up: bool) -> None:
    """Which is float32; elsewhere an answer would depend on who else came."""
    made = contract()
    made = msgspec.structs.replace(made, model=msgspec.structs.replace(made.model, precision=precision))
    assert app._score_options(Settings(), made).limits.fills_up is fills_up


@pytest.mark.parametrize(("delivery", "kind"), [("exactly_once", "KafkaSink"), ("at_least_once", "AtLeastOnceSink")])
@pytest.mark.parametrize("role", ["score", "alert"])
def test_delivery_chooses_the_sink_of_both_roles(
    role: app.RoleName, delivery: Literal["exactly_once", "at_least_once"], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With transactions under a name of the role's own, or without."""
    for name in ("KafkaSink", "AtLeastOnceSink"):
        monkeypatch.setattr(app, name, lambda *given, name=name: (name, given[1:]))
    made: Any = app._sink(Settings(delivery=delivery), role)
    names = [f"tidings-{role}-{process_id()}"] if delivery == "exactly_once" else []
    assert made == (kind, tuple(names))


def test_the_models_faults_are_borne_as_the_settings_say() -> None:
    """Attempts, the breaker and the bound in bytes reach the role."""
    triton = TritonSettings(max_attempts=3, breaker_failures=2, breaker_max_pause_s=7)
    settings = Settings(triton=triton, score=ScoreSettings(max_pending_bytes=99))
    options = app._score_options(settings, contract())
    assert (options.max_attempts, options.max_pending_bytes) == (3, 99)
    assert (options.breaker.failures, options.breaker.max_pause_s) == (2, 7)


def test_batches_are_no_larger_than_the_model_takes() -> None:
    """The model's own limit bounds the setting."""
    small = msgspec.structs.replace(contract(), max_batch_size=8)
    options = app._score_options(Settings(), small)
    assert options.limits.max_texts == 8
    assert options.limits.buckets == small.buckets
    assert app._score_options(Settings(score=ScoreSettings(buckets=(8, 64))), small).limits.buckets == (8, 64)
    assert options.drain_timeout_s == Settings().ops.shutdown_timeout_s


@pytest.mark.parametrize(
    ("score", "repeats"), [({}, True), ({"near_duplicate_cache": 0}, False), ({"duplicate_window_s": 1}, False)]
)
def test_near_duplicates_are_as_the_settings_have_them(score: dict[str, int], repeats: bool) -> None:
    """They can be switched off, and the window is theirs too."""
    index = app._duplicates(Settings(score=ScoreSettings.model_validate(score)))
    text = "Acme said that it would close its oldest plant in Ohio by spring"
    first, second = message(text, event_time_ms=0), message(f"RT @x: {text}", offset=1, event_time_ms=2_000)
    index.look_up(first)
    assert (index.look_up(second).duplicate_of(second) == "m0") == repeats
