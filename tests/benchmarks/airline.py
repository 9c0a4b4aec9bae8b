"""Tweets to three airlines, 17 to 23 February 2015: the truth from what people said of each, the alerts from the model.

What an incident is, set down before any alert was seen, from the people's labels alone. A truth may look ahead; the rules do
not.

- `count`: in some hour an airline gets 12 negative tweets or more, and at least twice its mean for that hour of the other
  days.
- `share`: of the last 25 tweets or more within three hours, the share of negatives lies 0.2 or more above the airline's own of
  the week.

Both are looked at every five minutes. What is less than an hour apart is one incident, from the begin of its first hour, or
three, to the end of its last. `surge` and `volume` are asked for the first kind, `share` and `shift` for the second; an alert
is false if it fires in none.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from tests.benchmarks import sentiments
from tests.benchmarks.planted.arrivals import A_DAY, BUCKET_MS, DAY_MS, stamp_ms
from tests.benchmarks.planted.texts import FOLDER
from tests.benchmarks.sentiments import Read
from worker.alert.backtest import Backtest, Outcome
from worker.alert.rules import RuleSet
from worker.backtest import plot
from worker.backtest.incidents import Incident
from worker.backtest.scoring import Labels, Score, Scores, score
from worker.backtest.trace import Trace
from worker.messages import ModelRef, Origin, Signal

PATH = FOLDER / "airline" / "tweets.csv"
KINDS: Mapping[str, tuple[str, ...]] = {"count": ("surge", "volume"), "share": ("share", "shift")}
"""The detectors that are asked for each kind of incident."""
LATENESS_MS, GRACE_MS = 5_000, 600_000
_DAYS, _LEAST_COUNT, _TIMES = 7, 12, 2.0
_LEAST_MESSAGES, _RISE = 25, 0.2
_HOUR = 12
Counts = NDArray[np.int64]


class Tweet(NamedTuple):
    """One tweet: to whom, when, whether people called it negative, what it says."""

    airline: str
    at_ms: int
    negative: bool
    text: str


class Week(NamedTuple):
    """One airline's tweets and negatives, by people's labels, in buckets of five minutes."""

    airline: str
    messages: Counts
    negatives: Counts


class Found(NamedTuple):
    """What the rules came to; scores by rule, each held to its own kind of incident; all incidents."""

    outcome: Outcome
    own: Mapping[str, Score]
    any: Scores
    incidents: tuple[Incident, ...]


def start_ms() -> int:
    """Return when the week begins."""
    return stamp_ms("2/17/2015 00:00")


def read_tweets() -> list[Tweet]:
    """Read the tweets of the seven whole days, in order of time."""
    with PATH.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    tweets = [_tweet(row) for row in rows]
    return sorted((one for one in tweets if 0 <= one.at_ms - start_ms() < _DAYS * DAY_MS), key=lambda one: one.at_ms)


def _tweet(row: Mapping[str, str]) -> Tweet:
    return Tweet(row["airline"], stamp_ms(row["tweet_created"]), row["airline_sentiment"] == "negative", row["text"])


def weeks(tweets: Sequence[Tweet]) -> list[Week]:
    """Count them."""
    return [_week(name, [one for one in tweets if one.airline == name]) for name in sorted({one.airline for one in tweets})]


def _week(airline: str, tweets: Sequence[Tweet]) -> Week:
    return Week(airline, _counted(tweets), _counted(one for one in tweets if one.negative))


def _counted(tweets: Iterable[Tweet]) -> Counts:
    places = np.array([(one.at_ms - start_ms()) // BUCKET_MS for one in tweets], dtype=np.int64)
    return np.bincount(places, minlength=_DAYS * A_DAY)


def incidents(week: Week) -> Iterator[tuple[str, Incident]]:
    """Yield what happened to an airline by people's labels, with its kind; see the module's docstring."""
    hour = _over(week.negatives, _HOUR)
    by_day = hour.reshape(_DAYS, A_DAY)
    others = ((by_day.sum(axis=0) - by_day) / (_DAYS - 1)).reshape(-1)
    yield from _spans(week, "count", (hour >= _LEAST_COUNT) & (hour >= _TIMES * others), _HOUR)
    messages, negatives = (_over(counts, 3 * _HOUR) for counts in (week.messages, week.negatives))
    usual = week.negatives.sum() / max(1, week.messages.sum())
    rose = negatives / np.maximum(messages, 1) >= usual + _RISE
    yield from _spans(week, "share", rose & (messages >= _LEAST_MESSAGES), 3 * _HOUR)


def _over(counts: Counts, buckets: int) -> Counts:
    sums = np.concatenate([np.zeros(buckets, dtype=np.int64), np.cumsum(counts)])
    return np.asarray(sums[buckets:] - sums[:-buckets])


def _spans(week: Week, kind: str, bad: NDArray[np.bool_], width: int) -> Iterator[tuple[str, Incident]]:
    places = np.flatnonzero(bad)
    for run in np.split(places, np.flatnonzero(np.diff(places) > _HOUR) + 1):
        if len(run):
            begin, end = (start_ms() + (int(place) + 1) * BUCKET_MS for place in (run[0], run[-1]))
            yield kind, Incident(alert_key=key_of(week.airline), start_ms=begin - width * BUCKET_MS, end_ms=end, name=kind)


def key_of(airline: str) -> str:
    """Return the alert key."""
    return f"entity:{airline.lower()}"


def signals(tweets: Iterable[Tweet], reads: Mapping[str, Read]) -> list[Signal]:
    """Return the tweets as the model reads them; those of one minute spread over it, for the stamps say no more."""
    placed = [(one, at_ms) for some in _by_minute(tweets) for one, at_ms in some]
    return [
        Signal(
            alert_key=key_of(one.airline),
            message_id=f"tweet-{number}",
            label=reads[one.text].label,
            negative=reads[one.text].negative,
            score=reads[one.text].score,
            kind="chat",
            source="twitter",
            event_time_ms=at_ms,
            duplicate_of=None,
            excerpt="",
            model=ModelRef("sentiment", "1"),
            origin=Origin("chat", 0, number),
        )
        for number, (one, at_ms) in enumerate(placed)
    ]


def _by_minute(tweets: Iterable[Tweet]) -> Iterator[list[tuple[Tweet, int]]]:
    minutes: dict[int, list[Tweet]] = {}
    for one in tweets:
        minutes.setdefault(one.at_ms, []).append(one)
    for at_ms, some in minutes.items():
        yield [(one, at_ms + 60_000 * place // len(some)) for place, one in enumerate(some)]


def measure(rules: RuleSet, folder: Path, console: Console) -> Found:
    """Run the rules over the week, hold them to what people said, and draw `airline.png`."""
    tweets = read_tweets()
    came = signals(tweets, sentiments.read((one.text for one in tweets), console))
    happened = [found for week in weeks(tweets) for found in incidents(week)]
    trace = Trace(DAY_MS // 48)
    for signal in came:
        trace.count(signal)
    backtest = Backtest(rules, LATENESS_MS, trace.look)
    backtest.take(0, came)
    outcome, every = backtest.outcome(), tuple(incident for _, incident in happened)
    own = {name: _own(outcome, name, happened) for name in rules.by_name}
    scores = score(outcome, Labels(every, GRACE_MS))
    side = plot.Side("rules", outcome, frozenset(map(id, scores.false_alarms)))
    plot.draw(plot.Picture(sorted(outcome.keys), [side], every, trace), folder / "airline.png")
    return Found(outcome, own, scores, every)


def _own(outcome: Outcome, rule: str, happened: Iterable[tuple[str, Incident]]) -> Score:
    """Return the score of a rule held to the incidents of the kind it is asked for."""
    asked = tuple(incident for kind, incident in happened if rule in KINDS[kind])
    return score(outcome, Labels(asked, GRACE_MS)).rules[rule]


def table(found: Found) -> Table:
    """Return the figures, one rule a row."""
    heads = ("rule", "asked for", "found", "alerts", "in an incident", "delay", "alerts/day")
    made = Table(*heads, title="airline tweets, one week")
    for name, own in found.own.items():
        made.add_row(
            name,
            str(own.incidents),
            str(own.detected),
            str(own.fired),
            str(found.any.rules[name].matched),
            "-" if own.delay_median_ms is None else f"{own.delay_median_ms / 60_000:.0f} min",
            f"{own.alerts_per_day or 0:.2f}",
        )
    return made


def as_json(found: Found) -> dict[str, object]:
    """Return the figures by rule; delays in seconds."""
    return {
        name: {
            "incidents": own.incidents,
            "recall": own.recall,
            "precision": found.any.rules[name].precision,
            "median_delay_s": None if own.delay_median_ms is None else own.delay_median_ms / 1_000,
            "alerts_per_day": own.alerts_per_day,
            "false_alarms_per_day": found.any.rules[name].false_per_key_day,
        }
        for name, own in found.own.items()
    }
