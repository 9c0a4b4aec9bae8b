"""`tidings data`: labelled files made ready to learn from. What takes time to import is imported when a command runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from training.errors import TrainingError

if TYPE_CHECKING:
    from training.data.suspects import Suspect

Files = Annotated[
    list[Path], typer.Argument(help="CSV, TSV, JSONL or Parquet files, or folders of `datasets`.", show_default=False)
]
Out = Annotated[
    Path, typer.Option("--out", "-o", help="The folder that is written, in place of what is there.", show_default=False)
]
Column = Annotated[
    list[str] | None,
    typer.Option(help="FIELD=NAME of a column that is not found by itself; may be repeated.", show_default=False),
]
Label = Annotated[
    list[str] | None, typer.Option(help="NAME=LABEL: what a label of yours means; may be repeated.", show_default=False)
]
TimeFormat = Annotated[str | None, typer.Option(help="How times are written, as for strptime.", show_default=False)]
Language = Annotated[list[str] | None, typer.Option(help="Keep this language alone, by its ISO 639-1 code; may be repeated.")]
ByTime = Annotated[bool, typer.Option("--by-time", help="Train before validation before test, rather than by groups.")]
Share = Annotated[float, typer.Option(min=0.01, max=0.98, help="The part's share of the rows.")]
Seed = Annotated[int, typer.Option(min=0, help="Seeds the split by groups.")]
Json = Annotated[bool, typer.Option("--json", help="Print the report as JSON instead of tables.")]


Prepared = Annotated[Path, typer.Argument(help="A folder of `tidings data prepare`.")]
Top = Annotated[int, typer.Option(min=1, help="How many to show; the file has all.")]
EncoderName = Annotated[str, typer.Option("--encoder", help="What the texts are embedded by.")]


def register(app: typer.Typer) -> None:
    """Add `tidings data` to the command line."""
    data = typer.Typer(help="Make labelled files ready to learn from.", no_args_is_help=True)
    data.command("prepare")(prepare)
    data.command("suspects")(suspects)
    app.add_typer(data, name="data")


def prepare(
    files: Files,
    out: Out,
    column: Column = None,
    label: Label = None,
    time_format: TimeFormat = None,
    language: Language = None,
    by_time: ByTime = False,
    train: Share = 0.8,
    validation: Share = 0.1,
    seed: Seed = 7,
    as_json: Json = False,
) -> None:
    """Clean labelled texts and split them into train, validation and test, with nothing that crosses.

    Encoding and markup are put right; boilerplate, empties, duplicates and contradictions are taken out, each with its
    reason in dropped.jsonl. Groups and near duplicates stay in one part. OUT gets three JSONL files and report.json.

    For example:

        tidings data prepare mine.csv -o build/mine
        tidings data prepare *.parquet -o build/mine --column text=body --label Bullish=positive
        tidings data prepare log.jsonl -o build/mine --by-time --language en
    """
    from training.command_line import errors_as_one_line

    with errors_as_one_line():
        from training.data.cleaning import Rules
        from training.data.columns import Columns
        from training.data.prepare import Plan
        from training.data.prepare import prepare as run
        from training.data.reading import read_all
        from training.data.splitting import Shares

        columns = Columns(_pairs("--column", column), _pairs("--label", label), time_format=time_format)
        plan = Plan(Rules(languages=tuple(language or ())), Shares(train, validation), by_time, seed)
        rows = read_all(files, columns)
        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("Cleaning", total=2 * len(rows))
            report = run(rows, plan, out, lambda count: bar.advance(task, count))
        _show(report, out, as_json=as_json)


def suspects(folder: Prepared, top: Top = 20, encoder: EncoderName = "e5-small-v2", as_json: Json = False) -> None:
    """Find labels that are probably wrong in a prepared folder: a person should look at them before a model learns them.

    Each row is judged by a linear model on embeddings that saw no row of its group. All that are doubted are written to
    suspects.jsonl in the folder, the most doubtful first; nothing is changed.

    For example:

        tidings data suspects build/mine
        tidings data suspects build/mine --top 100 --json
    """
    from training.command_line import errors_as_one_line

    with errors_as_one_line():
        found = _suspects(folder, encoder)
        lines = [{"id": s.row.id, "label": s.row.label, "likely": s.likely, "confidence": s.confidence} for s in found]
        texts = (json.dumps({**line, "text": s.row.text}) for line, s in zip(lines, found, strict=True))
        (folder / "suspects.jsonl").write_text("".join(f"{text}\n" for text in texts), "utf-8")
        if as_json:
            typer.echo(json.dumps(lines[:top], indent=2))
            return
        table = Table("id", "label", "likely", "confidence", "text", title=f"{len(found):,} labels are doubted")
        for one in found[:top]:
            table.add_row(one.row.id, one.row.label, one.likely, f"{one.confidence:.2f}", one.row.text[:80])
        Console().print(table)


def _suspects(folder: Path, encoder: str) -> list[Suspect]:
    from training.data.icwsm import Split
    from training.data.reading import read_all
    from training.data.suspects import suspects as doubted
    from training.encoder import fetch_encoder
    from training.finetune.texts import embeddings_of
    from training.recipe import Recipe
    from training.tokens import load_tokenizer, token_ids, tokenizer_json
    from training.trained import untouched

    rows = read_all([folder / f"{split.value}.jsonl" for split in Split])
    cutter = load_tokenizer(tokenizer_json(fetch_encoder(encoder)), 128)
    ids = token_ids(cutter, [row.text for row in rows])
    return doubted(rows, embeddings_of(untouched(Recipe(encoder=encoder)), ids, progress="Embedding"))


def _pairs(option: str, given: Sequence[str] | None) -> dict[str, str]:
    split = [text.partition("=") for text in given or ()]
    for name, equals, value in split:
        if not (name and equals and value):
            raise TrainingError(f"{option} takes NAME=VALUE, not {name + equals + value!r}")
    return {name: value for name, _, value in split}


def _show(report: dict[str, Any], out: Path, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(report, indent=2))
        return
    table = Table(
        "part", *report["parts"]["train"]["labels"], "rows", title=f"{report['rows_kept']:,} of {report['rows_read']:,} rows"
    )
    for name, part in report["parts"].items():
        table.add_row(name, *(f"{count:,}" for count in part["labels"].values()), f"{part['rows']:,}")
    Console().print(table)
    dropped = ", ".join(f"{count:,} {reason}" for reason, count in report["dropped"].items() if count) or "none"
    typer.echo(f"Dropped: {dropped}. The parts, and report.json with all counts, are in {out}.")
