from tests.unit.training.builders import snippets
from training.augment.enlarge import enlarge
from training.data import LABELS
from training.finetune.texts import from_snippets
from training.recipe import Recipe


def test_nothing_labelled_is_lost() -> None:
    """The texts come first, as they were; then the disturbed copies under the same targets, then the templates."""
    recipe = Recipe(disturbed=0.25, behavioural=24)
    texts = from_snippets(snippets(), recipe)
    big = enlarge(texts, recipe)
    assert big[:120] == texts
    assert len(big) == 120 + 30 + 24
    assert {one.targets for one in big[120:150]} <= {one.targets for one in texts}


def test_nothing_is_added_unless_the_recipe_says_so() -> None:
    """The texts alone, by default."""
    texts = from_snippets(snippets(), Recipe())
    assert enlarge(texts, Recipe()) == texts


def test_templates_carry_the_label_of_their_rating() -> None:
    """And targets that lean to it, or hang between two labels where the rating does."""
    for one in enlarge([], Recipe(behavioural=60)):
        assert one.targets[LABELS.index(one.label)] >= 0.49
