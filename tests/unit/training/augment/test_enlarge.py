from tests.unit.training.builders import snippets
from training.augment.enlarge import Enlargement, enlarge
from training.data import Split, label_of


def test_nothing_rated_is_lost() -> None:
    """The snippets come first, as they were; then the disturbed copies, then the templates."""
    rated = snippets()
    big = enlarge(rated, Enlargement(disturbed_share=0.25, behavioural=24, seed=1))
    assert big[:120] == rated
    assert [s.id.endswith("-disturbed") for s in big[120:150]] == [True] * 30
    assert all(s.id.startswith("behaviour-") for s in big[150:])


def test_templates_are_for_training_alone() -> None:
    """Each carries the label of its rating."""
    made = enlarge([], Enlargement(behavioural=24))
    assert {s.split for s in made} == {Split.TRAIN}
    assert all(s.label == label_of(s.rating) for s in made)
