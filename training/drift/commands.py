"""`tidings drift`: live rows against the training snapshot. What takes time to import is imported when the command runs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

if TYPE_CHECKING:
    from training.data.records import Record
    from training.drift.features import Sample
    from training.drift.statistics import Drift, Limits

DRIFTED = 3
"""The exit code that says so; 1 is an error, 2 a wrong option."""

Live = Annotated[
    list[Path], typer.Argument(help="JSONL, CSV, TSV or Parquet: predictions, inputs, or both.", show_default=False)
]
Reference = Annotated[
    Path | None,
    typer.Option(
        "--reference",
        "-r",
        help="Rows to compare with. [default: the model's training snapshot]",
        show_default=False,
    ),
]
Repository = Annotated[
    Path | None, typer.Option("--model-repository", "-m", help="Triton's models. [default: triton_repo]", show_default=False)
]
Name = Annotated[str, typer.Option(help="The model's name in the repository.")]
Psi = Annotated[float, typer.Option(min=0, help="A population stability index from here on is drift.")]
Ks = Annotated[float, typer.Option(min=0, max=1, help="So is this distance of Kolmogorov and Smirnov, if it is no chance.")]
Signals = Annotated[
    Path | None,
    typer.Option(
        help="Also write the findings as signals, for `tidings produce sentiment.signals FILE --signals` and your rules.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]


def register(app: typer.Typer) -> None:
    """Add `tidings drift` to the command line."""
    app.command("drift")(drift)


def drift(
    live: Live,
    reference: Reference = None,
    model_repository: Repository = None,
    name: Name = "sentiment",
    psi: Psi = 0.2,
    ks: Ks = 0.15,
    signals: Signals = None,
    as_json: Json = False,
) -> None:
    """Compare live rows with what the model was trained and judged on: lengths, languages, classes, confidence, embeddings.

    Whatever fields both sides have are compared, each by the population stability index and, numbers, by Kolmogorov and
    Smirnov's distance. The snapshot of the training data is made once for each model. Exit code 3: something has drifted.

    For example:

        tidings tail predictions --json -n 5000 > live.jsonl
        tidings drift live.jsonl                   # class mix and confidence
        tidings drift inputs.csv                   # lengths and languages
        tidings drift this-week.jsonl --reference last-week.jsonl --json
        tidings drift live.jsonl --signals drift.jsonl; tidings produce sentiment.signals drift.jsonl --signals
    """
    from training.command_line import errors_as_one_line

    with errors_as_one_line():
        from training.drift.features import compare, sample
        from training.drift.statistics import Limits
        from training.paths import repository_dir

        folder = (model_repository or repository_dir()) / name
        known = sample(_rows([reference])) if reference else _snapshot(folder)
        limits = Limits(psi, ks)
        drifts = compare(known, sample(_rows(live)), limits)
        if signals:
            _write_signals(signals, drifts, folder, limits)
        _tell(drifts, as_json=as_json)
        if any(one.drifted for one in drifts):
            sys.exit(DRIFTED)


def _rows(paths: Sequence[Path]) -> Iterator[Record]:
    from training.data.records import read_records

    for path in paths:
        yield from track(read_records(path), f"Reading {path.name}", console=Console(stderr=True), transient=True)


def _snapshot(folder: Path) -> Sample:
    """The validation split as the model that serves reads it."""
    from training.drift.snapshot import read_or_make

    return read_or_make(folder, _say)


def _write_signals(path: Path, drifts: Sequence[Drift], folder: Path, limits: Limits) -> None:
    """Under the version that serves; the time is that of this look, since live rows need not say theirs."""
    import time

    from training.drift.signals import Watched, lines
    from training.drift.signals import signals as signals_of
    from training.files import atomic_path
    from training.repository import read_contract

    contract = read_contract(folder) or {}
    version = str(contract.get("model", {}).get("version", "unknown"))
    with atomic_path(path) as unfinished:
        found = signals_of(drifts, Watched(folder.name, version, time.time_ns() // 1_000_000), limits)
        unfinished.write_text(lines(found), "utf-8")
    _say(f"{len(found)} signals are in {path}; tidings produce sentiment.signals {path} --signals")


def _tell(drifts: Sequence[Drift], *, as_json: bool) -> None:
    if as_json:
        features = [asdict(one) for one in drifts]
        typer.echo(json.dumps({"drifted": any(one.drifted for one in drifts), "features": features}, indent=2))
        return
    table = Table("feature", title="Live rows against the reference")
    for column in ("PSI", "KS", "p", "rows then", "rows now"):
        table.add_column(column, justify="right")
    table.add_column("what moved")
    for one in drifts:
        style = "red" if one.drifted else ""
        ks, p = ("", "") if one.ks is None or one.p is None else (f"{one.ks:.3f}", f"{one.p:.2g}")
        table.add_row(one.feature, f"{one.psi:.3f}", ks, p, f"{one.reference:,}", f"{one.live:,}", one.told, style=style)
    Console().print(table)


def _say(step: str) -> None:
    typer.secho(step, fg="cyan", err=True)
