"""`python -m tests.fuzz`: everything once, and a report; exits with 1 if any count that must be 0 is not."""

import argparse
import contextlib
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from deploy.local.config import KafkaChoice, StackConfig
from deploy.local.stack import LocalStack
from tests.fuzz import parsers, report
from tests.fuzz.accounting import Account
from tests.fuzz.running import Plan, run
from tests.fuzz.targets import TARGETS

console = Console(file=sys.stderr)


def main() -> int:
    """Run the parsers, then the messages, and write the report."""
    given = _arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TaskProgressColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=console) as progress, _stack() as stack, tempfile.TemporaryDirectory() as folder:
            parsed = _parse(given, progress)
            plan = Plan(given.messages, given.seed, stack.settings_env(), Path(folder))
            task = progress.add_task("messages through the worker", total=given.messages)

            def show(account: Account) -> None:
                progress.update(task, completed=account.outputs)

            result = run(plan, show)
            log = (plan.folder / "worker.log").read_bytes()
            made = report.as_dict(plan, result, parsed, stack.versions())
    except KeyboardInterrupt:
        console.print("broken off; every process that was started has ended")
        return 130
    report.write(made, given.out)
    (given.out / "worker.log").write_bytes(log)
    console.print(report.as_text(made), markup=False, highlight=False)
    return 1 if report.faults(made) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.fuzz", description=__doc__)
    parser.add_argument("--messages", type=int, default=1_000_000, help="mutated messages through the worker (1,000,000)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed makes the same messages (1)")
    parser.add_argument("--parser-seconds", type=int, default=20, help="coverage-guided fuzzing of each parser (20)")
    parser.add_argument("--out", type=Path, default=Path("build/fuzz"), help="folder of the report (build/fuzz)")
    return parser.parse_args()


def _parse(given: argparse.Namespace, progress: Progress) -> list[parsers.Parsed]:
    if given.parser_seconds <= 0:
        return []
    task = progress.add_task("parsers", total=len(TARGETS))
    done = iter(range(len(TARGETS)))

    def began(name: str) -> None:
        progress.update(task, completed=next(done), description=f"parser {name}")

    found = parsers.run_all(given.parser_seconds, given.seed, given.out / "crashes", began)
    progress.update(task, completed=len(found), description="parsers")
    return found


@contextlib.contextmanager
def _stack() -> Iterator[LocalStack]:
    """Kafka and Redis, those of the environment or our own; no stand-ins."""
    config = StackConfig.from_environment().but(parts=frozenset({"kafka", "redis"}), kafka=KafkaChoice.APACHE)
    with LocalStack.start(config, console.print) as stack:
        yield stack


if __name__ == "__main__":
    sys.exit(main())
