"""Change the alert code in thousands of small ways and see that a test notices: `python -m tests.mutation`.

Takes the arguments of `mutmut run`. Mutants are named as mutmut does, `worker.alert.lifecycle.*`; where none is named, those
are tried that were not yet, or whose function changed. Stopped with Ctrl-C, it goes on there the next time. When only a test
changed, mutants must be named to be tried again. Writes build/mutation/report.json; `mutmut show MUTANT` shows one.

Exits with 1 if more than 5 % live, else with 2 if some were not tried, else with 0; with 3 if mutmut itself failed.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.mutation import report

ROOT = Path(__file__).parents[2]
REPORT = ROOT / "build" / "mutation" / "report.json"
_FAILED = 3


def main(options: list[str]) -> int:
    """Run mutmut, then count."""
    # CI: property tests draw the same examples for each mutant, so that chance kills none.
    ran = subprocess.run(["mutmut", "run", *options], cwd=ROOT, env={**os.environ, "CI": "true"}, check=False)
    if ran.returncode:
        return _FAILED
    modules = report.read(ROOT / "mutants")
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(json.dumps(report.as_json(modules), indent=2) + "\n")
    print(report.as_text(modules))  # noqa: T201 - the command's output
    return report.judge(report.total(modules.values()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
