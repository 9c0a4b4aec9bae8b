import os
from pathlib import Path
from typing import NoReturn

import pytest

from deploy.local import kafka, redis, triton
from deploy.local.config import KafkaChoice, ModelChoice, StackConfig
from deploy.local.errors import LocalStackError, MissingPackageError, NotReadyError, PartFailedError
from deploy.local.paths import RunFolder
from deploy.local.process import Ready, ServerSpec
from deploy.local.report import Health
from deploy.local.stack import LocalStack
from deploy.local.system import Say


def server(name: str, run: RunFolder, *, serves: bool = True) -> ServerSpec:
    """A part that is a line of shell."""

    def probe() -> Ready:
        if not serves:
            raise NotReadyError("never")
        return Ready(f"{name} 1", "here", {f"TIDINGS_{name.upper()}": "here"})

    script = "while :; do sleep 0.1; done" if serves else "echo broken; exit 1"
    return ServerSpec(name, ("/bin/sh", "-c", script), run.log(name), run.root, probe, {})


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StackConfig:
    """A stack whose parts start at once."""
    monkeypatch.setattr(kafka, "prepare", lambda _config, run, _say: server("kafka", run))
    monkeypatch.setattr(redis, "prepare", lambda _config, run, _say: server("redis", run))
    monkeypatch.setattr(triton, "prepare", lambda _config, run, _say: server("triton", run))
    monkeypatch.setattr(triton, "check_repository", lambda _: None)
    return StackConfig(state=tmp_path / "state", cache=tmp_path / "cache", triton=ModelChoice.TRITON)


def no_java(*_: object) -> NoReturn:
    """What `kafka.prepare` does on a machine without Java."""
    raise MissingPackageError("Java is missing")


def test_parts_are_started_reported_and_reached_by_name(config: StackConfig) -> None:
    """In their order, with the settings of all."""
    with LocalStack.start(config) as stack:
        assert stack.names == ("kafka", "redis", "triton")
        assert stack.versions() == {"kafka": "kafka 1", "redis": "redis 1", "triton": "triton 1"}
        assert set(stack.settings_env()) == {"TIDINGS_KAFKA", "TIDINGS_REDIS", "TIDINGS_TRITON"}
        assert stack.ready()
        stack.server("redis").kill()
        assert not stack.ready()
        assert [report.health for report in stack.reports()] == [Health.READY, Health.DEAD, Health.READY]
    assert not any(report.pids for report in stack.reports())


def test_only_the_parts_wanted_are_started(config: StackConfig) -> None:
    """A test that needs Redis alone waits for nothing else."""
    with LocalStack.start(config.but(parts=frozenset({"redis"}))) as stack:
        assert stack.names == ("redis",)
        with pytest.raises(LocalStackError, match="kafka was not started by this stack"):
            stack.server("kafka")


def test_a_part_that_fails_takes_down_the_others(config: StackConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error is that part's; nothing stays behind but the logs."""
    pids = config.state / "pids"

    def with_pid(_config: StackConfig, run: RunFolder, _say: Say) -> ServerSpec:
        spec = server("kafka", run)
        return ServerSpec("kafka", ("/bin/sh", "-c", f"echo $$ > {pids}; sleep 1000"), spec.log, spec.folder, spec.probe, {})

    monkeypatch.setattr(kafka, "prepare", with_pid)
    monkeypatch.setattr(triton, "prepare", lambda _config, run, _say: server("triton", run, serves=False))
    with pytest.raises(PartFailedError, match=r"(?s)triton ended with status 1.*broken"):
        LocalStack.start(config)
    (run,) = (config.state / "runs").iterdir()
    assert {path.name for path in run.iterdir()} == {"logs", "lock"}
    if pids.read_text().strip():
        with pytest.raises(ProcessLookupError):
            os.kill(int(pids.read_text()), 0)


def test_without_java_the_mock_broker_stands_in(config: StackConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said while starting and shown in the report; whoever asks for Apache Kafka gets the error instead."""
    monkeypatch.setattr(kafka, "prepare", no_java)
    only_kafka = config.but(parts=frozenset({"kafka"}))
    said: list[str] = []
    with LocalStack.start(only_kafka, said.append) as stack:
        assert stack.versions()["kafka"].startswith("librdkafka mock broker")
        assert "Java is missing" in stack.reports()[0].note
    assert "no real Kafka: Java is missing" in said
    with pytest.raises(MissingPackageError, match="Java is missing"):
        LocalStack.start(only_kafka.but(kafka=KafkaChoice.APACHE))


def test_without_a_triton_for_the_machine_the_worker_runs_the_model(
    config: StackConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No repository is needed to start then, and the worker is told."""
    monkeypatch.setattr(triton, "unsupported", lambda: "no Triton here")
    with LocalStack.start(config.but(parts=frozenset({"triton"}), triton=ModelChoice.AUTO)) as stack:
        assert stack.settings_env() == {"TIDINGS_MODEL__BACKEND": "onnx"}
        assert stack.versions() == {"triton": "onnx in-process"}


def test_a_missing_model_is_known_before_anything_starts(tmp_path: Path) -> None:
    """Not after a minute of downloads."""
    config = StackConfig(state=tmp_path / "state", model_repository=tmp_path / "none", triton=ModelChoice.TRITON)
    with pytest.raises(LocalStackError, match="there is no model repository"):
        LocalStack.start(config)
    assert not config.state.exists()
