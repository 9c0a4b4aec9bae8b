"""The commands `tidings train`, `tidings evaluate` and `tidings export`; what they do is in `command_line.py`.

Imports that take time happen inside the commands, so that `tidings --help` is instant.
"""

from __future__ import annotations

import importlib.util
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from training.compress import commands as compress_commands
from training.data import Split
from training.data import commands as data_commands
from training.device import Device
from training.variant import Variant

for _package in ("torch", "transformers", "peft", "onnx", "onnxruntime", "openvino", "scipy"):
    if importlib.util.find_spec(_package) is None:
        raise ImportError(f'training needs {_package}: pip install "tidings[train]"')


class Runtime(StrEnum):
    """What computes the model's answers."""

    ONNX = "onnx"
    TORCH = "torch"


Adapter = Annotated[Path | None, typer.Option(help="The adapter's folder. [default: the committed one]", show_default=False)]
Repository = Annotated[
    Path | None, typer.Option("--model-repository", "-m", help="Triton's models. [default: triton_repo]", show_default=False)
]
Epochs = Annotated[float, typer.Option(min=0.01, help="Most passes over the training split; early stopping may end sooner.")]
Seed = Annotated[int, typer.Option(min=0, help="Seeds weights, dropout and order.")]
LearningRate = Annotated[float, typer.Option(min=1e-7, help="Peak of the linear schedule.")]
Out = Annotated[
    Path | None, typer.Option(help="Where the adapter goes. [default: build/training/sentiment]", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]
Model = Annotated[Runtime, typer.Option(help="The exported model, or the adapter under torch.")]
Input = Annotated[
    Path | None,
    typer.Option(
        "--input", "-i", help="Your own set: tab-separated, with a header `text` and `label` or `rating`.", show_default=False
    ),
]
Part = Annotated[Split, typer.Option(help="The split to evaluate on, without --input.")]
Force = Annotated[bool, typer.Option("--force", help="Export even if the repository holds this adapter already.")]
Embedding = Annotated[
    bool, typer.Option("--embedding", help="Export the encoder too, as a second model, for topics known by their meaning.")
]
As = Annotated[
    Variant,
    typer.Option(
        help="fp32, or fp16 weights, by ONNX Runtime; bf16 by OpenVINO, faster on CPUs that compute in it; int8 by OpenVINO."
    ),
]
For = Annotated[Device, typer.Option(help="Where Triton is to run the model.")]


def register(app: typer.Typer) -> None:
    """Add the commands of training to the command line."""
    app.command("train")(train)
    app.command("evaluate")(evaluate)
    app.command("export")(export)
    data_commands.register(app)
    compress_commands.register(app)


def train(out: Out = None, epochs: Epochs = 4.0, seed: Seed = 7, learning_rate: LearningRate = 5e-4) -> None:
    """Fine-tune a sentiment adapter on the ICWSM-2014 snippets.

    Fetches the data and the encoder the first time. Takes about half an hour on two cores. Only a finished adapter is
    kept: Ctrl-C leaves nothing half-written. To serve the result: `tidings export --adapter OUT`.

    For example:

        tidings train                              # the recipe of the committed adapter
        tidings train --seed 11 --out build/seed-11
        tidings train --epochs 0.1                 # a try, two minutes
    """
    from training import command_line

    with command_line.errors_as_one_line():
        command_line.train(out, epochs=epochs, seed=seed, learning_rate=learning_rate)


def evaluate(
    model: Model = Runtime.ONNX,
    adapter: Adapter = None,
    split: Part = Split.TEST,
    input_: Input = None,
    as_json: Json = False,
) -> None:
    """Measure a model on labelled texts, per source, with VADER on the same rows beside it.

    Macro-F1 with 95 % bootstrap intervals, accuracy, precision, recall and F1 per label, the confusion matrix and the
    calibration error. Everything is also written to build/training/evaluation.json.

    For example:

        tidings evaluate                           # the exported model on the test split
        tidings evaluate --model torch --adapter build/seed-11
        tidings evaluate --input mine.tsv --json
    """
    from training import command_line

    with command_line.errors_as_one_line():
        command_line.evaluate(command_line.Choice(model.value, adapter, split, input_), as_json=as_json)


def export(
    adapter: Adapter = None,
    model_repository: Repository = None,
    device: For = Device.CPU,
    variant: As = Variant.FP32,
    force: Force = False,
    embedding: Embedding = False,
) -> None:
    """Put the adapter's model into Triton's model repository, if it passes its gates.

    Merges the adapter, writes ONNX, and holds it to parity with the torch model (labels equal, probabilities within
    0.001; for other variants at most 0.5 % of labels may differ) and to independence from batch neighbours. If a gate
    fails, the repository stays as it was.

    For example:

        tidings export                             # the committed adapter into triton_repo/
        tidings export --adapter build/training/sentiment --device gpu
        tidings export --variant bf16              # the same file on OpenVINO in bfloat16
        tidings export --embedding                 # and triton_repo/embedding, for topics known by their meaning
    """
    from training import command_line

    with command_line.errors_as_one_line():
        command_line.export(adapter, model_repository, command_line.Target(device, variant), force=force, embedding=embedding)
