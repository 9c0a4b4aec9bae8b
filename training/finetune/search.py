"""Looking for a recipe: Optuna tries values, gives up on the hopeless after an epoch, and goes on where it stopped.

Akiba et al., "Optuna: A Next-generation Hyperparameter Optimization Framework", KDD 2019.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import optuna

from training.errors import TrainingError
from training.finetune.trainer import Heard
from training.recipe import Recipe

Run = Callable[[Recipe, Heard], float]
"""Trains by a recipe, tells of each epoch, and returns the best validation macro-F1."""


@dataclass(frozen=True, slots=True)
class Span:
    """Between what a value is looked for: numbers from `low` to `high`, evenly in their logarithm if `log`; or `choices`."""

    low: float = 0.0
    high: float = 0.0
    log: bool = False
    choices: tuple[Any, ...] = ()

    def suggest(self, trial: optuna.Trial, name: str) -> Any:
        """Return the value that this trial tries."""
        if self.choices:
            return trial.suggest_categorical(name, self.choices)
        return trial.suggest_float(name, self.low, self.high, log=self.log)


SPACE: Mapping[str, Span] = {
    "learning_rate": Span(2e-5, 1e-3, log=True),
    "layer_decay": Span(0.7, 1.0),
    "weight_decay": Span(1e-3, 1e-1, log=True),
    "encoder_dropout": Span(0.0, 0.2),
    "label_sigma": Span(0.2, 0.6),
    "loss": Span(choices=("cross-entropy", "ordinal")),
    "prior_strength": Span(0.0, 0.6),
}


def search(base: Recipe, run: Run, trials: int, storage: Path, space: Mapping[str, Span] = SPACE) -> optuna.Study:
    """Try recipes until the study in the file `storage` has `trials` of them that ended, and return the study.

    The first trial is `base` itself, as near as the space lets it, so that the search is never worse than where it began.

    Raises:
        TrainingError: the file holds a study of another space.
    """
    storage.parent.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        study_name="sentiment",
        storage=f"sqlite:///{storage}",
        load_if_exists=True,
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=base.seed),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=3, n_warmup_steps=1),
    )
    _same_space(study, space)
    if not study.trials:
        study.enqueue_trial(_nearest(base, space))
    left = trials - sum(trial.state.is_finished() for trial in study.trials)
    if left > 0:
        study.optimize(lambda trial: run(_recipe(base, trial, space), _heard(trial)), n_trials=left)
    return study


def best_recipe(base: Recipe, study: optuna.Study) -> Recipe:
    """Return the recipe of the best trial."""
    return Recipe.of({**asdict(base), **study.best_params})


def ranked(study: optuna.Study) -> Sequence[optuna.trial.FrozenTrial]:
    """Return the trials that ran to their end, the best first."""
    done = [trial for trial in study.trials if trial.state is optuna.trial.TrialState.COMPLETE]
    return sorted(done, key=lambda trial: -(trial.value or 0.0))


def _heard(trial: optuna.Trial) -> Heard:
    def told(epoch: int, macro_f1: float) -> None:
        trial.report(macro_f1, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned

    return told


def _recipe(base: Recipe, trial: optuna.Trial, space: Mapping[str, Span]) -> Recipe:
    return Recipe.of({**asdict(base), **{name: span.suggest(trial, name) for name, span in space.items()}})


def _nearest(base: Recipe, space: Mapping[str, Span]) -> dict[str, Any]:
    return {
        name: getattr(base, name) if span.choices else min(max(getattr(base, name), span.low), span.high)
        for name, span in space.items()
    }


def _same_space(study: optuna.Study, space: Mapping[str, Span]) -> None:
    known = {name for trial in study.trials for name in trial.params}
    if known and known != set(space):
        raise TrainingError(f"this file holds a search over {', '.join(sorted(known))}: name another --storage")
