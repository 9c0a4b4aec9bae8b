"""What `tidings compress` and `tidings distil` do: options in, progress and tables out."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import Progress

from training.compress import chart
from training.compress.candidates import Kitchen, candidates
from training.compress.compact import Compact, save_compact
from training.compress.distil import Distillation, DistillationRun, Lessons, write_run
from training.compress.distil import distil as teach
from training.compress.serving import serve_student
from training.compress.student import Cut, Narrow, cut_student, narrow_student, trim_student
from training.compress.sweep import Point, Timing
from training.compress.sweep import sweep as measure
from training.compress.teacher import load_teacher
from training.compress.transfer import transfer_texts
from training.data import Snippet, Split, load_snippets, of_split
from training.errors import TrainingError
from training.examples import from_snippets
from training.files import atomic_folder, atomic_path
from training.paths import build_dir, repository_dir
from training.repository import ServingSpec

SWEEP_FILE = "sweep.json"


@dataclass(frozen=True, slots=True)
class Sweeping:
    """What to sweep over, how often to time it, on how many texts (None: all), and where to draw it."""

    adapter: Path | None = None
    students: tuple[Path, ...] = ()
    plot: Path | None = None
    rounds: int = 5
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Lesson:
    """Who teaches, what shape the student has, files of more texts, and how many texts to make."""

    adapter: Path | None
    shape: Cut | Narrow
    unrated: tuple[Path, ...] = ()
    transfer: int = 0


def compress(asked: Sweeping | None, *, as_json: bool, serve: Path | None) -> None:
    """Run `tidings compress`.

    Raises:
        TrainingError: there is nothing to do, or no such adapter or student.
    """
    if asked:
        _sweep(asked, as_json=as_json)
    elif not serve:
        raise TrainingError("say what to do: --sweep measures every variant, --serve puts a student of `tidings distil` to use")


def put_into_service(student: Path, name: str, repository: Path | None) -> None:
    """Write a student into Triton's models.

    Raises:
        TrainingError: there is no such student, or it does not pass its gates.
    """
    target = repository or repository_dir()
    written = serve_student(student, target, ServingSpec(name=name), _say)
    typer.echo(f"{target / name} was written: macro-F1 {written['metrics']['macro_f1']:.3f} on the test split")


def _sweep(asked: Sweeping, *, as_json: bool) -> None:
    snippets = load_snippets()
    examples = from_snippets(of_split(snippets, Split.TEST))
    examples = examples[:: max(1, len(examples) // asked.limit)][: asked.limit] if asked.limit else examples
    with tempfile.TemporaryDirectory(prefix="tidings-sweep-") as folder:
        kitchen = Kitchen(of_split(snippets, Split.TRAIN), Path(folder), _say)
        found = candidates(load_teacher(asked.adapter), asked.students, kitchen)
        with Progress(console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("Measuring", total=len(found) + asked.rounds + 1)
            points = measure(found, examples, Timing(rounds=asked.rounds), lambda _: bar.advance(task))
    _tell(points, len(examples), asked.plot, as_json=as_json)


def distil(lesson: Lesson, choices: Distillation, out: Path) -> None:
    """Run `tidings distil`; raises as `teach_into` does."""
    typer.echo(_finished(out, teach_into(lesson, choices, out)))


def teach_into(lesson: Lesson, choices: Distillation, out: Path) -> DistillationRun:
    """Teach a student, put it at `out`, and return what the run measured; nothing is said on standard output.

    Raises:
        TrainingError: there is no such adapter, layer or file.
    """
    extra = [text for path in lesson.unrated for text in _lines(path)]
    _say("Loading the teacher")
    teacher, snippets = load_teacher(lesson.adapter), load_snippets()
    rated = of_split(snippets, Split.TRAIN)
    made = transfer_texts([snippet.text for snippet in rated], lesson.transfer, choices.seed)
    lessons = Lessons(rated, of_split(snippets, Split.VALIDATION), [*extra, *made])
    student = trim_student(_student(teacher, lesson.shape, rated, choices.seed), [*_texts(rated), *lessons.unrated])
    _say(f"Teaching by {len(rated):,} rated texts and {len(lessons.unrated):,} others")
    with atomic_folder(out) as folder:
        taught, run = teach(teacher, student, lessons, choices)
        save_compact(taught, folder)
        write_run(folder, choices, run)
    return run


def student_shape(kind: str, layers: str, heads: int, neurons: int, hidden: int) -> Cut | Narrow:
    """Return the shape that the options ask for; `kind` is "cut" or "narrow".

    Raises:
        TrainingError: `layers` is no number, or no list of numbers.
    """
    try:
        numbers = tuple(int(number) for number in layers.split(","))
    except ValueError:
        raise TrainingError(f"--layers takes numbers with commas between them, not {layers!r}") from None
    if kind == "cut":
        return Cut(numbers, heads, neurons)
    if len(numbers) != 1:
        raise TrainingError(f"a narrow student has a number of layers, such as --layers 2, not {layers!r}")
    return Narrow(numbers[0], hidden, heads, neurons)


def _student(teacher: Compact, shape: Cut | Narrow, rated: Sequence[Snippet], seed: int) -> Compact:
    if isinstance(shape, Narrow):
        return narrow_student(teacher, shape, seed)
    return cut_student(teacher, shape, rated)


def _tell(points: Sequence[Point], texts: int, picture: Path | None, *, as_json: bool) -> None:
    text = json.dumps({"texts": texts, "compared_with": points[0].name, "points": [asdict(p) for p in points]}, indent=2)
    with atomic_path(build_dir() / SWEEP_FILE) as unfinished:
        unfinished.write_text(text + "\n", "utf-8")
    if picture:
        with atomic_path(picture) as unfinished:
            chart.plot(points, unfinished)
    if as_json:
        typer.echo(text)
    else:
        Console().print(chart.table(points, texts))


def _finished(out: Path, run: DistillationRun) -> str:
    return (
        f"The student is at {out}: macro-F1 {run.validation_macro_f1:.3f} on the validation split, its teacher "
        f"{run.teacher_macro_f1:.3f}. To compare them: tidings compress --sweep --student {out}"
    )


def _texts(snippets: Sequence[Snippet]) -> list[str]:
    return [snippet.text for snippet in snippets]


def _lines(path: Path) -> list[str]:
    try:
        return [line for line in path.read_text("utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingError(f"cannot read {path}: {error}") from error


def _say(step: str) -> None:
    typer.secho(step, fg="cyan", err=True)
