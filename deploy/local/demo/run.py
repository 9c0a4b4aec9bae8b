"""One run of the demo, from nothing to the verdict."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from rich.console import Console

from deploy.local.demo.board import Board
from deploy.local.demo.clients import Feed
from deploy.local.demo.errors import DemoError
from deploy.local.demo.flaws import flaws
from deploy.local.demo.model import ensure_model
from deploy.local.demo.plan import Material, Pace, Planned, Story, capacity, make_plan, sort_material
from deploy.local.demo.replay import Ends, Replay
from deploy.local.demo.setting import FILES, Setting, set_up
from deploy.local.demo.show import Camera, shown, steps
from deploy.local.demo.stage import Stage
from deploy.local.demo.verdict import Verdict, judge
from training.data import Snippet, Split, load_snippets
from training.errors import TrainingError
from worker.score.matching import Matcher, Watchlist, parse_watchlist

LARGE_BYTES = 5_000_000
LARGE_BYTES_STAND_IN = 300_000
STORY = Story()
WATCHED = f"topic:{STORY.topic}"


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asked for; `messages` a count, `rate` in messages a second."""

    messages: int
    rate: float
    seed: int
    screenshot: Path | None
    plain: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the run went, and the folder of its logs."""

    verdict: Verdict
    logs: Path


def run(options: Options, console: Console) -> Outcome:
    """Set everything up, replay, judge, and take everything down.

    Raises:
        ClickException, TidingsError: something could not be set up or broke down; nothing of it is left running.
    """
    with ExitStack() as ends:
        _end_as_on_ctrl_c(signal.SIGTERM)
        with steps(console) as say:
            ensure_model(say)
            say("reading the texts")
            snippets, watchlist = _snippets(), _watchlist()
            material = _material(snippets, watchlist, options)
            setting = set_up(ends, say)
        stage, plan = _stage(setting, material, watchlist, options)
        feed = Feed(setting.config, setting.names.inputs, stage.ledger)
        ends.callback(feed.drop)
        replay_ends = Ends(feed, setting.reader, setting.streams, setting.names, setting.check)
        with shown(stage, console, plain=options.plain) as show:
            camera = Camera(stage, show, options.screenshot)
            Replay(replay_ends, stage, camera).run(plan)
            camera.take()
        about = {
            **_about(setting),
            "unseen_in_training": _unseen(plan, snippets),
            "seed": options.seed,
            "held_back_s": round(stage.held_back_s, 1),
        }
        return Outcome(judge(stage.ledger, stage.alerts, WATCHED, about), setting.stack.logs)


def _end_as_on_ctrl_c(number: signal.Signals) -> None:
    def interrupt(*_: object) -> NoReturn:
        raise KeyboardInterrupt

    signal.signal(number, interrupt)


def _snippets() -> list[Snippet]:
    try:
        return load_snippets()
    except TrainingError as error:
        raise DemoError(str(error)) from error


def _watchlist() -> Watchlist:
    path = FILES / "watchlist.yaml"
    return parse_watchlist(path.read_text("utf-8"), path.name)


def _material(snippets: Sequence[Snippet], watchlist: Watchlist, options: Options) -> Material:
    matcher = Matcher(watchlist)
    material = sort_material(snippets, lambda text: STORY.topic in matcher.match(text).topics, options.seed)
    if options.messages > (most := capacity(material, STORY)):
        raise DemoError(f"--messages {options.messages}: there are different texts for at most {most}")
    return material


def _stage(setting: Setting, material: Material, watchlist: Watchlist, options: Options) -> tuple[Stage, list[Planned]]:
    pace = Pace(options.messages, options.rate, time.time_ns() // 1_000_000)
    large = LARGE_BYTES_STAND_IN if setting.stand_in else LARGE_BYTES
    plan = make_plan(material, pace, STORY, flaws(large), options.seed)
    keys = [f"topic:{topic.name}" for topic in watchlist.topics] + [f"entity:{entity.name}" for entity in watchlist.entities]
    board = Board(keys, pace.event_time_ms(0, STORY.minutes), math.ceil(STORY.minutes))
    return Stage(WATCHED, len(plan), board, setting.parts), plan


def _about(setting: Setting) -> dict[str, object]:
    versions = {part.name: part.software for part in setting.parts if part.name != "model"}
    caveats = [part.note for part in setting.parts if part.note]
    return {**versions, "model": setting.model, **({"caveats": caveats} if caveats else {})}


def _unseen(plan: Sequence[Planned], snippets: Sequence[Snippet]) -> float:
    """Return the share of the rated texts that the model was not trained on."""
    trained_on = {snippet.id for snippet in snippets if snippet.split is Split.TRAIN}
    rated = [planned.id for planned in plan if planned.rated]
    return round(sum(name not in trained_on for name in rated) / max(1, len(rated)), 3)
