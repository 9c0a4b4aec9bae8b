"""Recognise a text that was seen before, word for word or nearly so, and take its score from memory if it is word for word."""

import hashlib
from collections import OrderedDict

import msgspec

from worker.messages import Matches, Message, Sentiment
from worker.score.near import NearIndex, Story

HALF_A_DAY_MS = 12 * 60 * 60 * 1000


class Known(msgspec.Struct):
    """A text, the story that it tells, and its sentiment once that is there, with the topics that it is about.

    `similarities` are those topics that are known by their meaning, each with the text's similarity to it.
    """

    story: Story
    sentiment: Sentiment | None = None
    similarities: dict[str, float] = {}

    def duplicate_of(self, message: Message) -> str | None:
        """Return the first message's id if `message` is a later one; a record that is read again is no duplicate of itself."""
        story = self.story
        return None if story.withdrawn or message.origin == story.first_origin else story.first_id


class DuplicateIndex:
    """The last `capacity` distinct texts, by the hash of what the model sees of them.

    A repeat is one whose event time lies within `window_ms` of the first's, before or after; later the text is a first again,
    and its sentiment is still known. With `near`, so is a text that is nearly one of those: it tells their story, while its
    sentiment is its own, for the difference may be a "not".

    The index lives with the process: after a restart or on another worker a repeat may pass for a first. Sentiment does not
    depend on that, `duplicate_of` does.
    """

    def __init__(self, capacity: int, window_ms: int = HALF_A_DAY_MS, near: NearIndex | None = None) -> None:
        self._capacity = capacity
        self._window_ms = window_ms
        self._near = near
        self._known: OrderedDict[bytes, Known] = OrderedDict()

    def look_up(self, message: Message, matches: Matches | None = None) -> Known:
        """Return what is known of the message's text, remembering the message if the text is new.

        White space is folded first, as the tokenizer does. `matches` is what the message names, see `NearIndex.look_up`.
        """
        digest = _digest(message)
        known = self._known.get(digest)
        if known is None or not self._is_of_its_time(known.story, message):
            story = self._story(message, frozenset(matches.alert_keys if matches else ()))
            known = self._known[digest] = Known(story, *((known.sentiment, known.similarities) if known else ()))
            if len(self._known) > self._capacity:
                self._known.popitem(last=False)
        self._known.move_to_end(digest)
        return known

    def forget(self, message: Message, known: Known) -> None:
        """Forget the message's text: there is no prediction that a repeat of it could point to."""
        self._known.pop(_digest(message), None)
        if known.story.first_origin == message.origin:
            known.story.withdrawn = True

    def forget_sentiments(self) -> None:
        """Forget what a model said of all texts, and not that they were seen: another version has to say it anew."""
        for known in self._known.values():
            known.sentiment, known.similarities = None, {}

    def _is_of_its_time(self, story: Story, message: Message) -> bool:
        return not story.withdrawn and abs(message.event_time_ms - story.event_time_ms) <= self._window_ms

    def _story(self, message: Message, names: frozenset[str]) -> Story:
        return Story.beginning_with(message, names) if self._near is None else self._near.look_up(message, names)


def _digest(message: Message) -> bytes:
    return hashlib.blake2b(" ".join(message.content.split()).encode(), digest_size=16).digest()
