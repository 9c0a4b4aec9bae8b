"""Runs a backtest over an input: with a bar, until its end or Ctrl-C, under one or two rule files at once."""

from collections.abc import Set
from typing import NamedTuple

import msgspec

from worker.alert.backtest import Backtest, Outcome
from worker.alert.rules import RuleSet
from worker.backtest.inputs import Fault, Input
from worker.backtest.trace import Trace
from worker.errors import SelectionError
from worker.messages import Signal
from worker.progress_bar import progress_bar

MAX_FAULTS = 100
"""So many are named; the others are counted."""


class Plan(NamedTuple):
    """Under which rules, and beside which others, of two models the same; how late a signal may be; if a bad line ends it."""

    rules: RuleSet
    other: RuleSet | None
    lateness_ms: int
    strict: bool = False


class Faults(msgspec.Struct):
    """The lines that could not be read: all are counted, the first of them named."""

    count: int = 0
    named: list[Fault] = msgspec.field(default_factory=list)

    def note(self, faults: list[Fault], *, strict: bool) -> None:
        """Count them.

        Raises:
            SelectionError: there is one, and it is to be strict.
        """
        if faults and strict:
            raise SelectionError(f"{faults[0].place}: {faults[0].reason}")
        self.count += len(faults)
        self.named += faults[: MAX_FAULTS - len(self.named)]


class Ran(NamedTuple):
    """What came of it under the rules, and under the others; what could not be read; whether Ctrl-C ended it."""

    outcome: Outcome
    other: Outcome | None
    faults: Faults
    interrupted: bool


def run(source: Input, plan: Plan) -> Ran:
    """Read the input once, deciding under the rules, and under the others if there are any.

    Raises:
        SelectionError: the input cannot be read, or a line of it if the plan is strict.
        RetryableError: the cluster did not answer.
    """
    tests = [Backtest(rules, plan.lateness_ms) for rules in (plan.rules, plan.other) if rules is not None]
    faults, interrupted = Faults(), False
    try:
        with progress_bar("backtest", source.total) as bar:
            for batch in source.batches():
                faults.note(batch.faults, strict=plan.strict)
                for test, signals in zip(
                    tests, (batch.signals, batch.signals if batch.other is None else batch.other), strict=False
                ):
                    test.take(batch.partition, signals)
                bar.advance(bar.task_ids[0], batch.done)
    except KeyboardInterrupt:
        interrupted = True
    outcomes = [test.outcome() for test in tests]
    return Ran(outcomes[0], outcomes[1] if len(outcomes) > 1 else None, faults, interrupted)


def trace(source: Input, plan: Plan, keys: Set[str], trace: Trace) -> None:
    """Read the input again, and note what was seen of these keys at every boundary."""
    test = Backtest(plan.rules, plan.lateness_ms, trace.look, keys)
    with progress_bar("drawing", source.total) as bar:
        for batch in source.batches():
            for signal in batch.signals:
                if isinstance(signal, Signal) and signal.alert_key in keys:
                    trace.count(signal)
            test.take(batch.partition, batch.signals)
            bar.advance(bar.task_ids[0], batch.done)
