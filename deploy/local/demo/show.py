"""The two ways to show a run: live on a terminal, plain lines elsewhere."""

from __future__ import annotations

import contextlib
import io
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console
from rich.live import Live

from deploy.local.demo.stage import Stage
from deploy.local.demo.view import WIDTH, figures_of, render

LINE_EVERY_S = 5.0
_WEB_FONTS = re.compile(r"@font-face \{[^}]*\}\s*")
Show = Callable[[], None]


@contextlib.contextmanager
def shown(stage: Stage, console: Console, *, plain: bool) -> Iterator[Show]:
    """Yield what draws the stage now: a live view, or lines where there is no terminal or `plain` is wanted."""
    if plain or not console.is_terminal:
        yield PlainLines(stage, console)
        return
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        yield lambda: live.update(render(stage, console.height), refresh=True)


class PlainLines:
    """One line every LINE_EVERY_S seconds, and one for each alert event as it comes."""

    def __init__(self, stage: Stage, console: Console) -> None:
        self._stage = stage
        self._console = console
        self._events = 0
        self._line_s = -math.inf
        self._words = ""

    def __call__(self) -> None:
        """Print what is new."""
        for event in self._stage.alerts.events[self._events :]:
            self._print(f"{event.state.upper()} {event.key} ({event.rule}): {figures_of(event)}")
        self._events = len(self._stage.alerts.events)
        if self._stage.now_s >= self._line_s + LINE_EVERY_S or self._words != self._stage.words:
            self._line_s, self._words = self._stage.now_s, self._stage.words
            self._print(progress_line(self._stage))

    def _print(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def progress_line(stage: Stage) -> str:
    """Return how far the run is, in one line."""
    ledger, minute = stage.ledger, stage.board.minute
    share = stage.board.series[stage.watched].recent(minute).share
    figures = [
        f"{stage.sent}/{stage.total} sent",
        f"{ledger.predictions} predictions",
        f"{stage.board.rate_per_s(stage.now_s):.0f}/s",
        f"p50 {ledger.recent_latency_ms(50):.0f} ms",
        f"{stage.watched} negative {'-' if share is None else f'{share:.0%}'}",
    ]
    return f"{', '.join(figures)}: {stage.words}"


class Camera:
    """Shows a run, and takes one picture of it: when the first alert has resolved, or else at the end."""

    def __init__(self, stage: Stage, show: Show, path: Path | None) -> None:
        self._stage = stage
        self._show = show
        self._path = path

    def __call__(self) -> None:
        """Show the stage."""
        self._show()
        if self._stage.alerts.count("resolved"):
            self.take()

    def take(self) -> None:
        """Take the picture, unless it was taken or none is wanted."""
        if self._path is not None:
            save_screenshot(self._stage, self._path)
            self._path = None


def save_screenshot(stage: Stage, path: Path) -> None:
    """Write the view as an SVG image that loads nothing from elsewhere."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(render(stage))
    path.parent.mkdir(parents=True, exist_ok=True)
    image = _WEB_FONTS.sub("", console.export_svg(title="tidings demo"))
    path.write_text("\n".join(line.rstrip() for line in image.splitlines()) + "\n", "utf-8")


@contextlib.contextmanager
def steps(console: Console) -> Iterator[Callable[[str], None]]:
    """Yield what tells of each step of the set-up: a spinner on a terminal, lines elsewhere; long words always as lines."""
    with console.status("setting up") as spinner:

        def say(words: str) -> None:
            if console.is_terminal and "\n" not in words:
                spinner.update(words)
            else:
                console.print(words, markup=False, highlight=False, soft_wrap=True)

        yield say
