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
from training.drift import commands as drift_commands
from training.promote import commands as promote_commands
from training.variant import Variant

for _package in ("torch", "transformers", "peft", "onnx", "onnxruntime", "openvino", "scipy"):
    if importlib.util.find_spec(_package) is None:
        raise ImportError(f'training needs {_package}: pip install "tidings[train]"')


class Runtime(StrEnum):
    """What computes the model's answers."""

    ONNX = "onnx"
    TORCH = "torch"


class How(StrEnum):
    """How a prediction is explained."""

    OCCLUSION = "occlusion"
    GRADIENTS = "gradients"


Adapter = Annotated[Path | None, typer.Option(help="The adapter's folder. [default: the committed one]", show_default=False)]
Repository = Annotated[
    Path | None, typer.Option("--model-repository", "-m", help="Triton's models. [default: triton_repo]", show_default=False)
]
Data = Annotated[
    Path | None,
    typer.Option(
        help="A folder of `tidings data prepare`, or a labelled file of topics or entities. [default: the ICWSM-2014 snippets]",
        show_default=False,
    ),
]
RecipeName = Annotated[
    str,
    typer.Option(
        "--recipe",
        help="sentiment, lora, topics, entities, or a JSON file: another model's recipe.json, or a part of one.",
    ),
]
Values = Annotated[
    list[str] | None,
    typer.Option("--set", help="A value of the recipe, as name=value; can be given again.", metavar="NAME=VALUE"),
]
Shots = Annotated[int | None, typer.Option(min=2, help="Learn from so many texts of each label alone.", show_default=False)]
ZeroShot = Annotated[
    bool, typer.Option("--zero-shot", help="Learn from descriptions of the labels, and from no labelled text.")
]
From = Annotated[
    Path | None,
    typer.Option(
        "--from",
        help="Go on from this adapter with --data, replaying the snippets; says what was forgotten.",
        show_default=False,
    ),
]
Trials = Annotated[int, typer.Option(min=1, help="How many recipes to have tried in the end.")]
Storage = Annotated[
    Path | None,
    typer.Option(help="The file of what was tried. [default: build/training/search.db]", show_default=False),
]
Said = Annotated[str, typer.Argument(help="The text, in quotes.")]
Way = Annotated[How, typer.Option("--method", help="What a word's weight is.")]
Names = Annotated[
    list[str] | None, typer.Argument(help="Recipes, by name or file. [default: sentiment lora]", show_default=False)
]
Folders = Annotated[
    list[Path] | None, typer.Argument(help="Runs, or folders of them. [default: build/training]", show_default=False)
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run that broke off on its way to OUT.")]
TensorBoard = Annotated[bool, typer.Option("--tensorboard", help="Write curves for TensorBoard beside OUT.")]
Out = Annotated[
    Path | None, typer.Option(help="Where the adapter goes. [default: build/training/sentiment]", show_default=False)
]
ModelsOut = Annotated[
    Path | None,
    typer.Option(
        "--out",
        help="Where the models go, each into a folder of its name. [default: build/training/models]",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]
Model = Annotated[Runtime, typer.Option(help="The exported model, or the adapter under torch.")]
Input = Annotated[
    Path | None,
    typer.Option(
        "--input",
        "-i",
        help="Your own set: TSV, CSV, JSONL or Parquet with columns `text` and `label` or `rating`.",
        show_default=False,
    ),
]
Part = Annotated[Split, typer.Option(help="The split to evaluate on, without --input.")]
Outside = Annotated[bool, typer.Option("--outside", help="Also every labelled set of the measuring data, none trained on.")]
Behaviour = Annotated[bool, typer.Option("--behaviour", help="Also CheckList: what must and must not change a prediction.")]
Fairness = Annotated[bool, typer.Option("--fairness", help="Also named groups swapped in sentences.")]
Topics = Annotated[bool, typer.Option("--topics", help="Also topics without examples, beside the untouched encoder.")]
Review = Annotated[
    float | None,
    typer.Option(min=0.5, max=0.999, help="Also the confidence that holds this precision on validation.", show_default=False),
]
Cases = Annotated[int, typer.Option(min=0, help="Most cases of each test of behaviour; 0 for all.")]
Rows = Annotated[int, typer.Option(min=0, help="Most rows of each set, of the home set too; 0 for all.")]
Baselines = Annotated[bool, typer.Option(help="Also VADER, TextBlob and a head on the untouched encoder.")]
Plot = Annotated[
    Path | None, typer.Option(help="Also draw reliability.svg and variants.svg into this folder.", show_default=False)
]
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
Cores = Annotated[
    int | None,
    typer.Option(min=1, help="How many cores the server has that runs it on its CPU: they are shared out among instances."),
]


def register(app: typer.Typer) -> None:
    """Add the commands of training to the command line."""
    app.command("train")(train)
    app.command("search")(search)
    app.command("train-all")(train_all)
    app.command("runs")(runs)
    app.command("evaluate")(evaluate)
    app.command("explain")(explain)
    app.command("export")(export)
    data_commands.register(app)
    promote_commands.register(app)
    drift_commands.register(app)
    compress_commands.register(app)


def train(
    out: Out = None,
    data: Data = None,
    recipe: RecipeName = "sentiment",
    values: Values = None,
    shots: Shots = None,
    zero_shot: ZeroShot = False,
    going_on_from: From = None,
    resume: Resume = False,
    tensorboard: TensorBoard = False,
) -> None:
    """Fine-tune a sentiment model, on the ICWSM-2014 snippets or on your own data; or one of topics or entities.

    Fetches the data and the encoder the first time. The shipped model took 40 minutes on one busy core. Only a finished
    model is kept; a run that broke off, by Ctrl-C too, goes on from its last epoch with --resume. To serve the result:
    `tidings export --adapter OUT`. What a recipe can hold, and what is trained by which method, is in docs/training.md.

    For example:

        tidings train                              # the recipe of the shipped model
        tidings train --recipe lora --set seed=11 --out build/seed-11
        tidings train --set epochs=0.1             # a try
        tidings train --data build/training/data --set method=full --set learning_rate=5e-5
        tidings train --recipe mine.json --resume --tensorboard
        tidings train --data mine --shots 8        # from eight texts a label
        tidings train --data mine --zero-shot      # from none, by descriptions of the labels
        tidings train --data new --from build/training/sentiment   # on, without forgetting
        tidings train --recipe topics --data mine.jsonl            # several topics a text: {"text": ..., "topics": [...]}
        tidings train --recipe entities --data mine.conll          # entities: CoNLL, or {"text": ..., "entities": [...]}
    """
    from training import command_line

    with command_line.errors_as_one_line():
        way = command_line.Way(shots, zero_shot, going_on_from, resume, tensorboard)
        command_line.train(out, data, command_line.Choices(recipe, values or []), way)


def search(
    recipe: RecipeName = "sentiment",
    values: Values = None,
    data: Data = None,
    trials: Trials = 20,
    storage: Storage = None,
    as_json: Json = False,
) -> None:
    """Look for a better recipe: fine-tune by one after another, and give up early on those that lag behind.

    What was tried is kept in a file, so that the search goes on where it stopped, Ctrl-C or not, and more trials can be
    asked for later. Judged by the validation split alone.

    For example:

        tidings search --trials 30
        tidings search --data build/mine --recipe lora --set epochs=1
    """
    from training import command_line

    with command_line.errors_as_one_line():
        command_line.search(command_line.Choices(recipe, values or []), data, trials, storage, as_json=as_json)


def train_all(
    names: Names = None,
    out: ModelsOut = None,
    cases: Cases = 200,
    rows: Rows = 0,
    as_json: Json = False,
) -> None:
    """Train every recipe that comes with the package and the student of the first, and measure all on everything in one report.

    What is trained already is not trained again, what broke off goes on. The report is build/training/report.json, its pictures
    are in build/training/plots; the sets abroad and CheckList are in it where TIDINGS_DATA_DIR has them.

    For example:

        tidings train-all
        tidings train-all sentiment --cases 50
    """
    from training import command_line
    from training.evaluation.asked import Asked
    from training.evaluation.folder import data_dir
    from training.paths import build_dir

    with command_line.errors_as_one_line():
        is_there = data_dir().is_dir()
        asked = Asked(
            outside=is_there,
            behaviour=is_there,
            fairness=True,
            topics=is_there,
            cases=cases or None,
            rows=rows or None,
            plot=build_dir() / "plots",
        )
        command_line.train_all(names or ["sentiment", "lora", "fast"], out, asked, as_json=as_json)


def explain(text: Said, method: Way = How.OCCLUSION, adapter: Adapter = None, as_json: Json = False) -> None:
    """Show which words drove the prediction of a text.

    By occlusion on the exported model: by how much the label's probability falls without each word. Or by integrated
    gradients under torch: what share of the label's logit flows back to it.

    For example:

        tidings explain "The crew was kind, but the seats are broken again."
        tidings explain --method gradients "Not bad at all"
    """
    from training import command_line

    with command_line.errors_as_one_line():
        command_line.explain(text, method.value, adapter, as_json=as_json)


def runs(folders: Folders = None, as_json: Json = False) -> None:
    """Compare finished runs: their figures, and the choices in which they differ.

    For example:

        tidings runs                               # what lies in build/training
        tidings runs build/seed-7 build/seed-11 --json
    """
    from training import command_line

    with command_line.errors_as_one_line():
        command_line.runs(folders or [], as_json=as_json)


def evaluate(
    model: Model = Runtime.ONNX,
    adapter: Adapter = None,
    split: Part = Split.TEST,
    input_: Input = None,
    outside: Outside = False,
    behaviour: Behaviour = False,
    fairness: Fairness = False,
    topics: Topics = False,
    review: Review = None,
    plot: Plot = None,
    cases: Cases = 100,
    rows: Rows = 0,
    baselines: Baselines = True,
    as_json: Json = False,
) -> None:
    """Measure a model on labelled texts, per source, with VADER on the same rows beside it.

    Macro-F1 with 95 % bootstrap intervals, accuracy, precision, recall and F1 per label, the confusion matrix and the
    calibration error. Everything is also written to build/training/evaluation.json.

    With --outside, --behaviour, --fairness, --topics, --review or --plot it measures more, beside TextBlob and a head on the
    untouched encoder too, and writes build/training/report.json. The sets, CheckList and the topics are read from the folder
    that TIDINGS_DATA_DIR names.

    For example:

        tidings evaluate                           # the exported model on the test split
        tidings evaluate --model torch --adapter build/seed-11
        tidings evaluate --input mine.tsv --json
        tidings evaluate --outside --rows 500      # a first look at six sets, a few minutes
        tidings evaluate --behaviour --fairness --no-baselines
        tidings evaluate --review 0.9 --plot build/plots
    """
    from training import command_line
    from training.evaluation.asked import Asked

    choice = command_line.Choice(model.value, adapter, split, input_)
    with command_line.errors_as_one_line():
        asked = Asked(outside, behaviour, fairness, topics, baselines, cases or None, rows or None, review, plot)
        if asked.anything:
            command_line.evaluate_widely(choice, asked, as_json=as_json)
        else:
            command_line.evaluate(choice, as_json=as_json)


def export(
    adapter: Adapter = None,
    model_repository: Repository = None,
    device: For = Device.CPU,
    variant: As = Variant.FP32,
    cores: Cores = None,
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
        tidings export --cores 8                   # for a server's CPU: four instances with two threads each
        tidings export --embedding                 # and triton_repo/embedding, for topics known by their meaning
    """
    from training import command_line

    with command_line.errors_as_one_line():
        target = command_line.Target(device, variant, cores)
        command_line.export(adapter, model_repository, target, force=force, embedding=embedding)
