from dataclasses import replace

import optuna
import pytest

from training.errors import TrainingError
from training.finetune.search import SPACE, Span, best_recipe, ranked, search
from training.finetune.trainer import Heard
from training.recipe import Loss, Recipe

BASE = Recipe(learning_rate=1e-4)
NARROW = {"learning_rate": Span(1e-5, 1e-3, log=True), "loss": Span(choices=("cross-entropy", "ordinal"))}


def pretended(recipe: Recipe, heard: Heard) -> float:
    """A run whose figure is known: best at a rate of 3e-4 with the ordinal loss."""
    figure = 1.0 - abs(recipe.learning_rate - 3e-4) * 1e3 - 0.1 * (recipe.loss is not Loss.ORDINAL)
    heard(1, figure)
    return figure


def test_the_best_is_at_least_what_it_began_with(tmp_path) -> None:
    """The base recipe is tried first, and the best of all is found among what was tried."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = search(BASE, pretended, 12, tmp_path / "search.db", NARROW)
    assert study.trials[0].params["learning_rate"] == pytest.approx(1e-4)
    best = best_recipe(BASE, study)
    assert pretended(best, lambda *_: None) == study.best_value >= pretended(BASE, lambda *_: None)
    values = [trial.value or 0.0 for trial in ranked(study)]
    assert values == sorted(values, reverse=True)


def test_a_search_goes_on_where_it_stopped(tmp_path) -> None:
    """What was tried is not tried again, and Ctrl-C loses the trial it meets alone."""
    tried: list[float] = []

    def interrupted(recipe: Recipe, heard: Heard) -> float:
        tried.append(recipe.learning_rate)
        if len(tried) == 3:
            raise KeyboardInterrupt
        return pretended(recipe, heard)

    with pytest.raises(KeyboardInterrupt):
        search(BASE, interrupted, 5, tmp_path / "search.db", NARROW)
    study = search(BASE, pretended, 5, tmp_path / "search.db", NARROW)
    done = [trial for trial in study.trials if trial.state.is_finished()]
    assert len(done) == 5
    assert len(search(BASE, interrupted, 5, tmp_path / "search.db", NARROW).trials) == len(study.trials)


def test_the_hopeless_are_given_up(tmp_path) -> None:
    """A run that lags behind the others after an epoch is pruned, and is not the best."""

    def slow(recipe: Recipe, heard: Heard) -> float:
        good = recipe.learning_rate <= 1e-4 * 1.01
        for epoch in (1, 2, 3):
            heard(epoch, 0.7 if good else 0.1 / epoch)
        return 0.7 if good else 0.1

    study = search(replace(BASE, seed=1), slow, 12, tmp_path / "search.db", {"learning_rate": Span(1e-5, 1e-3, log=True)})
    states = {trial.state for trial in study.trials}
    assert optuna.trial.TrialState.PRUNED in states
    assert study.best_value == 0.7


def test_another_space_needs_another_file(tmp_path) -> None:
    """Trials of two spaces cannot be compared."""
    search(BASE, pretended, 1, tmp_path / "search.db", NARROW)
    with pytest.raises(TrainingError, match="name another --storage"):
        search(BASE, pretended, 2, tmp_path / "search.db", SPACE)


def test_the_space_is_of_the_recipe() -> None:
    """Every name is a field, and every bound is one that a recipe takes."""
    for name, span in SPACE.items():
        for value in span.choices or (span.low, span.high):
            Recipe.of({name: value})
