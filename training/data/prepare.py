"""From files of labelled texts to three parts that are clean and apart, in a folder with a report of what was done."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from training.data.cleaning import Cleaned, Rules, clean
from training.data.icwsm import LABELS, Split
from training.data.language import UNKNOWN
from training.data.rows import Row, content_hash, to_json
from training.data.splitting import Divided, Shares, by_group, by_time
from training.files import atomic_folder

REPORT_FILE = "report.json"
DROPPED_FILE = "dropped.jsonl"


@dataclass(frozen=True, slots=True)
class Plan:
    """How rows are made ready: what is cleaned, and how they are split; `in_time` splits by time rather than by group."""

    rules: Rules = field(default_factory=Rules)
    shares: Shares = field(default_factory=Shares)
    in_time: bool = False
    seed: int = 7


def prepare(rows: Sequence[Row], plan: Plan, out: Path, done: Callable[[int], None] | None = None) -> dict[str, Any]:
    """Clean and split the rows, put `train.jsonl`, `validation.jsonl`, `test.jsonl`, what was dropped and the report at `out`.

    The report, which is returned too, has counts and hashes and no text. `done` is told of rows gone through, as by `clean`.

    Raises:
        TrainingError: a part came out empty, or a split by time met a row without one; `out` is left as it was.
    """
    cleaned = clean(rows, plan.rules, done)
    divided = by_time(cleaned.rows, plan.shares) if plan.in_time else by_group(cleaned.rows, plan.shares, plan.seed)
    report = _report(rows, cleaned, divided)
    with atomic_folder(out) as folder:
        for part, found in divided.parts.items():
            _write_lines(folder / f"{part.value}.jsonl", [to_json(row) for row in found])
        _write_lines(folder / DROPPED_FILE, [json.dumps(asdict(one)) for one in cleaned.dropped])
        (folder / REPORT_FILE).write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    return report


def _report(rows: Sequence[Row], cleaned: Cleaned, divided: Divided) -> dict[str, Any]:
    return {
        "rows_read": len(rows),
        "changed": cleaned.changed,
        "dropped": cleaned.counts,
        "rows_kept": len(cleaned.rows),
        "languages": dict(Counter(row.lang or UNKNOWN for row in cleaned.rows).most_common()),
        "parts": {part.value: _part(divided.parts[part]) for part in Split},
        "left_out_of_the_split": divided.left_out,
        "crossing": asdict(divided.proof),
        "content_sha256": content_hash(cleaned.rows),
    }


def _part(rows: Sequence[Row]) -> dict[str, Any]:
    counts = Counter(row.label for row in rows)
    return {
        "rows": len(rows),
        "labels": {label: counts[label] for label in LABELS},
        "words": _lengths(rows),
        "content_sha256": content_hash(rows),
    }


def _lengths(rows: Sequence[Row]) -> dict[str, int]:
    """How many words the texts have: the middle one, all but one in twenty, and the longest."""
    lengths = sorted(len(row.text.split()) for row in rows)
    return {"median": lengths[len(lengths) // 2], "p95": lengths[int(0.95 * (len(lengths) - 1))], "max": lengths[-1]}


def _write_lines(path: Path, lines: Sequence[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
