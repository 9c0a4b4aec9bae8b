"""Rows for the tests of data."""

from __future__ import annotations

from typing import Any

from training.data.rows import Row


def row(text: str, label: str = "neutral", number: int = 0, **fields: Any) -> Row:
    """A row that is a group of its own unless told."""
    values: dict[str, Any] = {"id": f"r{number}", "source": "mine", "group": f"r{number}", **fields}
    return Row(text=text, label=label, **values)


def rows(*texts: str, label: str = "neutral") -> list[Row]:
    """Rows of one label, numbered."""
    return [row(text, label, number) for number, text in enumerate(texts)]
