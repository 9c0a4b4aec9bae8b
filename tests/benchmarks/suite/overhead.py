"""The worker's own cost: the same work with a model that answers at once. Messages a second, by the clock and by the core.

Both ways of delivery take turns. A flame graph by py-spy says where the time goes; it is drawn in a turn of its own, which
is not measured.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from deploy.local.stack import LocalStack
from tests.benchmarks.suite.figures import figure, ratio
from tests.benchmarks.suite.result import Result
from tests.benchmarks.suite.stage import CONSTANT, Site, cpu_s, running
from tests.benchmarks.suite.texts import bodies, some

WAYS = ("exactly_once", "at_least_once")
FLAMES = "overhead.svg"
_SAMPLED_S = 8
_TITLE = re.compile(r'(<text id="title"[^>]*>)[^<]*')
"""py-spy's title is its command line, with folders of this machine in it."""
_SHOWN = "One worker, exactly-once, with a model that answers at once"


def run(result: Result, folder: Path) -> None:
    """Measure both ways by turns, then draw."""
    turns: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    with running({"kafka"}, folder) as stack:
        result.details |= {"parts": stack.versions(), "messages": result.options.messages}
        for _ in result.rounds():
            for way in WAYS:
                turns[way].append(turn(stack, folder, way, result))
            _tell(result, turns)
        result.details["flames"] = flames(stack, folder, result)


def turn(stack: LocalStack, folder: Path, way: str, result: Result, **more: str) -> dict[str, Any]:
    """Fill a topic, and let a worker with the constant model work it off."""
    count = result.options.messages
    site = Site(stack, folder / way, more={"TIDINGS_DELIVERY": way, **more})
    site.fill(bodies(some(count)))
    with site.watching() as watcher, site.worker(module=CONSTANT) as worker:
        first = watcher.until(1, result.left_s, worker.require_alive)  # a commit shows some hundred at once
        before_s, broker_s = worker.cpu_s, cpu_s(stack.server("kafka").pids()[:1])
        seen = watcher.until(count - first.found, result.left_s, worker.require_alive)
        used_s, broker_s = worker.cpu_s - before_s, cpu_s(stack.server("kafka").pids()[:1]) - broker_s
    return {
        "per_s": seen.per_s,
        "per_core_s": seen.found / used_s if used_s else 0.0,
        "broker_cores": broker_s / seen.seconds if seen.seconds else 0.0,
        "predictions": seen.found,
        "doubled": seen.doubled,
    }


def _tell(result: Result, turns: dict[str, list[dict[str, Any]]]) -> None:
    once, least = ([one["per_s"] for one in turns[way]] for way in WAYS)
    cores = {way: figure([one["per_core_s"] for one in turns[way]]).as_json() for way in WAYS}
    result.figures |= {
        "overhead_messages_per_s": figure(once).as_json(),
        "overhead": {
            "at_least_once_messages_per_s": figure(least).as_json(),
            "exactly_to_at_least_once": ratio(once, least).as_json(),
            "messages_per_core_s": cores,
        },
    }
    result.details["rounds"] = turns
    result.save()


def flames(stack: LocalStack, folder: Path, result: Result) -> str:
    """Draw where a worker's time goes; returns the file's name, or why there is none."""
    spy = shutil.which("py-spy", path=str(Path(sys.executable).parent)) or shutil.which("py-spy")
    if spy is None:
        return "py-spy is not installed: pip install py-spy"
    site = Site(stack, folder / "flames")
    site.fill(bodies(some(result.options.messages)))
    target = result.options.out.absolute() / FLAMES
    with site.watching() as watcher, site.worker(module=CONSTANT) as worker:
        watcher.until(1, min(60.0, max(1.0, result.left_s)), worker.require_alive)
        command = [spy, "record", "--pid", str(worker.popen.pid), "--duration", str(_SAMPLED_S), "--rate", "200", "--output"]
        made = subprocess.run([*command, str(target)], capture_output=True, text=True, check=False)
    if made.returncode:
        return f"py-spy: {made.stderr.strip().splitlines()[-1:]}"
    target.write_text(_TITLE.sub(rf"\g<1>{_SHOWN}", target.read_text(encoding="utf-8"), count=1), encoding="utf-8")
    return FLAMES
