"""On what it was measured: the machine, and the versions of everything that takes part."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[3]
_PACKAGES = (
    "tidings",
    "confluent-kafka",
    "tritonclient",
    "tokenizers",
    "msgspec",
    "numpy",
    "redis",
    "rensa",
    "onnxruntime",
    "openvino",
)
_UNITS = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "amx_int8")


def describe() -> dict[str, Any]:
    """Return the machine, its load as we begin, the versions, and the commit."""
    return {
        "machine": {
            "cpu": _cpu(),
            "cores": os.cpu_count(),
            "units": [unit for unit in _UNITS if unit in _flags()],
            "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
            "system": platform.platform(),
            "load_before": [round(load, 2) for load in os.getloadavg()],
        },
        "versions": {"python": platform.python_version(), "commit": commit(), **_versions()},
    }


def commit() -> str:
    """Return the commit that is checked out, with a mark where the tree differs from it; empty outside of git."""
    told = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=10"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return told.stdout.strip()


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _cpu() -> str:
    return _line("model name") or platform.processor()


def _flags() -> set[str]:
    return set(_line("flags").split())


def _line(name: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")
