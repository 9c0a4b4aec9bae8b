"""What the three commands do: options in, progress and tables out. Each loads only what it needs, when it runs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import typer
from rich.console import Console

from training.data import Split, load_snippets, of_split
from training.device import Device
from training.errors import TrainingError
from training.evaluation.asked import Asked
from training.examples import Example, from_snippets, read_tsv
from training.files import atomic_path
from training.paths import build_dir
from training.variant import Variant

EVALUATION_FILE = "evaluation.json"


@dataclass(frozen=True, slots=True)
class Choice:
    """What to evaluate, and on what: `runtime` is "onnx" or "torch", `input_file` takes the place of the split."""

    runtime: str
    adapter: Path | None
    split: Split
    input_file: Path | None


@dataclass(frozen=True, slots=True)
class Target:
    """What Triton is to run the model on, and as which variant."""

    device: Device = Device.CPU
    variant: Variant = Variant.FP32


@contextmanager
def errors_as_one_line() -> Iterator[None]:
    """Show an error a person can act on as one line and leave with 1; Ctrl-C leaves with 130."""
    try:
        yield
    except TrainingError as error:
        typer.secho(f"tidings: {error}", fg="red", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        typer.secho("tidings: interrupted; nothing was changed", fg="yellow", err=True)
        sys.exit(130)


def train(out: Path | None, *, epochs: float, seed: int, learning_rate: float) -> None:
    """Run `tidings train`."""
    from training.recipe import Recipe
    from training.report import show
    from training.train import train as run

    target = out or build_dir() / "sentiment"
    evaluation = run(Recipe(epochs=epochs, seed=seed, learning_rate=learning_rate), target, _say)
    show(evaluation, Console())
    typer.echo(f"The adapter is at {_shown(target)}. To serve it: tidings export --adapter {_shown(target)}")


def evaluate(choice: Choice, *, as_json: bool) -> None:
    """Run `tidings evaluate`."""
    from training.evaluate import Evaluation, compare, predict
    from training.report import show
    from training.served import load_served

    examples = _examples(choice)
    served = load_served(choice.runtime, choice.adapter, _say)
    predictions = predict(served.model, examples, served.max_length, served.temperature)
    data = choice.input_file.name if choice.input_file else f"the {choice.split.value} split"
    evaluation = Evaluation(choice.runtime, data, served.temperature, compare(examples, predictions))
    text = json.dumps(asdict(evaluation), indent=2)
    with atomic_path(build_dir() / EVALUATION_FILE) as unfinished:
        unfinished.write_text(text + "\n", "utf-8")
    if as_json:
        typer.echo(text)
    else:
        show(evaluation, Console())


def evaluate_widely(choice: Choice, asked: Asked, *, as_json: bool) -> None:
    """Run `tidings evaluate` with what it measures beyond one set."""
    from training.evaluation.run import Model, write
    from training.evaluation.run import evaluate as run
    from training.evaluation.sets import HOME, EvaluationSet
    from training.evaluation.tables import show

    split = HOME if choice.split is Split.TEST else f"{HOME} {choice.split.value}"
    home = EvaluationSet(choice.input_file.stem if choice.input_file else split, _examples(choice))
    report = run(Model(choice.runtime, choice.adapter), home, asked, _say)
    content = write(report, build_dir(), asked.plot)
    if as_json:
        typer.echo(json.dumps(content, indent=2))
    else:
        show(report, Console())


def export(adapter: Path | None, repository: Path | None, target: Target, *, force: bool, embedding: bool = False) -> None:
    """Run `tidings export`."""
    from training.export import export as run
    from training.repository import ServingSpec

    exported = run(adapter, repository, ServingSpec(device=target.device, variant=target.variant), force=force, say=_say)
    state = "is up to date" if exported.was_fresh else "was written"
    figures = exported.contract["metrics"]
    typer.echo(
        f"{_shown(exported.folder)} {state}: macro-F1 {figures['macro_f1']:.3f} on the test split "
        f"(VADER {figures['vader_macro_f1']:.3f})"
    )
    if embedding:
        _export_embedding(repository, target.device, force=force)


def _export_embedding(repository: Path | None, device: Device, *, force: bool) -> None:
    from training.export import export_embedding as run

    exported = run(repository, device, force=force, say=_say)
    state = "is up to date" if exported.was_fresh else "was written"
    typer.echo(f"{_shown(exported.folder)} {state}: embeddings of {exported.contract['embedding']['dimensions']} dimensions")


def _examples(choice: Choice) -> list[Example]:
    if choice.input_file:
        return read_tsv(choice.input_file)
    return from_snippets(of_split(load_snippets(), choice.split))


def _say(step: str) -> None:
    typer.secho(step, fg="cyan", err=True)


def _shown(path: Path) -> str:
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
