"""What the model could do by itself: the best engine, batch and padding in one process, and Triton driven by a bare loop."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from tests.benchmarks.suite import models
from tests.benchmarks.suite.figures import figure
from tests.benchmarks.suite.models import Way
from tests.benchmarks.suite.result import Options, Result, read
from tests.benchmarks.suite.stage import running
from worker.adapters.triton import TritonModel
from worker.ports import TokenBatch

BATCHES = (2, 4, 8, 16, 32)
SEARCHED = 256
"""Texts that each way is tried on; the best is then measured on `TEXTS`."""
TEXTS = 768
IN_FLIGHT = 3


def run(result: Result, folder: Path) -> None:
    """Search for the best way, then measure it and Triton alone by turns."""
    rows = models.tokenised(TEXTS)
    tried: dict[Way, float] = {}
    for way, pace in search(rows[:SEARCHED]):
        tried[way] = pace
        if result.left_s < result.options.limit_s / 3:
            result.say(f"there was time to try {len(tried)} ways of {len(models.engines()) * len(BATCHES)}")
            break
    best = max(tried, key=lambda way: tried[way])
    result.details["searched"] = [{**way._asdict(), "texts_per_s": round(pace, 1)} for way, pace in tried.items()]
    result.details["best"] = best._asdict()
    engine, paces, triton = models.engines()[best.engine](), list[float](), list[float]()
    sorted_ = models.sorted_batches(rows, best.batch)
    with running({"triton"}, folder) as stack:
        url = stack.settings_env()["TIDINGS_TRITON__URL"]
        result.details["triton"] = stack.versions()["triton"]
        for _ in result.rounds():
            paces.append(models.pace(engine, sorted_))
            triton.append(triton_pace(url, sorted_))
            result.figures["ceiling"] = {
                "texts_per_s": figure(paces).as_json(),
                "triton_texts_per_s": figure(triton).as_json(),
            }
            result.save()


def search(rows: models.Rows) -> Iterator[tuple[Way, float]]:
    """Yield each engine and batch with its pace, the better of two tries; the longest batch warms up."""
    for name, opened in models.engines().items():
        engine = opened()
        for size in BATCHES:
            batches = models.sorted_batches(rows, size)
            models.pace(engine, batches[-1:])
            yield Way(name, size), max(models.pace(engine, batches) for _ in range(2))


def triton_pace(url: str, batches: Sequence[TokenBatch]) -> float:
    """Return texts a second of a bare gRPC loop with the worker's own client, `IN_FLIGHT` requests at a time."""
    made = models.contract()
    with closing(TritonModel(url, made.model.ref, timeout_s=60)) as model:
        model.submit(batches[-1]).result()
        return models.pace(models.InFlight(model.submit, IN_FLIGHT), batches)


def best_way(options: Options) -> Way:
    """Return the best way that the scenario `ceiling` found, or the one that was best where this was written."""
    found = (read(options.out, "ceiling") or {}).get("details", {}).get("best")
    known = models.engines()
    return Way(**found) if found and found["engine"] in known else Way("onnxruntime-per-core", 8)
