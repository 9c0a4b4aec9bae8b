"""A report on a terminal: the sets, behaviour, fairness, cost, each a table that fits 80 columns with four variants."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table

from training.data import LABELS
from training.evaluation.figures import BAND_NAMES
from training.evaluation.report import Measured, Report


def show(report: Report, console: Console) -> None:
    """Print the report's tables, and in a line each what else was asked for."""
    for table in _tables(report):
        console.print(table)
    for line in _lines(report):
        console.print(line, highlight=False)


def _tables(report: Report) -> Iterator[Table]:
    first = next(iter(report.variants.values()))
    yield sets_table(report)
    yield weak_spots_table(report)
    yield cost_table(report)
    if first.behaviour:
        yield behaviour_table(report)
    if first.fairness:
        yield fairness_table(report)


def sets_table(report: Report) -> Table:
    """Return macro-F1 of every variant on every set; the first with its interval, accuracy and calibration error."""
    first, *others = report.variants
    table = Table(title=f"Macro-F1 of {first} with 95 % intervals, and of what stands beside it", padding=0)
    table.add_column("set", no_wrap=True)
    for column in ("rows", first, "accuracy", "ECE", *others):
        table.add_column(column, justify="right")
    for name, note in report.sets.items():
        own = report.variants[first].sets[name].overall
        with_interval = f"{own.macro_f1:.3f} {own.macro_f1_ci95.low:.2f}..{own.macro_f1_ci95.high:.2f}"
        beside = (f"{report.variants[other].sets[name].overall.macro_f1:.3f}" for other in others)
        table.add_row(name, f"{note.rows:,}", with_interval, f"{own.accuracy:.3f}", _or_nothing(own.ece), *beside)
    if abroad := report.variants[first].abroad:
        means = (_or_nothing(report.variants[other].abroad["macro_f1"]) for other in others)
        table.add_row("mean abroad", "", _or_nothing(abroad["macro_f1"]), "", _or_nothing(abroad["ece"]), *means)
    return table


def weak_spots_table(report: Report) -> Table:
    """Return, for the first variant, the F1 of each label and macro-F1 by length in tokens, a row a set."""
    first, measured = next(iter(report.variants.items()))
    table = Table(title=f"Where {first} is weak: F1 by label, macro-F1 by length in tokens", padding=0)
    table.add_column("set", no_wrap=True)
    for column in (*LABELS, *BAND_NAMES):
        table.add_column(column, justify="right")
    for name, found in measured.sets.items():
        labels = (scores.f1 if scores.support else None for scores in found.overall.per_class.values())
        bands = (found.lengths[band].macro_f1 if band in found.lengths else None for band in BAND_NAMES)
        table.add_row(name, *map(_or_nothing, (*labels, *bands)))
    return table


def cost_table(report: Report) -> Table:
    """Return size, speed and agreement of every variant."""
    table = Table(title="What each costs, and whether it answers as it was trained", padding=0)
    table.add_column("variant")
    for column in ("MB", "texts/s", "label flips", "largest gap", "by neighbours"):
        table.add_column(column, justify="right")
    for name, measured in report.variants.items():
        found = measured.stability
        flips = "" if found.label_flips is None else f"{found.label_flips:.2%}"
        gap = "" if found.max_probability_difference is None else f"{found.max_probability_difference:.1e}"
        size = f"{found.size_mb:,.1f}" if found.size_mb else ""
        table.add_row(name, size, f"{found.texts_per_s:,.0f}", flips, gap, f"{found.batch_dependence.labels_changed}")
    return table


def behaviour_table(report: Report) -> Table:
    """Return the share of cases that fail, by capability as the mean of its tests, and for the first variant by test."""
    table = Table(title="CheckList: share of cases that fail", padding=0)
    table.add_column("capability or test")
    for name in report.variants:
        table.add_column(name, justify="right")
    rates = [_rates(measured) for measured in report.variants.values()]
    for row in rates[0]:
        of_capability = not row.startswith(" ")
        table.add_row(row, *(_share(of.get(row)) for of in rates), style="bold" if of_capability else None)
    return table


def fairness_table(report: Report) -> Table:
    """Return the largest move of a score between two groups, for each variant, and where it is for the first."""
    first, *_ = report.variants.values()
    table = Table(title="Fairness: furthest that one sentence's score moves between two groups", padding=0)
    for column in ("family", *report.variants, "where, for the first"):
        table.add_column(column, justify="left" if column in {"family", "where, for the first"} else "right")
    for name, own in (first.fairness or {}).items():
        moves = ((measured.fairness or {})[name] for measured in report.variants.values())
        cells = (f"{move.largest_move:.2f}{'' if move.passed else ' !'}" for move in moves)
        table.add_row(name, *cells, f"{own.lowest} < {own.highest}: {own.sentence}")
    return table


def _rates(measured: Measured) -> dict[str, float]:
    rates: dict[str, float] = {}
    found = measured.behaviour
    if found is None:
        return rates
    for capability, rate in found.failure_rate.items():
        rates[capability] = rate
        rates |= {f"  {t.name}": t.failure_rate for t in found.tests if t.capability == capability and t.asked}
    return rates


def _lines(report: Report) -> Iterator[str]:
    left = {name: note.left_out_as_trained_on for name, note in report.sets.items() if note.left_out_as_trained_on}
    if left:
        counts = ", ".join(f"{count:,} of {name}" for name, count in left.items())
        yield f"Rows left out because they were trained on: {counts}."
    if found := next(iter(report.variants.values())).behaviour:
        yield f"CheckList: {found.left_out:,} cases are no texts and were left out."
    if topics := report.topics:
        verdict = "holds" if topics.passed else "fails"
        yield f"Topics without examples: {topics.tuned:.3f}, untouched {topics.untouched:.3f}; the gate of 2 points {verdict}."
    if review := report.review:
        yield (
            f"Review queue: predictions of {review.confidence:.3f} and above are right {review.precision:.1%} of the time (at "
            f"least {review.precision_low:.1%}); {1 - review.kept:.1%} of texts go to a person."
        )


def _share(rate: float | None) -> str:
    return "" if rate is None else f"{rate:.1%}"


def _or_nothing(figure: float | None) -> str:
    return "" if figure is None else f"{figure:.3f}"
