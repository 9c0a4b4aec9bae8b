import pytest

from training.errors import TrainingError
from training.recipe import Method, Recipe


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


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": "four"}, "epochs is 'four', where a float belongs"),
        ({"bf16": 1}, "bf16 is 1, where a bool belongs"),
        ({"seed": True}, "seed is True, where a int belongs"),
        ({"method": "magic"}, "one of full, lora"),
        ({"learning_rate": 3.0}, "learning_rate is 3.0, where 1e-08 to 1 makes sense"),
    ],
)
def test_a_value_that_no_run_can_use_is_named(values: dict[str, object], message: str) -> None:
    """Before half an hour of training, not after it."""
    with pytest.raises(TrainingError, match=message):
        Recipe.of(values)


def test_a_part_of_a_recipe_is_the_rest_by_default(tmp_path) -> None:
    """A file names what is to be other than by default."""
    (tmp_path / "mine.json").write_text('{"method": "full", "learning_rate": 3e-5}')
    recipe = Recipe.read(tmp_path / "mine.json")
    assert (recipe.method, recipe.learning_rate, recipe.seed) == (Method.FULL, 3e-5, Recipe().seed)
