import json
import re
from typing import Any

import pytest

from training.card import model_card
from training.paths import adapter_dir
from training.recipe import Recipe
from training.train import METRICS_FILE


@pytest.fixture
def measured() -> dict[str, Any]:
    """What was measured of the committed adapter."""
    found: dict[str, Any] = json.loads((adapter_dir() / METRICS_FILE).read_text())
    return found


@pytest.fixture
def recipe() -> Recipe:
    """The recipe of the committed adapter."""
    return Recipe.read(adapter_dir() / "recipe.json")


def test_the_committed_card_is_the_generated_one(recipe: Recipe, measured: dict[str, Any]) -> None:
    """A figure in the card is a figure that was measured."""
    assert (adapter_dir() / "README.md").read_text("utf-8") == model_card(recipe, measured)


def test_every_source_is_in_the_card_with_its_interval(recipe: Recipe, measured: dict[str, Any]) -> None:
    """Ours, VADER's and the lead, each with two bounds."""
    card = model_card(recipe, measured)
    for name in ("All four", "Amazon reviews", "Film reviews", "New York Times editorials", "Tweets"):
        [line] = [line for line in card.splitlines() if line.startswith(f"| {name} |")]
        assert len(re.findall(r"\(-?\d\.\d{3} to -?\d\.\d{3}\)", line)) == 3


def test_the_card_says_how_it_was_made(recipe: Recipe, measured: dict[str, Any]) -> None:
    """Seed, split rule, licences and weaknesses are there."""
    card = model_card(recipe, measured)
    for needed in (f"| seed | {recipe.seed} |", "sha256(", "Apache 2.0", "MIT", "What it is bad at", "temperature"):
        assert needed in card


def test_the_card_follows_the_figures(recipe: Recipe, measured: dict[str, Any]) -> None:
    """The weakest source is found, not stated."""
    for name, part in measured["test"]["parts"].items():
        part["model"]["macro_f1"] = 0.1 if name == "tweets" else 0.9
    assert "- Tweets: macro-F1 0.100" in model_card(recipe, measured)


def test_notes_of_a_person_come_last_but_the_licence(recipe: Recipe, measured: dict[str, Any]) -> None:
    """How an adapter came to be, where its figures alone would not say; none is made up."""
    card = model_card(recipe, {**measured, "notes": ["Tried twice."]})
    assert card.index("## Recipe") < card.index("Tried twice.") < card.index("## Licence")
    assert "## Notes" not in model_card(recipe, {**measured, "notes": []})
