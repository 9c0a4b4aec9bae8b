"""Explanations for who asks by JSON: the entry point `tidings.explainers`, which `tidings alerts show --explain` calls.

The worker and this package never import each other: a request and an answer are all they share.

    {"repository": "triton_repo", "model": {"name": "sentiment", "version": "1"}, "texts": ["..."]}
    {"model": {"name": "sentiment", "version": "1"}, "explanations": [{"text", "label", "probabilities", "method", "words"}]}
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from training.errors import TrainingError
from training.explain import occlusion
from training.metrics import Floats
from training.promote import versions
from training.promote.answering import FileModel
from training.promote.versions import Version


class _Answering:
    """A version's file, as it answers texts."""

    def __init__(self, version: Version) -> None:
        self._model = FileModel(version)

    def probabilities(self, texts: Sequence[str]) -> Floats:
        """Return calibrated probabilities [texts, 3]."""
        return self._model.say(texts)


def explain(request: bytes) -> bytes:
    """Answer a request: each text by occlusion on the exported model of the version that is named, else of the one that serves.

    The answer names the version that was asked. A text without a word has no explanation: null stands in its place.

    Raises:
        ValueError: the request is not what it should be, or there is no such model; the message is for a person.
    """
    asked = json.loads(request)
    try:
        version = _version(Path(asked["repository"]) / asked["model"]["name"], asked["model"]["version"])
        answering = _Answering(version)
        explanations = [_explained(answering, text) for text in asked["texts"]]
    except TrainingError as error:
        raise ValueError(str(error)) from error
    model = {"name": asked["model"]["name"], "version": version.number}
    return json.dumps({"model": model, "explanations": explanations}).encode()


def _version(folder: Path, number: str) -> Version:
    """An alert may be older than the model: the version that it names may be gone."""
    serving = versions.serving(folder)
    if number == serving.number or not (folder / number / "contract.json").is_file():
        return serving
    return versions.known(folder, number)


def _explained(answering: _Answering, text: str) -> dict[str, Any] | None:
    return asdict(occlusion(answering, text)) if any(map(str.isalnum, text)) else None
