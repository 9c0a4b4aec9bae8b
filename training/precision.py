"""In what precision this machine computes fast; apart from `device`, which must not load torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

_UNITS = ("amx_bf16", "avx512_bf16", "bf16", "sve_bf16")


def bf16_pays() -> bool:
    """Say whether the GPU, or else the processor, has units that compute in bfloat16.

    A processor without them still can, by taking every product apart: measured on a first-generation EPYC, fifty times
    slower than in float32.
    """
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported())
    probe: Callable[[], Mapping[str, Any]] = getattr(torch.cpu, "get_capabilities", dict)
    return any(probe().get(unit) for unit in _UNITS)
