"""Rows for the tests of data."""

from __future__ import annotations

from training.data.rows import Row


def row(text: str, label: str = "neutral", number: int = 0, **fields: object) -> Row:
    """A row that is a group of its own unless told."""
    values: dict[str, object] = {"id": f"r{number}", "source": "mine", "group": f"r{number}", **fields}
    return Row(text=text, label=label, **values)  # type: ignore[arg-type]


def rows(*texts: str, label: str = "neutral") -> list[Row]:
    """Rows of one label, numbered."""
    return [row(text, label, number) for number, text in enumerate(texts)]
