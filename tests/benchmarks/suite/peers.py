"""Other systems, doing the same: the same topics, texts, engine and variant, JSON in and out. By turns with Tidings.

Each peer runs in an environment of its own that uv makes under the cache from the versions pinned beside its script. One that
cannot be installed, or gives no answer, is reported as that, with its error.
"""

import hashlib
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from deploy.local.config import StackConfig
from deploy.local.errors import LocalStackError
from deploy.local.kafka import jars_of
from deploy.local.uv import uv
from tests.benchmarks.suite import models
from tests.benchmarks.suite.figures import figure, ratio
from tests.benchmarks.suite.machine import ROOT
from tests.benchmarks.suite.result import Result, read
from tests.benchmarks.suite.stage import Process, Seen, Site, process, running
from tests.benchmarks.suite.texts import bodies, some

FOLDER = ROOT / "tests" / "benchmarks" / "peers"
TIDINGS = "tidings"
PLAIN = "plain"
BATCH, WAIT_S = 64, 0.05
_START_S, _TURN_S = 60.0, 45.0
"""How long it may take until the first answer, and from then on."""
_INSTALL_S = 180.0
_SLOW = 0.33


class Peer(NamedTuple):
    """A peer's script, and which guarantee it gave as it was set up."""

    script: str
    guarantee: str


PEERS = {
    PLAIN: Peer("plain", "at least once (committed every 100 messages, after a flush); one message at a time"),
    "quix": Peer("quix", "exactly-once (Kafka transactions); one message at a time, it has no micro-batches"),
    "faststream": Peer("fast", "at least once at most: offsets committed by the client's own timer"),
    "bytewax": Peer("wax", "none after a crash unless recovery is set up; its sink is no transaction"),
    "faust": Peer("faust_app", "at least once"),
    "pyspark": Peer("spark", "at least once: Spark's Kafka sink has no transactions; micro-batches of up to 256"),
}


class Home(NamedTuple):
    """What a peer runs in: its interpreter, and the folder of the jars that it needs beside."""

    python: Path
    jars: Path | None = None

    def environment(self) -> dict[str, str]:
        """What is told to a peer that runs Java, and Python from there."""
        if self.jars is None:
            return {}
        jars = ",".join(map(str, sorted(self.jars.glob("*.jar"))))
        return {"PEER_JARS": jars, "PYSPARK_PYTHON": str(self.python), "PYSPARK_DRIVER_PYTHON": str(self.python)}


def run(result: Result, folder: Path) -> None:
    """Make the environments, then let all take turns."""
    homes = {name: home for name in PEERS if (home := _home(name, result))}
    turns: dict[str, list[dict[str, Any]]] = {name: [] for name in (TIDINGS, *homes)}
    result.details |= {"guarantees": {TIDINGS: "exactly-once", **{name: peer.guarantee for name, peer in PEERS.items()}}}
    with running({"kafka", "triton"}, folder) as stack:
        result.details |= {"parts": stack.versions(), "messages": result.options.messages, "turns": turns}
        count = messages_a_turn(result, len(turns))
        for _ in result.rounds():
            waiting = [name for name, mine in turns.items() if not (mine and mine[-1].get("error"))]
            for place, name in enumerate(waiting):
                times = times_of(result.left_s / (len(waiting) - place))
                turns[name].append(_turn(Site(stack, folder / name, partitions=2), homes.get(name), times, count))
                _tell(result, turns)
            for name in waiting:
                if error := turns[name][-1].get("error"):
                    result.say(f"{name} gave no answer, and was not asked again: {error.splitlines()[-1][:120]}")


def _home(name: str, result: Result) -> Home | None:
    """Return what a peer runs in, made if it is not there; None, and why in the result, if it cannot be."""
    python, pom = _python(name, result), FOLDER / f"{PEERS[name].script}.xml"
    if python is None:
        return None
    if not pom.exists():
        return Home(python)
    try:
        return Home(
            python, jars_of(pom, f"bench/{name}-jars", f"what {name} needs", StackConfig.from_environment(), result.say)
        )
    except LocalStackError as error:
        result.details.setdefault("not_installed", {})[name] = str(error)[-400:]
        return None


def _python(name: str, result: Result) -> Path | None:
    """Return the interpreter of a peer's environment, made if it is not there; None, and why in the result, if it cannot be."""
    if name == PLAIN:  # transformers, torch and confluent-kafka are pinned by the project itself
        return Path(sys.executable)
    pinned = FOLDER / f"{PEERS[name].script}.txt"
    cache = Path(os.environ.get("TIDINGS_CACHE_DIR") or ROOT / ".cache").absolute()
    env = cache / "bench" / f"{name}-{hashlib.sha256(pinned.read_bytes()).hexdigest()[:12]}"
    python = env / "bin" / "python"
    if (env / "made").exists():
        return python
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    for command in (
        [*uv(), "venv", "--quiet", "--clear", "--no-project", "--python", version, str(env)],
        [*uv(), "pip", "install", "--quiet", "--python", str(python), "-r", str(pinned)],
    ):
        if fault := _fault(command):
            result.details.setdefault("not_installed", {})[name] = fault
            return None
    (env / "made").touch()
    return python


def _fault(command: list[str]) -> str:
    try:
        made = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False, timeout=_INSTALL_S)
    except subprocess.TimeoutExpired:
        return f"{command[1]} took longer than {_INSTALL_S:.0f} s"
    return "" if made.returncode == 0 else made.stderr.strip()[-400:] or f"ended with {made.returncode}"


class Times(NamedTuple):
    """How long it may take until the first answer, and from then on, in seconds."""

    start_s: float
    turn_s: float


def times_of(share_s: float) -> Times:
    """Return the times within this share of what is left: a start may take more than half of it."""
    return Times(min(_START_S, 0.6 * share_s), min(_TURN_S, 0.4 * share_s))


def messages_a_turn(result: Result, sides: int) -> int:
    """Return how many messages a slow side can be done with in the first round; a side that is not has no pace to compare.

    By the pace of the model alone, where the scenario `ceiling` has found it; a slow side has a third of that.
    """
    found = (read(result.options.out, "ceiling") or {}).get("figures", {}).get("ceiling")
    asked = result.options.messages
    if found is None:
        return asked
    pace = found["texts_per_s"]["value"]
    fitting = max(1, int(pace * _SLOW * times_of(result.left_s / sides).turn_s))
    if fitting < asked:
        result.say(f"{fitting:,} messages a turn instead of {asked:,}: the model does {pace:.0f} texts/s here")
    return min(asked, fitting)


def _turn(site: Site, home: Home | None, times: Times, count: int) -> dict[str, Any]:
    """Fill a topic, and let one of them work it off, or as far as it comes in its time."""
    name = site.folder.name
    site.fill(bodies(some(count)))
    if home is None:
        with site.worker() as worker:
            return _seen(site, count, times, worker)
    command = [str(home.python), str(FOLDER / f"{PEERS[name].script}.py")]
    with process(command, site.folder, {**environment(site), **home.environment()}) as peer:
        return _seen(site, count, times, peer)


def _seen(site: Site, count: int, times: Times, worker: Process) -> dict[str, Any]:
    with site.watching() as watcher:
        try:
            first = watcher.until(1, times.start_s, worker.require_alive)
            seen = watcher.until(count - first.found, times.turn_s, worker.require_alive)
        except RuntimeError as error:
            return {**Seen(0, 0, 0.0, 0.0)._asdict(), "error": str(error)[-400:]}
    return seen._asdict() if seen.found else {**seen._asdict(), "error": worker.tail()[-400:]}


def environment(site: Site) -> Mapping[str, str]:
    """Return what a peer is told."""
    made = models.contract()
    return {
        "PEER_BOOTSTRAP": site.settings.kafka.bootstrap_servers,
        "PEER_INPUT": site.input,
        "PEER_OUTPUT": site.settings.kafka.topics.predictions,
        "PEER_GROUP": site.name,
        "PEER_MODEL": str(models.onnx_file()),
        "PEER_TOKENIZER": str(models.REPOSITORY / made.tokenizer.file),
        "PEER_MAX_LENGTH": str(made.max_length),
        "PEER_BATCH": str(BATCH),
        "PEER_WAIT_S": str(WAIT_S),
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONPATH": str(FOLDER),
    }


def _tell(result: Result, turns: dict[str, list[dict[str, Any]]]) -> None:
    paces = {name: found for name, of in turns.items() if (found := [one["per_s"] for one in of if one["per_s"]])}
    if TIDINGS not in paces:
        result.save()
        return
    ours = paces.pop(TIDINGS)
    result.figures |= {
        "tidings": {"messages_per_s": figure(ours).as_json()},
        "peers": {
            name: {"messages_per_s": figure(found).as_json(), "tidings_to_it": ratio(ours, found).as_json()}
            for name, found in paces.items()
        },
    }
    result.save()
