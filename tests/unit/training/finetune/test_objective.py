import pytest
import torch

from training.finetune.objective import class_weights, cumulative_distance, drift
from training.finetune.weights import Weights


def test_the_opposite_costs_more_than_the_middle() -> None:
    """Cross-entropy cannot tell these two mistakes apart; the distance of cumulative shares can."""
    target = torch.tensor([[0.0, 0.0, 1.0]])
    middle, opposite = torch.tensor([[0.0, 9.0, 0.0]]), torch.tensor([[9.0, 0.0, 0.0]])
    entropy = [torch.nn.functional.cross_entropy(logits, target).item() for logits in (middle, opposite)]
    assert entropy[0] == pytest.approx(entropy[1])
    assert cumulative_distance(opposite, target) > 1.9 * cumulative_distance(middle, target)


def test_what_is_right_costs_nothing() -> None:
    """Once the shares are the targets."""
    target = torch.tensor([[0.2, 0.3, 0.5], [0.1, 0.8, 0.1]])
    assert cumulative_distance(target.log(), target).item() == pytest.approx(0.0, abs=1e-12)


def test_only_the_direction_is_held() -> None:
    """A longer embedding says the same; one that turned says something else."""
    reference = torch.tensor([[1.0, 2.0], [0.0, 1.0]])
    assert drift(3.0 * reference, reference).item() == pytest.approx(0.0, abs=1e-6)
    assert drift(-reference, reference).item() == pytest.approx(2.0)


def test_all_labels_count_the_same_together() -> None:
    """Weight times share is equal for all, however rare."""
    targets = torch.tensor([[1.0, 0.0, 0.0]] * 6 + [[0.0, 1.0, 0.0]] * 3 + [[0.0, 0.0, 1.0]])
    assert torch.allclose(class_weights(targets) * targets.mean(dim=0), torch.full((3,), 1 / 3))


def test_the_average_stands_in_for_a_while_only() -> None:
    """Inside, the model has the average; after it, what it had."""
    model = torch.nn.Linear(1, 1, bias=False)
    weights = Weights(model, decay=0.5)
    start = model.weight.item()
    with torch.no_grad():
        model.weight.fill_(start + 1.0)
    for _ in range(50):
        weights.follow()
    with torch.no_grad():
        model.weight.fill_(start + 2.0)
    with weights.averaged():
        assert model.weight.item() == pytest.approx(start + 1.0, abs=1e-4)
    assert model.weight.item() == start + 2.0


def test_the_best_comes_back() -> None:
    """The weights of the highest score, not of the last."""
    model = torch.nn.Linear(1, 1, bias=False)
    weights = Weights(model)
    for value, score in ((1.0, 0.2), (2.0, 0.9), (3.0, 0.5)):
        with torch.no_grad():
            model.weight.fill_(value)
        weights.keep_if_better(score)
    weights.restore_best()
    assert model.weight.item() == 2.0
