"""The language of a text, by py3langid, an n-gram model that knows some hundred and needs no download."""

from __future__ import annotations

from functools import cache
from typing import Any

UNKNOWN = "und"
"""ISO 639-2 for "undetermined": too short, or too mixed, to say."""
SURE = 0.5


def language_of(text: str) -> str:
    """Return the ISO 639-1 code of the text's language, or `UNKNOWN` if the model is not at least `SURE` of it."""
    code, probability = _identifier().classify(text)
    return str(code) if probability >= SURE and code != "zxx" else UNKNOWN


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier  # type: ignore[import-untyped] # noqa: PLC0415 # half a second

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
