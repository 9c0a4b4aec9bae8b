"""What the three commands do: options in, progress and tables out. Each loads only what it needs, when it runs."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.table import Table

from training.data import Split, load_snippets, of_split
from training.device import Device
from training.errors import TrainingError
from training.evaluation.asked import Asked
from training.examples import Example, from_snippets, read_examples
from training.files import atomic_path
from training.paths import adapter_dir, build_dir
from training.variant import Variant

if TYPE_CHECKING:
    from training.finetune.trainer import Watch
    from training.makers import Maker
    from training.recipe import Recipe
    from training.repository import ServingSpec

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
    cores: int | None = None


@contextmanager
def errors_as_one_line() -> Iterator[None]:
    """Show an error a person can act on as one line and leave with 1; Ctrl-C leaves with 130."""
    try:
        yield
    except TrainingError as error:
        typer.secho(f"tidings: {error}", fg="red", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        typer.secho("tidings: interrupted; no result was changed", fg="yellow", err=True)
        sys.exit(130)


def train(out: Path | None, data: Path | None, choices: Choices, way: Way) -> None:
    """Run `tidings train`. Checkpoints lie beside the result until it is there, so that a broken run can go on."""
    from training.finetune.trainer import Watch
    from training.recipe import Task
    from training.report import show
    from training.train import Order
    from training.train import train as run

    recipe = choices.recipe()
    target = out or build_dir() / recipe.task.value
    checkpoints = target.parent / f"{target.name}.checkpoints"
    if not way.resume:
        shutil.rmtree(checkpoints, ignore_errors=True)
    logs = target.parent / f"{target.name}.logs" if way.tensorboard else None
    watch = Watch(checkpoints, resume=way.resume, logs=logs)
    if recipe.task is not Task.SENTIMENT:
        _train_task(recipe, target, data, way, watch)
    else:
        show(run(recipe, target, _say, Order(data, way.maker(), watch, way.going_on_from)), Console())
    shutil.rmtree(checkpoints, ignore_errors=True)
    typer.echo(f"The adapter is at {_shown(target)}. To serve it: tidings export --adapter {_shown(target)}")


def _train_task(recipe: Recipe, out: Path, data: Path | None, way: Way, watch: Watch) -> None:
    from training.tasks.learning import train_task
    from training.tasks.show import show

    if data is None:
        raise TrainingError(f"the task {recipe.task} needs labelled texts of yours: --data FILE")
    way.refuse_for(recipe.task)
    show(train_task(recipe, data, out, _say, watch), f"{recipe.task} on the test part", Console())


@dataclass(frozen=True, slots=True)
class Way:
    """How to come to a model: by the whole training part, by `shots` texts a label, by none, or on from an adapter."""

    shots: int | None = None
    zero_shot: bool = False
    going_on_from: Path | None = None
    resume: bool = False
    tensorboard: bool = False

    def refuse_for(self, task: str) -> None:
        """Refuse what only a sentiment model can be made by.

        Raises:
            TrainingError: such a way was asked for.
        """
        if self.shots is not None or self.zero_shot or self.going_on_from:
            raise TrainingError(f"--shots, --zero-shot and --from are for sentiment; {task} are learned from a whole file")

    def maker(self) -> Maker:
        """Return what makes the model.

        Raises:
            TrainingError: more than one way was asked for.
        """
        from training import makers

        chosen = [self.shots is not None, self.zero_shot, self.going_on_from is not None]
        if sum(chosen) > 1:
            raise TrainingError("--shots, --zero-shot and --from are three ways: choose one")
        if self.shots is not None:
            return makers.of_few(self.shots)
        if self.zero_shot:
            return makers.of_descriptions
        return makers.going_on(self.going_on_from) if self.going_on_from else makers.fine_tuned


def search(choices: Choices, data: Path | None, trials: int, storage: Path | None, *, as_json: bool) -> None:
    """Run `tidings search`: fine-tunes by one recipe after another, and writes the best beside the study."""
    from training.corpus import of_snippets, prepared
    from training.finetune.search import best_recipe, ranked
    from training.finetune.search import search as run
    from training.finetune.trainer import Heard, Watch
    from training.makers import fine_tuned

    base, file = choices.recipe(), storage or build_dir() / "search.db"

    def one(recipe: Recipe, heard: Heard) -> float:
        corpus = prepared(data, recipe) if data else of_snippets(load_snippets(), recipe)
        return fine_tuned(recipe, corpus, Watch(heard=heard))[2].validation_macro_f1

    study = run(base, one, trials, file)
    best = best_recipe(base, study)
    best.write(file.with_suffix(".json"))
    rows = [{"trial": trial.number, "macro_f1": trial.value, **trial.params} for trial in ranked(study)]
    _table("trials, by validation macro-F1", rows, as_json=as_json)
    typer.echo(f"To train by the best: tidings train --recipe {_shown(file.with_suffix('.json'))}", err=as_json)


def runs(folders: Sequence[Path], *, as_json: bool) -> None:
    """Run `tidings runs`."""
    from training.finetune import runs as found

    every = found.find_runs(folders or [build_dir()])
    if as_json:
        typer.echo(json.dumps(found.as_json(every), indent=2))
        return
    fields = found.differences(every)
    rows = [
        {
            "run": run.name,
            "macro_f1": run.macro_f1,
            "ece": "" if run.ece is None else run.ece,
            "validation": run.validation_macro_f1,
            "minutes": run.seconds / 60,
            **{name: getattr(run.recipe, name) for name in fields},
        }
        for run in every
    ]
    _table("runs, by macro-F1 on the test split", rows, as_json=False)


def train_all(names: Sequence[str], out: Path | None, asked: Asked, *, as_json: bool) -> None:
    """Run `tidings train-all`."""
    from training.all_models import train_all as run
    from training.evaluation.run import write
    from training.evaluation.tables import show

    report = run(names, out or build_dir() / "models", asked, _say)
    content = write(report, build_dir(), asked.plot)
    if as_json:
        typer.echo(json.dumps(content, indent=2))
    else:
        show(report, Console())


def explain(text: str, method: str, adapter: Path | None, *, as_json: bool) -> None:
    """Run `tidings explain`."""
    from training import explain as explaining

    if method == "gradients":
        from training.calibrate import read_temperature
        from training.gradients import gradients
        from training.trained import load_trained

        folder = adapter or adapter_dir()
        found = gradients(load_trained(folder), text, read_temperature(folder))
    else:
        from training.evaluation.predictors import ModelPredictor
        from training.served import load_served

        served = load_served("onnx", adapter, _say)
        found = explaining.occlusion(ModelPredictor("onnx", served.model, served.tokenizer, served.temperature), text)
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=2))
        return
    chances = ", ".join(f"{label} {chance:.2f}" for label, chance in found.probabilities.items())
    Console().print(explaining.shown(found))
    typer.echo(f"{found.label} ({chances})")
    rows = [{"word": one.word, "weight": one.weight} for one in sorted(found.words, key=lambda one: -abs(one.weight))[:10]]
    _table(f"words by {found.method}", rows, as_json=False)


def _table(title: str, rows: Sequence[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    table = Table(*(rows[0] if rows else ()), title=title)
    for row in rows:
        table.add_row(*(f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values()))
    Console().print(table)


@dataclass(frozen=True, slots=True)
class Choices:
    """What a person wants: a recipe, by its name or file, and single values as `name=value`, which win over it."""

    name: str
    values: Sequence[str]

    def recipe(self) -> Recipe:
        """Return the recipe of these choices.

        Raises:
            TrainingError: the file cannot be read, or a value is not one that the field takes.
        """
        from training.recipe import Recipe
        from training.recipes import recipe_file

        base = asdict(Recipe.read(recipe_file(self.name)))
        return Recipe.of({**base, **dict(map(_value, self.values))}, "--set")


def _value(pair: str) -> tuple[str, Any]:
    """The value as JSON where it is some, and else as the text it is, so that `method=full` needs no quotes."""
    name, equals, text = pair.partition("=")
    if not equals:
        raise TrainingError(f"--set {pair}: expected name=value, as in --set epochs=2")
    try:
        return name, json.loads(text)
    except ValueError:
        return name, text


def evaluate(choice: Choice, *, as_json: bool) -> None:
    """Run `tidings evaluate`."""
    from training.evaluate import Evaluation, compare, predict
    from training.report import show
    from training.served import load_served

    examples = _examples(choice)
    served = load_served(choice.runtime, choice.adapter, _say)
    predictions = predict(served.model, examples, served.max_length, served.temperature, served.tokenizer)
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
    report = run([Model(choice.runtime, choice.adapter)], home, asked, _say)
    content = write(report, build_dir(), asked.plot)
    if as_json:
        typer.echo(json.dumps(content, indent=2))
    else:
        show(report, Console())


def export(adapter: Path | None, repository: Path | None, target: Target, *, force: bool, embedding: bool = False) -> None:
    """Run `tidings export`."""
    from training.export import export as run
    from training.repository import ServingSpec

    spec = ServingSpec(device=target.device, variant=target.variant, cores=target.cores)
    exported = run(adapter, repository, spec, force=force, say=_say)
    state = "is up to date" if exported.was_fresh else "was written"
    figures = exported.contract["metrics"]
    beside = f"VADER {figures['vader_macro_f1']:.3f}" if "vader_macro_f1" in figures else f"micro {figures['micro_f1']:.3f}"
    typer.echo(f"{_shown(exported.folder)} {state}: macro-F1 {figures['macro_f1']:.3f} on the test split ({beside})")
    if embedding:
        _export_embedding(repository, spec, force=force)


def _export_embedding(repository: Path | None, like: ServingSpec, *, force: bool) -> None:
    from training.export import export_embedding as run

    exported = run(repository, like, force=force, say=_say)
    state = "is up to date" if exported.was_fresh else "was written"
    typer.echo(f"{_shown(exported.folder)} {state}: embeddings of {exported.contract['embedding']['dimensions']} dimensions")


def _examples(choice: Choice) -> list[Example]:
    if choice.input_file:
        return read_examples(choice.input_file)
    return from_snippets(of_split(load_snippets(), choice.split))


def _say(step: str) -> None:
    typer.secho(step, fg="cyan", err=True)


def _shown(path: Path) -> str:
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative
