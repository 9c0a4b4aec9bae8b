"""`tidings promote`: a version into service if it is not worse, and back. What takes time to import is imported on the way."""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from training.data import Split
from training.errors import TrainingError

if TYPE_CHECKING:
    from training.promote.gates import Bounds, Check
    from training.promote.promotion import Drain, Moved
    from training.promote.server import Server
    from training.promote.versions import Version

Number = Annotated[
    str | None, typer.Argument(metavar="[VERSION]", help="A version that the model's folder holds already.", show_default=False)
]
Adapter = Annotated[Path | None, typer.Option(help="An adapter's folder: it is exported first.", show_default=False)]
Candidate = Annotated[
    Path | None,
    typer.Option("--model", help="The folder of a model exported elsewhere, with its contract.json.", show_default=False),
]
Repository = Annotated[
    Path | None, typer.Option("--model-repository", "-m", help="Triton's models. [default: triton_repo]", show_default=False)
]
Name = Annotated[str, typer.Option(help="The model's name in the repository.")]
Triton = Annotated[
    list[str],
    typer.Option(
        envvar="TIDINGS_LOCAL_TRITON_HTTP", help="HTTP endpoint of a Triton that serves the repository; may be repeated."
    ),
]
Rollback = Annotated[bool, typer.Option("--rollback", help="Back to the version that served before, in one step.")]
Part = Annotated[Split, typer.Option(help="The split that both models are held to, without --input.")]
Input = Annotated[
    Path | None,
    typer.Option(
        "--input", "-i", help="Your own set: TSV, CSV, JSONL or Parquet with columns `text` and `label`.", show_default=False
    ),
]
Beside = Annotated[
    bool, typer.Option("--beside", help="Load it beside the one that serves and leave it there, for workers to shadow.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Measure and judge, and change nothing.")]
Latency = Annotated[float, typer.Option(min=0.01, help="How many times as long the new model may take.")]
Quiet = Annotated[float, typer.Option(min=0, help="Seconds without a request after which the version before is unloaded.")]
Patience = Annotated[float, typer.Option(min=0, help="Seconds after which it is left loaded if it is still asked.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]


def register(app: typer.Typer) -> None:
    """Add `tidings promote` to the command line."""
    app.command("promote")(promote)


def promote(
    version: Number = None,
    adapter: Adapter = None,
    model: Candidate = None,
    model_repository: Repository = None,
    name: Name = "sentiment",
    triton: Triton = ["127.0.0.1:8000"],  # noqa: B006 - typer reads it, nobody changes it
    rollback: Rollback = False,
    split: Part = Split.TEST,
    input_: Input = None,
    beside: Beside = False,
    dry_run: DryRun = False,
    max_latency_ratio: Latency = 1.2,
    quiet_s: Quiet = 10.0,
    patience_s: Patience = 120.0,
    as_json: Json = False,
) -> None:
    """Move a version of the model into service if it is not worse than the one that serves, and back.

    Accuracy (McNemar), macro-F1 (paired interval), calibration, behaviour under disturbances, CheckList where TIDINGS_DATA_DIR
    has it, and latency must not be worse.
    Then Triton loads it beside the old one, contract.json is exchanged, running workers go over between two batches, and the
    old one is unloaded when nobody asks for it. No request fails. Exit code 1: a gate failed, and all is as it was.

    For example:

        tidings promote --adapter build/training/sentiment
        tidings promote --model build/triton_repo/sentiment --dry-run --json
        tidings promote --rollback
        tidings promote --model build/triton_repo/sentiment --beside
        tidings promote 2                          # a version that is there already
    """
    from training.command_line import errors_as_one_line

    with errors_as_one_line():
        from training.paths import repository_dir
        from training.promote import promotion
        from training.promote.gates import Bounds
        from training.promote.server import Server

        folder = (model_repository or repository_dir()) / name
        given = [one for one in (version, adapter, model) if one is not None]
        if len(given) != (0 if rollback else 1):
            raise TrainingError("name one thing to promote: VERSION, --adapter or --model; or --rollback alone")
        servers, drain = [Server(url, name) for url in triton], promotion.Drain(quiet_s, patience_s)
        if rollback:
            _tell(promotion.rollback(folder, servers, drain, _say), [], (), as_json=as_json)
            return
        with _candidate(folder, version, adapter, model) as candidate:
            if beside:
                _tell_beside(promotion.load_beside(folder, candidate, servers, _say).number, as_json=as_json)
                return
            checks, skipped = _judged(folder, candidate, (split, input_), Bounds(latency=max_latency_ratio))
            passed = all(check.ok for check in checks)
            moved = _moved(folder, candidate, servers, drain, checks) if passed and not dry_run else None
        _tell(moved, checks, skipped, as_json=as_json)
        if not passed:
            sys.exit(1)


@contextmanager
def _candidate(folder: Path, number: str | None, adapter: Path | None, model: Path | None) -> Iterator[Version]:
    """Give the version to promote; what is exported for it is gone afterwards."""
    from training.promote import versions

    with tempfile.TemporaryDirectory(prefix="tidings-promote-") as scratch:
        if number is not None:
            found, config = versions.known(folder, number), folder
        elif model is not None:
            found, config = versions.serving(model), model
        else:
            config = _exported(adapter, folder, Path(scratch))
            found = versions.serving(config)
        versions.require_alike(versions.serving(folder), found, folder / "config.pbtxt", config / "config.pbtxt")
        yield found


def _exported(adapter: Path | None, folder: Path, scratch: Path) -> Path:
    from training.export import export
    from training.promote import versions
    from training.repository import ServingSpec
    from training.variant import Variant

    spec = ServingSpec(name=folder.name, variant=Variant(versions.serving(folder).contract["model"]["precision"]))
    return export(adapter, scratch, spec, say=_say).folder


def _judged(
    folder: Path, candidate: Version, data: tuple[Split, Path | None], bounds: Bounds
) -> tuple[list[Check], tuple[str, ...]]:
    from training.data import load_snippets, of_split
    from training.examples import from_snippets, read_examples
    from training.promote import gates, versions
    from training.promote.measuring import measure

    split, file = data
    examples = read_examples(file) if file else from_snippets(of_split(load_snippets(), split))
    pair = measure(versions.serving(folder), candidate, examples, _say)
    return gates.judge(pair.true, pair.groups, pair.serving, pair.candidate, bounds), pair.skipped


def _moved(folder: Path, candidate: Version, servers: Sequence[Server], drain: Drain, checks: Sequence[Check]) -> Moved:
    from training.promote import promotion

    figures = {check.name: [round(check.serving, 5), round(check.candidate, 5)] for check in checks}
    return promotion.promote(folder, candidate, servers, drain, figures, _say)


def _tell_beside(number: str, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({"beside": number}))
        return
    typer.echo(f"Version {number} is loaded and asked by nobody. Workers shadow it with TIDINGS_SHADOW__VERSION={number};")
    typer.echo(f"to have it serve: tidings promote {number}")


def _tell(moved: Moved | None, checks: Sequence[Check], skipped: Sequence[str], *, as_json: bool) -> None:
    if as_json:
        told: dict[str, Any] = {"moved": asdict(moved) if moved else None, "checks": [asdict(check) for check in checks]}
        told["skipped"] = list(skipped)
        typer.echo(json.dumps(told, indent=2))
        return
    if checks:
        Console().print(_table(checks))
    if moved is not None:
        left = "is unloaded" if moved.unloaded else "stays loaded, for somebody may still ask it"
        typer.echo(f"Version {moved.now} serves; version {moved.before} {left}. Back: tidings promote --rollback")
    elif failed := [check.name for check in checks if not check.ok]:
        typer.secho(f"Not promoted, nothing was changed: {', '.join(failed)}", fg="red", err=True)


def _table(checks: Sequence[Check]) -> Table:
    table = Table("gate", title="The candidate against the model that serves")
    for column in ("serving", "candidate"):
        table.add_column(column, justify="right")
    table.add_column("asked")
    for check in checks:
        name = check.name if check.ok else f"[red]{check.name}"
        table.add_row(name, f"{check.serving:.4f}", f"{check.candidate:.4f}", check.asked)
    return table


def _say(step: str) -> None:
    typer.secho(step, fg="cyan", err=True)
