"""What a record's fields mean: which holds the text, the label, the group and the time; and what its labels are called here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from training.data.icwsm import LABELS, label_of
from training.data.records import Record
from training.data.rows import Row
from training.errors import TrainingError

GUESSES: Mapping[str, tuple[str, ...]] = {
    "text": ("text", "sentence", "tweet", "content", "message", "body", "review", "headline"),
    "label": ("label", "sentiment", "labels", "polarity", "airline_sentiment"),
    "rating": ("rating", "score", "stars"),
    "group": ("group", "group_id", "thread", "document", "article", "author", "user"),
    "source": ("source", "dataset", "corpus"),
    "at": ("at", "published_at", "created_at", "timestamp", "date", "time"),
    "id": ("id", "tweet_id", "uid"),
}
"""The names that a field is looked for under, in this order, whatever their case."""
ALIASES: Mapping[str, str] = {
    **{label: label for label in LABELS},
    "neg": "negative",
    "neu": "neutral",
    "pos": "positive",
    "bearish": "negative",
    "bullish": "positive",
    "-1": "negative",
    "mixed": "neutral",
}
"""What labels are often called. 0, 1 and 2 are not among them: in some sets 0 is negative, in others neutral."""
FIELDS = tuple(GUESSES)


@dataclass(frozen=True, slots=True)
class Columns:
    """How to read a record. `names` gives a field's column where it is not to be guessed, `labels` what a label means here.

    A rating `threshold` or more above `middle` is positive, as much below it negative. `time_format` is for `strptime`,
    where the time is neither RFC 3339 nor seconds or milliseconds of the epoch; a time without a zone is taken as UTC.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    middle: float = 0.0
    threshold: float = 0.5
    time_format: str | None = None

    def __post_init__(self) -> None:
        """Refuse fields and labels that there are none of."""
        _refuse(set(self.names) - set(FIELDS), "a column can be named for", FIELDS)
        _refuse(set(self.labels.values()) - set(LABELS), "a label can be mapped to", LABELS)


def resolve(columns: Columns, present: Iterable[str], where: str) -> dict[str, str]:
    """Return the column of each field that the records have.

    Raises:
        TrainingError: a named column is not there, or none holds the text, or none a label or rating.
    """
    found = {name.casefold(): name for name in present}
    listed = ", ".join(found.values()) or "none"
    for name in columns.names.values():
        if name not in found.values():
            raise TrainingError(f"{where}: there is no column {name!r}; there are {listed}")
    guessed = {key: next((found[name] for name in names if name in found), None) for key, names in GUESSES.items()}
    chosen = {key: name for key, name in {**guessed, **columns.names}.items() if name is not None}
    for needed in ({"text"}, {"label", "rating"}):
        if not needed & set(chosen):
            raise TrainingError(
                f"{where}: no column holds the {' or '.join(sorted(needed))}: name it, as --column {min(needed)}=NAME; "
                f"there are {listed}"
            )
    return chosen


def row_of(record: Record, chosen: Mapping[str, str], columns: Columns, source: str) -> Row:
    """Return the record's row; an empty text is let through, since cleaning counts and drops those.

    A row without an id is named by its source and number; one without a group is a group of its own.

    Raises:
        TrainingError: the label, rating or time cannot be understood.
    """
    values = {key: _text(record.fields.get(name)) for key, name in chosen.items()}
    where, name = record.where, values.get("id") or f"{source}-{record.number}"
    return Row(
        id=name,
        text=values["text"],
        label=_label(values, chosen, columns, where),
        source=values.get("source") or source,
        group=values.get("group") or name,
        at=_time(values.get("at", ""), columns.time_format, f"{where}, column {chosen.get('at')}"),
    )


def label_named(name: str, labels: Mapping[str, str] | None = None) -> str | None:
    """Return which of our labels a name means, by `labels` first, then by custom; None if it is not known."""
    return (labels or {}).get(name) or ALIASES.get(name.casefold())


def _label(values: Mapping[str, str], chosen: Mapping[str, str], columns: Columns, where: str) -> str:
    if name := values.get("label"):
        if label := label_named(name, columns.labels):
            return label
        raise TrainingError(f"{where}, column {chosen['label']}: what does {name!r} mean? Say it: --label {name}=negative")
    if not values.get("rating"):
        column = chosen.get("label") or chosen.get("rating")
        raise TrainingError(f"{where}, column {column}: there is no label; take the row out, or give it one")
    return label_of(_number(values["rating"], f"{where}, column {chosen['rating']}") - columns.middle, columns.threshold)


def _number(value: str, where: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise TrainingError(f"{where}: a rating must be a number, found {value!r}; names of labels belong in a column `label`")
    return number


def _time(value: str, time_format: str | None, where: str) -> float | None:
    if not value:
        return None
    try:
        if time_format:
            return _seconds(datetime.strptime(value, time_format))  # noqa: DTZ007 # the zone is set in _seconds
        if value.replace(".", "", 1).lstrip("-").isdigit():
            number = float(value)
            return number / 1000 if abs(number) > 1e11 else number
        return _seconds(datetime.fromisoformat(value))
    except ValueError:
        raise TrainingError(f"{where}: {value!r} is no time; say how it is written: --time-format '%m/%d/%Y %H:%M'") from None


def _seconds(moment: datetime) -> float:
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    return "" if value is None else str(value).strip()


def _refuse(unknown: set[str], what: str, known: Iterable[str]) -> None:
    if unknown:
        raise TrainingError(f"{what} {', '.join(known)}, not for {', '.join(sorted(unknown))}")
