"""The whole worker against the model alone: a topic filled beforehand, exactly-once, the real model on Triton.

Each round has a topic of its own, for a worker reads ahead of what is counted; and between the rounds the same machine does the
ceiling: so what else it does falls on both.
"""

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from deploy.local.stack import LocalStack
from tests.benchmarks.suite import models
from tests.benchmarks.suite.ceiling import best_way
from tests.benchmarks.suite.figures import figure, ratio
from tests.benchmarks.suite.result import Result
from tests.benchmarks.suite.stage import Process, Site, cpu_s, metrics_of, running
from tests.benchmarks.suite.texts import bodies, some

CEILING_TEXTS = 512
_BESIDE_S = 25.0
"""What a round takes beside the messages: a worker's start and end, and the ceiling."""
_WELL_WITHIN = 0.75
"""Of its time a round is to take so much at the pace of the model alone."""


def run(result: Result, folder: Path) -> None:
    """Measure; `efficiency` is the median of the ratios of a part to the mean of the ceilings before and after it."""
    options, way = result.options, best_way(result.options)
    engine = models.engines()[way.engine]()
    batches = models.sorted_batches(models.tokenised(CEILING_TEXTS), way.batch)
    models.pace(engine, batches[-1:])
    result.details |= {"ceiling": way._asdict(), "messages": options.messages}
    with running({"kafka", "triton"}, folder) as stack:
        result.details["parts"] = stack.versions()
        texts = some(options.messages)
        ceilings, parts = [models.pace(engine, batches)], list[dict[str, Any]]()
        part = messages_a_round(result, ceilings[0])
        for _ in result.rounds():
            site = Site(stack, folder / f"site-{len(parts)}")
            site.fill(bodies(texts[len(parts) * part :][:part]))
            parts.append(_part(site, part, result.left_s))
            ceilings.append(models.pace(engine, batches))
            _tell(result, ceilings, parts)


def messages_a_round(result: Result, ceiling: float) -> int:
    """Return how many messages a round has: its part of what was asked for, or what the model can do in its time."""
    asked = result.options.messages // result.options.rounds
    fitting = int(ceiling * max(1.0, result.left_s / result.options.rounds - _BESIDE_S) * _WELL_WITHIN)
    if fitting < asked:
        result.say(f"rounds of {fitting:,} messages instead of {asked:,}: the model does {ceiling:.0f} texts/s here")
    return max(1, min(asked, fitting))


def _part(site: Site, count: int, limit_s: float) -> dict[str, Any]:
    """Let a worker work its topic off, and leave as it should."""
    with site.watching() as watcher, site.worker() as worker:
        before = _used(site.stack, worker)
        seen = watcher.until(count, limit_s, worker.require_alive)
        used = {name: seconds - before[name] for name, seconds in _used(site.stack, worker).items()}
        page = metrics_of(worker)
        doubled = watcher.rest() - seen.found
    return {
        "predictions": seen.found,
        "doubled": doubled,
        "per_s": seen.per_s,
        "cpu_s": {name: round(seconds, 2) for name, seconds in used.items()},
        "padding_waste": _waste(page),
        "batch_fill": page.get("tidings_batch_texts_total", 0.0) / max(1.0, page.get("tidings_batch_text_places_total", 0.0)),
        "stages_s": {name: round(value, 3) for name, value in page.items() if name.startswith("tidings_score_")},
    }


def _used(stack: LocalStack, worker: Process) -> dict[str, float]:
    return {"worker": worker.cpu_s, **{name: cpu_s(stack.server(name).pids()[:1]) for name in stack.names}}


def _waste(page: Mapping[str, float]) -> float:
    places = page.get("tidings_batch_token_places_total", 0.0)
    return 1 - page["tidings_batch_tokens_total"] / places if places else 0.0


def _tell(result: Result, ceilings: list[float], parts: list[dict[str, Any]]) -> None:
    around = [(before + after) / 2 for before, after in pairwise(ceilings)]
    paces = [one["per_s"] for one in parts]
    result.figures |= {
        "efficiency": ratio(paces, around).as_json(),
        "padding_waste": figure([one["padding_waste"] for one in parts]).as_json(),
        "pipeline": {"messages_per_s": figure(paces).as_json(), "ceiling_texts_per_s": figure(around).as_json()},
    }
    result.details["rounds"] = parts
    result.save()
