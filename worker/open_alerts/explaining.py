"""Which words drove the predictions behind an alert, asked of whoever offers the entry point `tidings.explainers`.

The training package does; a slim image has none. They share JSON, not code: see `training.explainer`, whose names these are.
"""

from importlib.metadata import entry_points
from pathlib import Path

import msgspec
from rich.text import Text

from worker.dead_letters.filters import escaped
from worker.errors import SelectionError
from worker.messages import AlertEvent, ModelRef

GROUP = "tidings.explainers"
_FAINT, _STRONG = 0.1, 0.5


class Word(msgspec.Struct, frozen=True):
    """A word of the text, from `start` to `end` in characters; above 0 it spoke for the label, below against it."""

    word: str
    start: int
    end: int
    weight: float


class Explanation(msgspec.Struct, frozen=True):
    """What the model says of a text now, and how much each word of it weighed."""

    text: str
    label: str
    probabilities: dict[str, float]
    method: str
    words: tuple[Word, ...]


class Explained(msgspec.Struct, frozen=True):
    """Explanations of an alert's samples, in their order, None for a text without a word; `model` is the one that was asked."""

    model: ModelRef
    explanations: tuple[Explanation | None, ...]


def explained(event: AlertEvent, repository: Path) -> Explained:
    """Explain the samples of an alert's evidence, as they stand there: cut, and without personal data.

    Raises:
        SelectionError: nobody offers explanations here, the alert names no model, or the model is not there.
    """
    offered = list(entry_points(group=GROUP))
    if not offered:
        raise SelectionError('explanations need the training package: pip install "tidings[train]"')
    if event.model is None:
        raise SelectionError(f"alert {event.alert_id} names no model that could be asked again")
    texts = [sample.excerpt for sample in event.evidence.samples]
    request = {"repository": str(repository), "model": event.model, "texts": texts}
    try:
        answer = offered[0].load()(msgspec.json.encode(request))
        return msgspec.json.decode(answer, type=Explained)
    except (ImportError, ValueError) as error:
        raise SelectionError(f"this alert cannot be explained here: {error}") from error


def shown(found: Explained, asked: ModelRef | None) -> Text:
    """Return a line for each text: green words spoke for its label, red ones against it."""
    other = "" if found.model == asked else f"; the alert is by version {asked.version if asked else '?'}"
    title = Text(f"words that drove the predictions ({found.model.name} version {found.model.version}{other})", "bold")
    lines = (Text("  (no words)", "dim") if one is None else _line(one) for one in found.explanations)
    return Text("\n").join([title, *lines])


def as_json(found: Explained) -> str:
    """Return one line."""
    return msgspec.json.encode(found).decode()


def _line(one: Explanation) -> Text:
    line = Text(f"  {one.label} {one.probabilities.get(one.label, 0.0):.2f}  ")
    strongest = max((abs(word.weight) for word in one.words), default=0.0) or 1.0
    end = 0
    for word in one.words:
        share = word.weight / strongest
        style = f"{'bold ' if abs(share) > _STRONG else ''}{'green' if share > 0 else 'red'}" if abs(share) >= _FAINT else ""
        line.append(escaped(one.text[end : word.start]))
        line.append(escaped(one.text[word.start : word.end]), style)
        end = word.end
    line.append(escaped(one.text[end:]))
    return line
