"""The local stack's `onnxruntime` backend with a handle for faults: slow answers, and errors on some requests.

Runs in Triton's environment. `real_model.py`, `merging.py` and `session.py` lie beside it as links to the real backend. The
file that TIDINGS_CHAOS_TRITON names says what to do, in JSON: `delay_s` before each batch, `fail_every` N-th request fails.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found]
from real_model import TritonPythonModel as RealModel  # type: ignore[import-not-found]

_CONTROL = Path(os.environ.get("TIDINGS_CHAOS_TRITON", "/nonexistent"))


class TritonPythonModel(RealModel):  # type: ignore[misc]
    """The real model behind the faults that the control file asks for."""

    def initialize(self, args: dict[str, str]) -> None:
        """See the real model."""
        super().initialize(args)
        self._seen = 0

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer as the real model does, but late, or with an error in place of some answers."""
        order = _order()
        if delay_s := float(order.get("delay_s", 0)):
            time.sleep(delay_s)
        responses = list(super().execute(requests))
        if every := int(order.get("fail_every", 0)):
            for index in range(len(responses)):
                self._seen += 1
                if self._seen % every == 0:
                    error = pb_utils.TritonError("a fault that the harness asked for")
                    responses[index] = pb_utils.InferenceResponse(output_tensors=[], error=error)
        return responses


def _order() -> dict[str, Any]:
    try:
        order: dict[str, Any] = json.loads(_CONTROL.read_text())
    except (OSError, ValueError):
        return {}
    return order
