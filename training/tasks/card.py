"""The card of a task's model: written from what was measured, as that of sentiment is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from training.encoder import ENCODERS, shown_name
from training.recipe import Recipe, Task

_TITLES = {Task.TOPICS: "# Topic model", Task.ENTITIES: "# Entity model"}
_TOLD = {
    Task.TOPICS: """
says of an English text which of its topics it is about: none, one or several. Mean pooling over the tokens, a linear head and a
sigmoid; a topic is said from its own threshold on, fitted to its best F1 on the validation part.""",
    Task.ENTITIES: """
finds entities in an English text: a linear head says a BIO tag for each word piece, and a word has the tag of its first piece.
An entity counts as found only if its start, its end and its label are right.""",
}


def task_card(recipe: Recipe, measured: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    """Return the card in Markdown; `measured` is the content of `metrics.json`, `settings` that of `task.json`."""
    head = (
        "<!-- Written by `tidings train` from metrics.json, task.json and recipe.json; edit training/tasks/card.py instead. -->"
        f"\n{_TITLES[recipe.task]}\n\nTask: `{recipe.task}`. {shown_name(recipe.encoder)}, fine-tuned by the method "
        f"`{recipe.method}`,{_TOLD[recipe.task]}"
    )
    sections = (head, _figures(measured["test"], settings), _weaknesses(measured["test"]), _data(measured["manifest"]))
    return "\n\n".join([*sections, _recipe(recipe, measured["run"]), _licence(recipe)]) + "\n"


def _figures(test: Mapping[str, Any], settings: Mapping[str, Any]) -> str:
    limits = settings.get("thresholds")
    rows = "\n".join(
        f"| {label} | {one['precision']:.3f} | {one['recall']:.3f} | {one['f1']:.3f} | {one['support']:,} |"
        + (f" {limits[label]:.3f} |" if limits else "")
        for label, one in test["per_label"].items()
    )
    return (
        f"## Figures\n\nOn {test['rows']:,} test texts: micro-F1 {_with_interval(test, 'micro_f1')}, macro-F1 "
        f"{_with_interval(test, 'macro_f1')}, with 95 % intervals by bootstrap over groups; {test['exact']:.1%} of the texts "
        "without a fault.\n\n"
        f"| label | precision | recall | F1 | there |{' threshold |' if limits else ''}\n"
        f"|---|---:|---:|---:|---:|{'---:|' if limits else ''}\n{rows}"
    )


def _with_interval(test: Mapping[str, Any], name: str) -> str:
    return f"{test[name]:.3f} ({test[f'{name}_ci95']['low']:.3f} to {test[f'{name}_ci95']['high']:.3f})"


def _weaknesses(test: Mapping[str, Any]) -> str:
    labels = test["per_label"]
    worst = min(labels, key=lambda name: labels[name]["f1"])
    rare = [name for name, one in labels.items() if one["support"] < 30]
    told = (
        f"- {worst}: F1 {labels[worst]['f1']:.3f}, the lowest of its labels; it finds {labels[worst]['recall']:.0%} of them.\n"
    )
    if rare:
        told += f"- Fewer than 30 in the test part, so that their figures say little: {', '.join(rare)}.\n"
    return f"## What it is bad at\n\n{told}- Languages and kinds of text that are not in its data were not measured."


def _data(manifest: Mapping[str, Any]) -> str:
    counts = "\n".join(
        f"| {part} | {manifest['rows'][part]:,} | {sum(labels.values()):,} |" for part, labels in manifest["labels"].items()
    )
    return (
        f"## Data\n\n{manifest['name']}, content SHA-256 `{manifest['content_sha256']}`, split by group so that no group and "
        "no near duplicate crosses. Its licence and origin are for those who trained on it to state.\n\n"
        f"| part | texts | labels in them |\n|---|---:|---:|\n{counts}"
    )


def _recipe(recipe: Recipe, run: Mapping[str, Any]) -> str:
    values = "\n".join(f"| {name} | {value} |" for name, value in asdict(recipe).items())
    return (
        f"## Recipe\n\n{run['epochs']:g} epochs took {run['seconds'] / 60:.0f} minutes and trained {run['trained_weights']:,} "
        f"weights, {run['trained_share']:.1%} of all; the weights of the epoch with the best validation macro-F1, "
        f"{run['validation_macro_f1']:.3f}, are kept.\n\n| choice | value |\n|---|---|\n{values}"
    )


def _licence(recipe: Recipe) -> str:
    encoder = ENCODERS.get(recipe.encoder)
    told = (
        f"The encoder is {encoder.name}, {encoder.licence} licence ({encoder.reference}), from {encoder.origin}."
        if encoder
        else f"The encoder {shown_name(recipe.encoder)} is not one of this project's: its licence is for you to state."
    )
    return f"## Licence\n\n{told}"
