import hashlib
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from worker import app
from worker.app import check_model, check_model_file, load_contract, load_rules, load_settings, load_tokenizer, load_watchlist
from worker.errors import ContractError, FatalError, RetryableError, SettingsError
from worker.settings import Settings
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


class Stop(threading.Event):
    """Keeps how long it was waited for; set after so many waits."""

    def __init__(self, waits: int = 100) -> None:
        super().__init__()
        self.waited: list[float] = []
        self._waits = waits

    def wait(self, timeout: float | None = None) -> bool:
        """Do not wait."""
        self.waited.append(timeout or 0)
        return len(self.waited) >= self._waits


def test_a_neighbour_that_is_not_there_yet_is_waited_for() -> None:
    """With pauses of 1 s doubling to 15 s."""
    answers = iter([RetryableError("away")] * 6)
    stop = Stop()

    def call() -> str:
        for error in answers:
            raise error
        return "here"

    assert app._patiently("Kafka", call, stop) == "here"
    assert stop.waited == [1, 2, 4, 8, 15, 15]


def test_a_stop_ends_the_waiting() -> None:
    """Ctrl-C while a neighbour is away leaves with its last error."""

    def call() -> None:
        raise RetryableError("away")

    with pytest.raises(RetryableError, match="away"):
        app._patiently("Kafka", call, Stop(waits=2))


def test_an_error_that_will_not_pass_is_not_waited_for() -> None:
    """A wrong contract stays wrong."""

    def call() -> None:
        raise ContractError("another model")

    stop = Stop()
    with pytest.raises(ContractError):
        app._patiently("the model", call, stop)
    assert stop.waited == []


class Loop:
    """A role that ends when told to, or with an error."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.finished = False

    def run(self, stop: threading.Event) -> None:
        """Work."""
        if self.error:
            raise self.error
        stop.wait(30)
        self.finished = True


@pytest.mark.parametrize("error", [FatalError("fenced"), ZeroDivisionError()])
def test_one_role_that_ends_ends_the_others_in_order(error: Exception) -> None:
    """The others finish what they have in hand; the process leaves with the cause, so that it is started anew."""
    quiet, stop = Loop(), threading.Event()
    with pytest.raises(type(error)):
        app._run({"score": Loop(error), "alert": quiet}, stop)
    assert quiet.finished


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_work(monkeypatch: pytest.MonkeyPatch, number: signal.Signals) -> None:
    """It sets a flag and nothing else; roles finish, and the handlers of before come back."""
    before = signal.getsignal(number)
    loops = {"score": Loop(), "alert": Loop()}
    monkeypatch.setattr(app, "build_score", lambda *_: loops["score"])
    monkeypatch.setattr(app, "build_alert", lambda *_: loops["alert"])
    timer = threading.Timer(0.05, os.kill, (os.getpid(), number))
    timer.start()
    app.work(Settings(), ["score", "alert"])
    timer.join()
    assert loops["score"].finished
    assert loops["alert"].finished
    assert signal.getsignal(number) is before


def test_what_was_built_is_closed_when_the_rest_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error while building leaves no connection open."""
    closed: list[str] = []

    def half(_settings: Settings, stack: Any, _stop: threading.Event) -> None:
        stack.callback(closed.append, "the sink")
        raise ContractError("no")

    monkeypatch.setattr(app, "build_score", half)
    with pytest.raises(ContractError):
        app.work(Settings(), ["score"])
    assert closed == ["the sink"]


def test_batches_are_no_larger_than_the_model_takes() -> None:
    """The model's own limit bounds the setting."""
    small = msgspec.structs.replace(contract(), max_batch_size=8)
    options = app._score_options(Settings(), small)
    assert options.limits.max_texts == 8
    assert options.limits.buckets == small.buckets
