"""Bad input for the demo: bodies that must end in the dead letters byte for byte, and odd ones that must not. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass

ODD_TEXTS = {"a NUL byte": "Nothing\u0000 to see here.", "no letters": "… !!! 🙃 ???"}
"""Unusual texts that are messages all the same."""


@dataclass(frozen=True, slots=True)
class Flaw:
    """One body that is no message, and what is wrong with it, for people."""

    name: str
    body: bytes


def flaws(large_bytes: int) -> tuple[Flaw, ...]:
    """Return one body for each way of being wrong; the text of the over-long one has `large_bytes` bytes.

    `large_bytes` is 5 MB where the broker takes it. What the worker must do with each is in the codec's documentation.
    """
    return (
        Flaw("invalid UTF-8", b'{"text": "caf\xe9 \xff\xfe"}'),
        Flaw("JSON that is a number", b"42"),
        Flaw("an object without text", b"{}"),
        Flaw("an empty body", b""),
        Flaw("JSON that breaks off", b'{"text": "the film was'),
        Flaw("text that is a list", json.dumps({"text": ["a", "b"]}).encode()),
        Flaw(f"{large_bytes / 1e6:.1f} MB of text", json.dumps({"text": "film " * (large_bytes // 5)}).encode()),
    )


def odd_messages() -> tuple[dict[str, object], ...]:
    """Return bodies that look wrong and are not: each must get its one prediction.

    None of them names anything watched, so that the date in the year 9999 moves no alert's clock.
    """
    odd: list[dict[str, object]] = [{"id": f"odd-{number}", "text": text} for number, text in enumerate(ODD_TEXTS.values())]
    return (*odd, {"id": "odd-9999", "text": "See you then.", "published_at": "9999-12-31T23:59:59Z"})
