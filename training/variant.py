"""In which precision, and by which of Triton's backends, an exported model computes; every variant is one ONNX file."""

from __future__ import annotations

from enum import StrEnum


class Variant(StrEnum):
    """A variant of the model. What each may change of the answers is in `gates.PARITY`."""

    FP32 = "fp32"
    """ONNX Runtime in float32: the answers of torch."""
    BF16 = "bf16"
    """OpenVINO in bfloat16, for CPUs that compute in it (AVX-512 BF16, AMX)."""
    FP16 = "fp16"
    """ONNX Runtime in float32 on weights that are kept at half precision: half the size (`training.compress.int8`)."""
    INT8 = "int8"
    """OpenVINO in int8 with scales fixed beforehand (`training.compress.int8`)."""
