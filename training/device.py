"""Where a model is served; apart from `repository`, so that the command line need not load protobuf to name it."""

from __future__ import annotations

from enum import StrEnum


class Device(StrEnum):
    """Where Triton runs the model."""

    CPU = "cpu"
    GPU = "gpu"
