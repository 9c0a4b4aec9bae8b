"""What serves where a real part cannot run: a mock broker, and the model inside the worker."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from deploy.local import kafka
from deploy.local.config import BACKEND_VARIABLE, KAFKA_VARIABLE
from deploy.local.errors import LocalStackError, NotReadyError
from deploy.local.paths import RunFolder
from deploy.local.process import Ready, ServerSpec
from deploy.local.report import Health, Kind, PartReport

_MOCK = Path(__file__).with_name("mock_kafka.py")
MOCK_NAME = "librdkafka mock broker"
MOCK_NOTE = (
    "not a real Kafka, for the demo only: it keeps 5 MB a partition and nothing after it ends, and knows no "
    "read_committed, so exactly-once is not shown"
)
ONNX_NAME = "onnx in-process"
ONNX_NOTE = "no Triton: the worker runs the model itself with ONNX Runtime"


def mock_kafka(run: RunFolder, why: str) -> ServerSpec:
    """How to run the mock broker. Its port is its own choice and changes with each start."""
    ready_file = run.scratch("kafka") / "address"
    return ServerSpec(
        name="kafka",
        command=(sys.executable, "-P", str(_MOCK), str(ready_file)),
        log=run.log("kafka"),
        folder=run.scratch("kafka"),
        probe=lambda: _probe_mock(ready_file),
        ports={},
        ready_s=20.0,
        remove=(str(ready_file),),
        kind=Kind.STAND_IN,
        note=f"{MOCK_NOTE} ({why})",
    )


def _probe_mock(ready_file: Path) -> Ready:
    if not ready_file.exists():
        raise NotReadyError("the mock broker has not said its address")
    address = ready_file.read_text()
    kafka.check_metadata(address)
    return Ready(f"{MOCK_NAME} (confluent-kafka {version('confluent-kafka')})", address, {KAFKA_VARIABLE: address})


class InProcessModel:
    """The place of Triton when the worker runs the model itself."""

    name = "triton"

    def __init__(self, why: str) -> None:
        """Check that the worker can.

        Raises:
            LocalStackError: ONNX Runtime is not installed beside the worker.
        """
        if find_spec("onnxruntime") is None:
            raise LocalStackError(f'{why}; and for the in-process model, install: pip install "tidings[onnx]"')
        self._why = why

    def report(self) -> PartReport:
        """Always ready: there is nothing to start."""
        return PartReport("triton", Kind.STAND_IN, Health.READY, ONNX_NAME, note=f"{ONNX_NOTE} ({self._why})")

    def settings(self) -> Mapping[str, str]:
        """Tells the worker to use its own model."""
        return {BACKEND_VARIABLE: "onnx"}
