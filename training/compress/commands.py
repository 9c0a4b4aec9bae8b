"""`tidings compress` and `tidings distil`. What takes time to import is imported when a command runs."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Kind(StrEnum):
    """How a student is made before it learns."""

    CUT = "cut"
    NARROW = "narrow"


Adapter = Annotated[Path | None, typer.Option(help="The adapter's folder. [default: the committed one]", show_default=False)]
Sweep = Annotated[bool, typer.Option("--sweep", help="Measure every variant: accuracy, latency, size, and what it changes.")]
Students = Annotated[
    list[Path] | None, typer.Option("--student", help="A folder of `tidings distil`; may be repeated.", show_default=False)
]
Plot = Annotated[Path | None, typer.Option(help="Draw the points to this file (.png, .svg, .pdf).", show_default=False)]
Rounds = Annotated[int, typer.Option(min=1, help="Times that each variant is timed, by turns.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Measure on so many texts of the test split alone.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")]
Serve = Annotated[
    Path | None, typer.Option(help="Put this student of `tidings distil` into Triton's models.", show_default=False)
]
Repository = Annotated[
    Path | None, typer.Option("--model-repository", "-m", help="Triton's models. [default: triton_repo]", show_default=False)
]
Name = Annotated[str, typer.Option(help="The name that Triton is to serve the student by.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="The folder that is written, in place of what is there.")]
Made = Annotated[Kind, typer.Option(help="Cut from the teacher's layers, or a narrow BERT with the teacher's words.")]
Layers = Annotated[str, typer.Option(help="cut: the teacher's layers to keep, from 0; narrow: how many there are.")]
Heads = Annotated[int, typer.Option(min=1, help="Attention heads a layer.")]
Neurons = Annotated[int, typer.Option(min=1, help="Feed-forward neurons a layer.")]
Hidden = Annotated[int, typer.Option(min=8, help="narrow: the width.")]
Unrated = Annotated[
    list[Path] | None, typer.Option(help="A file of more texts, one a line; may be repeated.", show_default=False)
]
Transfer = Annotated[int, typer.Option(min=0, help="Texts to make from the rated ones, for the teacher to label.")]
Epochs = Annotated[float, typer.Option(min=0.01, help="Most passes over all texts; early stopping may end sooner.")]
Seed = Annotated[int, typer.Option(min=0, help="Seeds weights, dropout, made texts and order.")]
LearningRate = Annotated[float, typer.Option(min=1e-7, help="Peak of the linear schedule.")]


def register(app: typer.Typer) -> None:
    """Add the commands of compression to the command line."""
    app.command("compress")(compress)
    app.command("distil")(distil)


def compress(
    sweep: Sweep = False,
    adapter: Adapter = None,
    student: Students = None,
    plot: Plot = None,
    rounds: Rounds = 5,
    limit: Limit = None,
    as_json: Json = False,
    serve: Serve = None,
    name: Name = "fast",
    model_repository: Repository = None,
) -> None:
    """Show what each way of making the model smaller or quicker costs, measured in one run.

    Float32, half-precision weights, bfloat16, int8, a trimmed vocabulary, pruned heads and students, each as one point. The
    points are also written to build/training/sweep.json. A variant is put into service by `tidings export --variant`, a student
    by --serve, if its exported form passes its gates.

    For example:

        tidings compress --sweep                   # some minutes on two cores
        tidings compress --sweep --student build/training/fast --plot build/training/sweep.png
        tidings compress --sweep --limit 300 --json
        tidings compress --serve build/training/fast --name fast
    """
    from training.command_line import errors_as_one_line

    with errors_as_one_line():
        from training.compress import command_line

        asked = command_line.Sweeping(adapter, tuple(student or ()), plot, rounds, limit) if sweep else None
        command_line.compress(asked, as_json=as_json, serve=serve)
        if serve:
            command_line.put_into_service(serve, name, model_repository)


def distil(
    out: Out = Path("build/training/fast"),
    adapter: Adapter = None,
    kind: Made = Kind.CUT,
    layers: Layers = "0,1",
    heads: Heads = 6,
    neurons: Neurons = 384,
    hidden: Hidden = 256,
    unrated: Unrated = None,
    transfer: Transfer = 20_000,
    epochs: Epochs = 12.0,
    learning_rate: LearningRate = 3e-4,
    seed: Seed = 7,
) -> None:
    """Teach a small, quick student to answer as the adapter's model does.

    It learns from the rated snippets, from texts made of them and from any you add; the adapter's model labels them all. Its
    vocabulary is that of its texts. Only a finished student is kept: Ctrl-C leaves nothing half-written.

    For example:

        tidings distil                             # two thin layers of the adapter's model
        tidings distil --kind narrow --layers 2 --hidden 192 --heads 6 --neurons 768 -o build/training/narrow
        tidings distil --unrated headlines.txt --transfer 50000
        tidings distil --epochs 0.1 --transfer 0   # a try
    """
    from training.command_line import errors_as_one_line

    with errors_as_one_line():
        from training.compress import command_line
        from training.compress.distil import Distillation

        shape = command_line.student_shape(kind.value, layers, heads, neurons, hidden)
        choices = Distillation(epochs=epochs, learning_rate=learning_rate, seed=seed)
        command_line.distil(command_line.Lesson(adapter, shape, tuple(unrated or ()), transfer), choices, out)
