"""The model card: written from what was measured, so that it cannot say anything else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from training.data import ARCHIVE_SHA256, LABELS, SPLIT_RULE, THRESHOLD
from training.encoder import ENCODERS, shown_name
from training.recipe import Method, Recipe

TITLES = {
    "overall": "All four",
    "amazon": "Amazon reviews",
    "movies": "Film reviews",
    "nyt": "New York Times editorials",
    "tweets": "Tweets",
}


def model_card(recipe: Recipe, measured: Mapping[str, Any]) -> str:
    """Return the card in Markdown; `measured` is the content of the adapter's `metrics.json`.

    Its optional `notes` are paragraphs by a person on how this very adapter came to be; `tidings train` writes none.
    """
    sections = (
        _head(recipe, measured),
        _figures(measured["test"]["parts"]),
        _labels(measured["test"]["parts"]["overall"]),
        _weaknesses(measured["test"]["parts"]),
        *_changes(measured.get("changes", {})),
        _data(measured["manifest"]),
        _recipe(recipe, measured["run"]),
        *(f"## Notes\n\n{note}" for note in measured.get("notes", ())),
        _licence(recipe, measured["manifest"]),
    )
    return "\n\n".join(sections) + "\n"


def _head(recipe: Recipe, measured: Mapping[str, Any]) -> str:
    return (
        "<!-- Written by `tidings train` from metrics.json and recipe.json; edit training/card.py instead. -->\n"
        "# Sentiment model\n\n"
        f"{_TRAINED[recipe.method]} {_encoder(recipe)}: labels an English text "
        f"{', '.join(LABELS[:-1])} or {LABELS[-1]}. Mean pooling over the tokens and a linear head; probabilities are "
        f"calibrated with a temperature of {measured['test']['temperature']:g}, fitted on the validation split."
    )


def _encoder(recipe: Recipe) -> str:
    cut = f", of which the first {recipe.layers} layers are kept" if recipe.layers else ""
    frozen = f" (the first {recipe.frozen_layers} layers and the embeddings frozen)" if recipe.frozen_layers else ""
    return f"{shown_name(recipe.encoder)}{cut}{frozen}"


def _figures(parts: Mapping[str, Any]) -> str:
    rows = "\n".join(_figure_row(name, part) for name, part in parts.items())
    return (
        "## Figures\n\n"
        "Macro-F1 on the test split with 95 % confidence intervals (2,000 bootstrap resamples of whole articles and "
        "reviews), beside VADER 3.3.2 on the same rows at its usual thresholds of ±0.05. The lead's interval is paired.\n\n"
        "| source | rows | macro-F1 | VADER | lead | accuracy | ECE |\n"
        "|---|---:|---|---|---|---:|---:|\n" + rows
    )


def _figure_row(name: str, part: Mapping[str, Any]) -> str:
    model, vader = part["model"], part["vader"]
    cells = (
        TITLES.get(name, name),
        f"{part['rows']:,}",
        _with_interval(model["macro_f1"], model["macro_f1_ci95"]),
        _with_interval(vader["macro_f1"], vader["macro_f1_ci95"]),
        _with_interval(part["lead"], part["lead_ci95"]),
        f"{model['accuracy']:.3f}",
        f"{model['ece']:.3f}",
    )
    return "| " + " | ".join(cells) + " |"


def _with_interval(value: float, interval: Mapping[str, float]) -> str:
    return f"{value:.3f} ({interval['low']:.3f} to {interval['high']:.3f})"


def _labels(overall: Mapping[str, Any]) -> str:
    rows = "\n".join(
        f"| {label} | {s['precision']:.3f} | {s['recall']:.3f} | {s['f1']:.3f} | {s['support']:,} | "
        + " | ".join(str(count) for count in confused)
        + " |"
        for (label, s), confused in zip(overall["model"]["per_class"].items(), overall["model"]["confusion"], strict=True)
    )
    said = " | ".join(f"said {label}" for label in LABELS)
    return (
        f"## By label\n\n| label | precision | recall | F1 | rows | {said} |\n|---|---:|---:|---:|---:|---:|---:|---:|\n{rows}"
    )


def _weaknesses(parts: Mapping[str, Any]) -> str:
    sources = {name: part for name, part in parts.items() if name != "overall"}
    source = min(sources, key=lambda name: sources[name]["model"]["macro_f1"])
    labels = sources[source]["model"]["per_class"]
    label = min(labels, key=lambda name: labels[name]["f1"])
    wrong, opposite = _errors(parts["overall"]["model"]["confusion"])
    return (
        "## What it is bad at\n\n"
        f"- {TITLES.get(source, source)}: macro-F1 {sources[source]['model']['macro_f1']:.3f}, the lowest of the sources; "
        f"of their {labels[label]['support']:,} {label} texts it finds {labels[label]['recall']:.0%}.\n"
        f"- Of its {wrong:,} errors on the test split, {opposite:,} take negative for positive or the reverse; the others are "
        "at the border of neutral.\n"
        "- It judges how a text sounds, not towards whom.\n"
        "- Not to be expected of this training data: sarcasm, languages other than English, and texts of more than a few "
        "sentences."
    )


def _changes(changes: Mapping[str, Any]) -> list[str]:
    """What going on from another model cost and brought, where that is how this one was made."""
    if not changes:
        return []
    rows = "\n".join(
        f"| {name} | {one['rows']:,} | {one['before']:.3f} | {one['after']:.3f} | "
        f"{_with_interval(one['change'], one['change_ci95'])} | {one['ece_before']:.3f} | {one['ece_after']:.3f} |"
        for name, one in changes.items()
    )
    return [
        "## Before and after\n\nMade on from another model. Macro-F1 of that one and of this one on the same rows, with the "
        "paired 95 % interval of the difference.\n\n"
        "| test set | rows | before | after | change | ECE before | ECE after |\n|---|---:|---:|---:|---|---:|---:|\n" + rows
    ]


def _errors(confusion: Sequence[Sequence[int]]) -> tuple[int, int]:
    wrong = sum(count for true, row in enumerate(confusion) for said, count in enumerate(row) if true != said)
    return wrong, confusion[0][2] + confusion[2][0]


def _data(manifest: Mapping[str, Any]) -> str:
    counts = manifest["counts"]
    rows = "\n".join(
        f"| {split} | " + " | ".join(f"{sum(labels.values()):,}" for labels in sources.values()) + " |"
        for split, sources in counts.items()
    )
    titles = " | ".join(TITLES.get(source, source) for source in counts["train"])
    told = _ICWSM if _is_icwsm(manifest) else _own_data(manifest)
    return f"## Data\n\n{told}\n\n| split | {titles} |\n|---|{'---:|' * len(counts['train'])}\n{rows}"


def _is_icwsm(manifest: Mapping[str, Any]) -> bool:
    return bool(manifest.get("archive_sha256") == ARCHIVE_SHA256)


def _own_data(manifest: Mapping[str, Any]) -> str:
    return (
        f"{manifest['name']}, made by `tidings data prepare`: content SHA-256 `{manifest['content_sha256']}`. Its licence and "
        "origin are for those who trained on it to state."
    )


def _recipe(recipe: Recipe, run: Mapping[str, Any]) -> str:
    values = "\n".join(f"| {name} | {value} |" for name, value in asdict(recipe).items() if name != "task")
    if way := run.get("way"):
        told = f"Made {way}; the choices below that concern a fine-tune's epochs and targets had no part in it."
        return f"## Recipe\n\n{told}\n\n| choice | value |\n|---|---|\n{values}"
    return (
        "## Recipe\n\n"
        "AdamW with a linear schedule on soft labels: a mean rating with normal noise of `label_sigma` rating points, or a "
        "label smoothed. Batches of similar length; the weights of the epoch with the best validation macro-F1, "
        f"{run['validation_macro_f1']:.3f}, are kept. {run['epochs']:g} epochs took {run['seconds'] / 60:.0f} minutes and "
        f"trained {run['trained_weights']:,} weights, {run['trained_share']:.1%} of all. `tidings train` does it again.\n\n"
        f"| choice | value |\n|---|---|\n{values}"
    )


def _licence(recipe: Recipe, manifest: Mapping[str, Any]) -> str:
    encoder = ENCODERS.get(recipe.encoder)
    of_encoder = (
        f"The encoder is {encoder.name}, {encoder.licence} licence ({encoder.reference}), from {encoder.origin}."
        if encoder
        else f"The encoder {shown_name(recipe.encoder)} is not one of this project's: its licence is for you to state."
    )
    return f"## Licence\n\n{of_encoder}{' ' + _ICWSM_LICENCE if _is_icwsm(manifest) else ''}"


_TRAINED = {
    Method.FULL: "A fine-tune of",
    Method.LORA: "A LoRA adapter on",
    Method.ADALORA: "An AdaLoRA adapter on",
    Method.ADAPTERS: "Bottleneck adapters in",
    Method.PROMPT: "A trained prompt before",
    Method.HEAD: "A head alone on",
}
_ICWSM = (
    "The ICWSM-2014 snippets of Hutto and Gilbert, rated from -4 to 4 by about twenty people each, from the source "
    f"distribution of vaderSentiment 3.3.2 (`hutto_ICWSM_2014.tar.gz`, SHA-256 `{ARCHIVE_SHA256}`). Negative at a mean "
    f"rating of {-THRESHOLD:g} or below, positive at {THRESHOLD:g} or above. HTML entities are decoded; nothing else is "
    f"changed. Split by {SPLIT_RULE}. The film snippets carry no review or film number, so sentences of one review may stand "
    "on both sides of the split; identical texts do not."
)
_ICWSM_LICENCE = (
    'The training data is MIT-licensed: C. J. Hutto and E. Gilbert, "VADER: A Parsimonious Rule-based Model for Sentiment '
    'Analysis of Social Media Text", ICWSM 2014. What was trained here is Apache 2.0, as this project.'
)
