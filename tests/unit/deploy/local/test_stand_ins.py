import importlib.util
from pathlib import Path

import pytest

from deploy.local import stand_ins
from deploy.local.errors import LocalStackError
from deploy.local.paths import RunFolder
from deploy.local.process import Server
from deploy.local.report import Health, Kind


def test_the_mock_broker_says_what_it_is_and_why(tmp_path: Path) -> None:
    """Its name, what it cannot do, and why it is there; and it answers as a broker."""
    server = Server(stand_ins.mock_kafka(RunFolder(tmp_path, tmp_path / "data", keeps_data=False), "no Java"))
    server.start()
    try:
        ready = server.wait_ready()
        report = server.report()
    finally:
        server.stop()
    assert ready.software.startswith("librdkafka mock broker (confluent-kafka 2.")
    assert ready.address.startswith("127.0.0.1:")
    assert report.kind is Kind.STAND_IN
    assert all(words in report.note for words in ("5 MB a partition", "no read_committed", "(no Java)"))


def test_the_in_process_model_tells_the_worker() -> None:
    """By the one setting; there is nothing to start."""
    model = stand_ins.InProcessModel("wrong machine")
    assert model.settings() == {"TIDINGS_MODEL__BACKEND": "onnx"}
    report = model.report()
    assert (report.software, report.health, report.kind) == ("onnx in-process", Health.READY, Kind.STAND_IN)
    assert "wrong machine" in report.note


def test_the_in_process_model_needs_onnx_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to install."""
    monkeypatch.setattr(stand_ins, "find_spec", lambda _: None)
    with pytest.raises(LocalStackError, match=r"wrong machine; .*tidings\[onnx\]"):
        stand_ins.InProcessModel("wrong machine")
    assert importlib.util.find_spec("onnxruntime") is not None
