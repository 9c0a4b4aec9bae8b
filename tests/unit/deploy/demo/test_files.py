"""The demo's own watchlist and rules are what the worker takes, and fit the story."""

from deploy.local.demo.plan import Story
from deploy.local.demo.run import WATCHED
from deploy.local.demo.setting import FILES
from worker.alert.rules import parse_rules
from worker.score.matching import Matcher, parse_watchlist

WATCHLIST = parse_watchlist((FILES / "watchlist.yaml").read_text("utf-8"), "watchlist.yaml")
RULES = parse_rules((FILES / "rules.yaml").read_text("utf-8"))


def test_the_story_is_about_something_watched() -> None:
    """A text on the story's topic is matched to it."""
    assert Matcher(WATCHLIST).match("What a movie!").topics == (Story().topic,)


def test_odd_dates_move_no_alert() -> None:
    """The message of the year 9999 names nothing watched."""
    assert Matcher(WATCHLIST).match("See you then.").alert_keys == ()


def test_every_key_has_a_rule() -> None:
    """The rule is for all watched names, so that an alert on another one would be noticed."""
    keys = [WATCHED, *(f"topic:{topic.name}" for topic in WATCHLIST.topics)]
    assert all(RULES.for_key(key) for key in keys)


def test_the_story_is_long_enough_for_the_rule() -> None:
    """The bad phase is longer than the rule needs to fire, and the recovery than it needs to resolve."""
    story, minutes = Story(), RULES.span_ms / 60_000
    assert story.recovers_at - story.turns_at > minutes
    assert story.minutes - story.recovers_at > minutes
