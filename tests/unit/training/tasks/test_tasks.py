import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnxruntime  # type: ignore[import-untyped]
import pytest
import torch
from google.protobuf import text_format  # type: ignore[import-untyped]
from safetensors.torch import load_file
from tritonclient.grpc import model_config_pb2 as pb  # type: ignore[import-untyped]

from tests.unit.training.tasks.builders import RECIPE, data_of, world
from training.adapter import adapter_sha256
from training.compress.int8 import halve_weights
from training.data import Split
from training.errors import GateError, TrainingError
from training.export import export
from training.finetune.runs import find_runs
from training.finetune.trainer import Watch
from training.predict import OnnxModel, TorchModel
from training.recipe import Method, Recipe, Task
from training.served import load_served
from training.tasks.counts import TaskFigures
from training.tasks.heads import Answers, TaskModel, answers_of
from training.tasks.labelled import read_labelled
from training.tasks.learning import evaluate_task, train_task
from training.tasks.serving import agreement, prove
from training.trained import load_trained
from training.variant import Variant

TASKS = (Task.TOPICS, Task.ENTITIES)
ROWS = [[2, 7, 8, 4, 3], [2, 9, 3], [2, 13, 4, 3]]


def of(task: Task) -> Recipe:
    """The tiny recipe of a task."""
    return replace(RECIPE, task=task)


@dataclass(frozen=True)
class Made:
    """A model of a task: where everything of it lies, and its figures on the test part."""

    task: Task
    home: Path
    found: TaskFigures

    @property
    def folder(self) -> Path:
        """The adapter's folder."""
        return self.home / "model"


@pytest.fixture(scope="module", params=TASKS)
def made(request, tmp_path_factory) -> Iterator[Made]:
    """A model of each task, trained for real, once."""
    home = tmp_path_factory.mktemp("task")
    with pytest.MonkeyPatch.context() as monkeypatch:
        world(monkeypatch, home / "encoder")
        yield Made(request.param, home, train_task(of(request.param), data_of(request.param, home), home / "model"))


def test_a_task_is_learned_and_told(made: Made) -> None:
    """From a labelled file to a model with figures, and files that name the task."""
    assert made.found.micro_f1 > 0.9
    assert made.found.macro_f1_ci95.low <= made.found.macro_f1 <= made.found.macro_f1_ci95.high
    measured = json.loads((made.folder / "metrics.json").read_text())
    assert (measured["task"], measured["test"]["micro_f1"]) == (made.task.value, made.found.micro_f1)
    assert f"Task: `{made.task}`" in (made.folder / "README.md").read_text()
    assert [(run.macro_f1, run.ece) for run in find_runs([made.folder])] == [(made.found.macro_f1, None)]
    if made.task is Task.TOPICS:
        settings = json.loads((made.folder / "task.json").read_text())
        assert set(settings["thresholds"]) == {"culture", "politics", "trade"}


def test_a_task_is_exported_and_served_as_it_was_trained(made: Made) -> None:
    """ONNX Runtime answers as torch does, the configuration says what it answers, and half the weights' bits are enough."""
    exported = export(made.folder, made.home / "repository")
    saved, columns = TaskModel(made.folder), len(TaskModel(made.folder).head.outputs)
    contract = json.loads((exported.folder / "contract.json").read_text())
    assert (exported.folder.name, contract["task"], contract["columns"]) == (
        made.task.value,
        made.task.value,
        list(saved.head.outputs),
    )
    assert contract["parity"]["torch"]["decisions_changed"] == contract["parity"]["neighbours"]["decisions_changed"] == 0
    config = text_format.Parse((exported.folder / "config.pbtxt").read_text(), pb.ModelConfig())
    dims = [-1, columns] if made.task is Task.ENTITIES else [columns]
    assert (config.name, config.backend, list(config.output[0].dims)) == (made.task.value, "onnxruntime", dims)
    onnx = exported.folder / "1" / "model.onnx"
    ids = np.array([[2, 7, 8, 4, 3], [2, 9, 3, 0, 0]], dtype=np.int64)
    feeds = {"input_ids": ids, "attention_mask": (ids > 0).astype(np.int64)}
    [logits] = onnxruntime.InferenceSession(onnx).run(["logits"], feeds)
    assert logits.shape == ((2, 5, columns) if made.task is Task.ENTITIES else (2, columns))
    texts = read_labelled(made.home / f"{made.task}.jsonl", made.task).parts[Split.TEST]
    assert evaluate_task(OnnxModel(onnx), saved, texts) == made.found
    assert export(made.folder, made.home / "repository").was_fresh
    halve_weights(onnx, made.home / "half.onnx")
    assert prove(OnnxModel(made.home / "half.onnx"), saved, ROWS, Variant.FP16, print)["torch"].labels_changed == 0


def test_another_model_than_the_trained_one_is_not_exported(made: Made) -> None:
    """One whose head says the opposite; and another threshold is another model."""
    other = TaskModel(made.folder)
    other.model.head.weight.data.neg_()
    with pytest.raises(GateError, match="parity"):
        prove(TorchModel(other.model), TaskModel(made.folder), ROWS, Variant.FP32, print)
    before, kept = adapter_sha256(made.folder), (made.folder / "task.json").read_text()
    (made.folder / "task.json").write_text(kept.replace("labels", "labels "))
    changed = adapter_sha256(made.folder)
    (made.folder / "task.json").write_text(kept)
    assert (before == adapter_sha256(made.folder), before == changed) == (True, False)


def test_a_lora_of_a_task_comes_back_from_disk(tmp_path, monkeypatch) -> None:
    """It is merged and comes back from disk as it was; the sentiment commands refuse it by name."""
    world(monkeypatch, tmp_path / "encoder")
    recipe = replace(of(Task.ENTITIES), method=Method.LORA, lora_rank=4, epochs=1)
    train_task(recipe, data_of(Task.ENTITIES, tmp_path), tmp_path / "lora")
    saved, rows = TaskModel(tmp_path / "lora"), [[2, 7, 8, 4, 3], [2, 5, 3]]
    before: Answers = answers_of(TorchModel(saved.model), rows)
    again = answers_of(TorchModel(TaskModel(tmp_path / "lora").model), rows)
    assert [one.shape for one in before] == [(5, 5), (3, 5)]
    assert agreement(saved.head, before, again).largest_gap == 0
    with pytest.raises(TrainingError, match="is a model of entities"):
        load_trained(tmp_path / "lora")
    with pytest.raises(TrainingError, match="this is for sentiment; its figures"):
        load_served("onnx", tmp_path / "lora", print)


def test_a_broken_run_of_a_task_goes_on(tmp_path, monkeypatch) -> None:
    """As any run does: the result is that of a run that was not broken."""
    world(monkeypatch, tmp_path / "encoder")
    data, recipe = data_of(Task.TOPICS, tmp_path), replace(of(Task.TOPICS), epochs=2)

    def breaks(epoch: int, _score: float) -> None:
        if epoch == 2:
            raise KeyboardInterrupt

    whole = train_task(recipe, data, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train_task(recipe, data, tmp_path / "broken", watch=Watch(tmp_path / "kept", heard=breaks))
    assert not (tmp_path / "broken").exists()
    assert train_task(recipe, data, tmp_path / "broken", watch=Watch(tmp_path / "kept", resume=True)) == whole
    before, after = (load_file(tmp_path / name / "adapter_model.safetensors") for name in ("whole", "broken"))
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("choice", [{"preserve": 1.0}, {"behavioural": 10}, {"class_weights": True}])
def test_what_is_of_sentiment_alone_is_refused(tmp_path, choice: dict[str, float]) -> None:
    """A choice that would be passed over is an error."""
    with pytest.raises(TrainingError, match=f"{next(iter(choice))} is for sentiment"):
        train_task(replace(of(Task.TOPICS), **choice), tmp_path / "none.jsonl", tmp_path / "out")  # type: ignore[arg-type]
