import pytest

from training.errors import TrainingError
from training.recipe import Recipe


def test_a_recipe_is_read_as_it_was_written(tmp_path) -> None:
    """Every field survives the file."""
    recipe = Recipe(seed=3, learning_rate=1e-4, lora_rank=2, bf16=False)
    recipe.write(tmp_path / "recipe.json")
    assert Recipe.read(tmp_path / "recipe.json") == recipe


def test_a_field_of_another_version_is_named(tmp_path) -> None:
    """A recipe is not run with a part of it ignored."""
    (tmp_path / "recipe.json").write_text('{"seed": 1, "momentum": 0.9}')
    with pytest.raises(TrainingError, match="momentum"):
        Recipe.read(tmp_path / "recipe.json")
