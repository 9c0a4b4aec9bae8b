"""What the shipped model makes of texts: worked out once, and kept under `build/backtest` by the model's digest."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import track

from tests.benchmarks.nab.data import ROOT
from worker.adapters.onnx import OnnxModel
from worker.messages import Label
from worker.ports import TokenBatch
from worker.score.calibration import Calibration
from worker.score.contract import Contract, parse_contract
from worker.score.tokenizer import Tokenizer

FOLDER = ROOT / "triton_repo" / "sentiment"
CACHE = ROOT / "build" / "backtest" / "sentiments"
_BATCH = 64


class Read(NamedTuple):
    """One text as the model reads it: its label, the probability of `negative`, the score from -1 to 1."""

    label: Label
    negative: float
    score: float


def read(texts: Iterable[str], console: Console) -> dict[str, Read]:
    """Return what the model makes of each text, asking it for those alone that it was not asked for before."""
    contract = parse_contract((FOLDER / "contract.json").read_bytes())
    path = CACHE / f"{contract.model.onnx_sha256[:16]}.json"
    known: dict[str, tuple[Label, float, float]] = json.loads(path.read_text()) if path.exists() else {}
    wanted = {_digest(text): text for text in texts}
    missing = sorted((text for digest, text in wanted.items() if digest not in known), key=len)
    if missing:
        known |= {
            _digest(text): (found.label, found.negative, found.score)
            for text, found in _ask(contract, missing, console).items()
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(known))
    return {text: Read(*known[digest]) for digest, text in wanted.items()}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _ask(contract: Contract, texts: Sequence[str], console: Console) -> dict[str, Read]:
    tokenizer = Tokenizer((FOLDER / contract.tokenizer.file).read_bytes(), contract.max_length)
    model = OnnxModel(_onnx(contract), contract.model.ref, outputs=(contract.output,))
    calibration, found = Calibration.from_contract(contract), dict[str, Read]()
    for start in track(range(0, len(texts), _BATCH), f"the model reads {len(texts):,} texts", console=console):
        some = texts[start : start + _BATCH]
        logits = model.submit(_padded(tokenizer.encode(some), contract.pad_id)).result()
        for text, sentiment in zip(some, calibration.sentiments(logits), strict=True):
            found[text] = Read(sentiment.label, round(sentiment.probabilities.negative, 6), round(sentiment.score, 6))
    model.close()
    return found


def _onnx(contract: Contract) -> Path:
    return FOLDER / contract.model.version / "model.onnx"


def _padded(rows: Sequence[Sequence[int]], pad: int) -> TokenBatch:
    longest = max(map(len, rows))
    ids = np.full((len(rows), longest), pad, np.int64)
    mask = np.zeros_like(ids)
    for place, row in enumerate(rows):
        ids[place, : len(row)] = row
        mask[place, : len(row)] = 1
    return TokenBatch(ids, mask)
