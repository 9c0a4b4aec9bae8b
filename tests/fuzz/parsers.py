"""Runs each target under atheris in a process of its own, since libFuzzer ends the process it ran in."""

import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tests.fuzz.model import ROOT
from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
_COVERAGE = re.compile(r"#\d+\s+\w+\s+cov: (\d+)")
_EXECUTIONS = re.compile(r"stat::number_of_executed_units: (\d+)")
MAX_BYTES = 4_096


@dataclass(frozen=True)
class Parsed:
    """What came of one target. `coverage` counts the edges of our Python code that were reached; `note` says what is amiss."""

    name: str
    executions: int = 0
    coverage: int = 0
    crashes: int = 0
    note: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return it for the report."""
        return asdict(self)


def run_all(seconds: int, seed: int, crashes: Path, began: Callable[[str], None]) -> list[Parsed]:
    """Run every target for so many seconds; an input that crashed one is kept in the folder `crashes`."""
    if find_spec("atheris") is None:
        return [Parsed(name, note="atheris is not installed") for name in TARGETS]
    crashes.mkdir(parents=True, exist_ok=True)
    found = []
    for name in TARGETS:
        began(name)
        found.append(run_one(name, seconds, seed, crashes))
    return found


def run_one(name: str, seconds: int, seed: int, crashes: Path) -> Parsed:
    """Run one target. Libfuzzer adds what it finds to a copy of the corpus, which is thrown away."""
    with tempfile.TemporaryDirectory() as new:
        known = CORPUS / name
        options = [
            f"-max_total_time={seconds}",
            f"-seed={seed or 1}",
            f"-max_len={MAX_BYTES}",
            f"-artifact_prefix={crashes}/{name}-",
            "-print_final_stats=1",
            "-rss_limit_mb=4096",
            "-timeout=30",
        ]
        command = [sys.executable, "-m", "tests.fuzz.guided", name, new, *([str(known)] if known.is_dir() else []), *options]
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, errors="replace", timeout=seconds + 120, check=False
        )
    said = done.stdout + done.stderr
    coverage, executions = _COVERAGE.findall(said), _EXECUTIONS.findall(said)
    crashed = done.returncode != 0
    note = _last_words(said) if crashed else ""
    return Parsed(name, int(executions[-1]) if executions else 0, int(coverage[-1]) if coverage else 0, int(crashed), note)


def _last_words(said: str) -> str:
    """The exception that ended a target, or the last line."""
    lines = [line for line in said.splitlines() if line.strip()]
    at = next((number for number, line in enumerate(lines) if "Uncaught Python exception" in line), None)
    return (lines[at + 1] if at is not None and at + 1 < len(lines) else lines[-1] if lines else "no output")[:300]
