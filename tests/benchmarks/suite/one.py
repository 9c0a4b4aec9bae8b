"""One scenario, in a process of its own: `python -m tests.benchmarks.suite.one NAME OPTIONS`; `run` starts it."""

import importlib
import json
import shutil
import sys
from pathlib import Path

from tests.benchmarks.suite.result import Options, Result


def main(name: str, options: str) -> int:
    """Run it, and say in its result that it came to its end, be it with less of everything than was asked for."""
    result = Result(name, Options.of(json.loads(options)))
    folder = (result.options.out / "work" / name).absolute()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        importlib.import_module(f"tests.benchmarks.suite.{name}").run(result, folder)
    except KeyboardInterrupt:
        result.details["cut short"] = True
        result.save()
        return 130
    result.save(complete=True)
    keep_logs(folder)
    return 0


def keep_logs(folder: Path) -> None:
    """Remove what a scenario has left behind but the logs."""
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_file() and path.suffix != ".log":
            path.unlink()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
