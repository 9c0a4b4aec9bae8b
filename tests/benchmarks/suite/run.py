"""Run scenarios, each in a process of its own and within its limit, and make the report of what there is then."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks.suite import machine, result
from tests.benchmarks.suite.result import Options


class Scenario(NamedTuple):
    """What a scenario is for, and how many seconds it may take; `share` is its part of the messages that are asked for."""

    about: str
    limit_s: float
    share: float = 1.0


SCENARIOS = {
    "ceiling": Scenario("what the model could do by itself, in one process and on Triton", 150),
    "pipeline": Scenario("the whole worker against the model alone", 420),
    "overhead": Scenario("the worker's own cost, with a model that answers at once", 150),
    "latency": Scenario("from production to the visible prediction and to the alert, at 30 to 90 % of capacity", 300),
    "alerts": Scenario("signals a second through the alert role, with a thousand to a million keys", 180),
    "scale": Scenario("one, two and four processes, and how cost grows with what there is of everything", 200, 0.5),
    "peers": Scenario("other systems, doing the same", 330, 0.05),
    "gpu": Scenario("the model at each bucket and batch on a GPU, and the worker on it", 120),
}
_TO_CLEAR_UP_S = 60.0


def run(names: Sequence[str], options: Options, *, fresh: bool) -> Iterator[tuple[str, str]]:
    """Run the scenarios one after the other; yield each with how it ended, in a word or two.

    One that is complete at this commit, with as much of everything, is not run again unless `fresh`.
    """
    for name in names:
        scenario = SCENARIOS[name]
        limit_s = min(options.limit_s, scenario.limit_s) if options.limit_s else scenario.limit_s
        mine = options._replace(limit_s=limit_s, messages=max(1, round(options.messages * scenario.share)))
        if not fresh and is_done(name, mine):
            yield name, "done before"
        else:
            yield name, _run(name, mine)


def is_done(name: str, options: Options) -> bool:
    """Tell whether there is a complete result of this commit with the same options."""
    found = result.read(options.out, name)
    same = found is not None and Options.of(found["options"])._replace(limit_s=0) == options._replace(limit_s=0)
    return bool(found and same and found["complete"] and found["versions"]["commit"] == machine.commit())


def _run(name: str, options: Options) -> str:
    options.out.mkdir(parents=True, exist_ok=True)
    log = options.out / f"{name}.log"
    result.path_of(options.out, name).unlink(missing_ok=True)
    command = [sys.executable, "-m", "tests.benchmarks.suite.one", name, json.dumps(options.as_json())]
    with log.open("wb") as sink:
        process = subprocess.Popen(command, cwd=Path.cwd(), stdout=sink, stderr=sink, start_new_session=True)
        try:
            code = process.wait(options.limit_s + _TO_CLEAR_UP_S)
        except subprocess.TimeoutExpired:
            return f"cut short after {options.limit_s + _TO_CLEAR_UP_S:.0f} s; {log}"
        finally:
            _end(process)
    return f"done{_notes(name, options)}" if code == 0 else f"failed; {log}"


def _notes(name: str, options: Options) -> str:
    """Return what was left out or made smaller, in the scenario's own words."""
    found = result.read(options.out, name)
    return "".join(f"; {note}" for note in (found["details"].get("notes", ()) if found else ()))


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Ask a scenario to clear up, and end what is left of it. Its servers have guards that end with it."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_TO_CLEAR_UP_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(5)
