"""Recognise a text that is almost one of those seen before: the same story under another agency's name, cut, or retweeted.

Texts are compared by their pairs of neighbouring words: the share of pairs that two texts have in common (Jaccard). MinHash
and locality-sensitive hashing find the few that are worth comparing (Broder 1997, "On the resemblance and containment of
documents"; Leskovec, Rajaraman and Ullman, "Mining of Massive Datasets", chapter 3, http://www.mmds.org).
"""

import re
import unicodedata
from array import array
from collections import OrderedDict
from collections.abc import Iterable
from itertools import pairwise
from zlib import crc32

import msgspec
from rensa import RMinHash, RMinHashLSH

from worker.messages import Message, Origin
from worker.score.matching import NO_SPACES

_PERMUTATIONS, _BANDS = 64, 16
"""Two texts with 0.7 of their pairs in common are compared with a probability of 0.99, with 0.3 in common with 0.12."""
_MOST_CHARS = 4_096
"""What lies behind is not looked at: it bounds time and memory, and the beginning of a story tells it from others."""
_MOST_ALIKE = 16
"""Of stories that are worth comparing with one text the newest so many are kept: a flood of texts that are made from one
template, prices say, must not slow the worker down nor drive everybody else's stories out."""
_UNSPACED = "".join(f"{chr(first)}-{chr(last)}" for first, last in NO_SPACES)
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+")
_PLAIN_WORD = re.compile(rb"\w+")
_LINK = re.compile(r"https?://\S+|www\.\S+")
_JOINT = re.compile(r"[^\w\s](?<=\w.)(?=\w)", re.DOTALL)
"""What joins a word: U.S. and US, don't and dont, 13.20 and 1320 are the same, as where punctuation was lost."""
_RETWEETED = re.compile(r"^\W*(?:rt\s+)(?:@\w+\W+)+")
_NUMBER = re.compile(r"(?<![@\w])\w*?\d\w*")
_DIGIT = re.compile(r"\d")


class Story(msgspec.Struct, eq=False):
    """The first message of a story: a text that others repeat, word for word or nearly so, within the window of event time.

    `names` are the alert keys of what it names. `withdrawn` says that there is no prediction that others could point to.
    """

    first_id: str
    first_origin: Origin
    event_time_ms: int
    names: frozenset[str] = frozenset()
    withdrawn: bool = False

    @classmethod
    def beginning_with(cls, message: Message, names: frozenset[str]) -> "Story":
        """Return the story that the message is the first of."""
        return cls(message.id, message.origin, message.event_time_ms, names)


class NearLimits(msgspec.Struct, frozen=True):
    """What counts as nearly the same, and how many stories are remembered; see `settings.ScoreSettings`."""

    capacity: int = 20_000
    similarity: float = 0.6
    min_words: int = 8


class _Print(msgspec.Struct, frozen=True):
    """A text's pairs of words and its numbers, each as hashes, once."""

    pairs: "array[int]"
    numbers: "array[int]"


class _Entry(msgspec.Struct, frozen=True):
    story: Story
    print: _Print


class NearIndex:
    """The last `limits.capacity` stories whose first message is long enough, by what their words are.

    Only first messages are compared with, so that a story cannot drift away from the one that it is said to repeat.
    """

    def __init__(self, limits: NearLimits, window_ms: int) -> None:
        self._limits = limits
        self._window_ms = window_ms
        self._next = 0
        self._entries: OrderedDict[int, _Entry] = OrderedDict()
        self._lsh = RMinHashLSH(threshold=limits.similarity, num_perm=_PERMUTATIONS, num_bands=_BANDS)

    def __len__(self) -> int:
        return len(self._entries)

    def look_up(self, message: Message, names: frozenset[str]) -> Story:
        """Return the story that the message nearly repeats, else the new one that it begins, and remember that.

        Case, punctuation, links and who retweeted are passed over. No repeat is what is short; what names a
        watched name that the first does not, for it is news on that name; and where each has a number that the other lacks:
        such texts come from one template, two prices, say.
        """
        print_ = _print(message.content, self._limits.min_words)
        if print_ is None:
            return Story.beginning_with(message, names)
        sketch = RMinHash(num_perm=_PERMUTATIONS, seed=1)
        sketch.update([pair.to_bytes(4, "big") for pair in print_.pairs])
        keys = self._worth_comparing(sketch)
        pairs, numbers = set(print_.pairs if keys else ()), set(print_.numbers if keys else ())
        for key in keys:
            entry = self._entries[key]
            if self._may_be_told_again(entry.story, message, names) and self._alike(pairs, numbers, entry.print):
                self._entries.move_to_end(key)
                return entry.story
        return self._remember(_Entry(Story.beginning_with(message, names), print_), sketch)

    def _may_be_told_again(self, story: Story, message: Message, names: frozenset[str]) -> bool:
        near_in_time = abs(message.event_time_ms - story.event_time_ms) <= self._window_ms
        return near_in_time and not story.withdrawn and names <= story.names

    def _alike(self, pairs: set[int], numbers: set[int], other: _Print) -> bool:
        if not numbers.issubset(other.numbers) and not numbers.issuperset(other.numbers):
            return False
        common = len(pairs.intersection(other.pairs))
        return common >= self._limits.similarity * (len(pairs) + len(other.pairs) - common)

    def _worth_comparing(self, sketch: RMinHash) -> list[int]:
        keys: list[int] = sorted(self._lsh.query(sketch))
        for key in keys[:-_MOST_ALIKE]:
            del self._entries[key]
            self._lsh.remove(key)
        return keys[-_MOST_ALIKE:]

    def _remember(self, entry: _Entry, sketch: RMinHash) -> Story:
        self._entries[self._next] = entry
        self._lsh.insert(self._next, sketch)
        self._next += 1
        if len(self._entries) > self._limits.capacity:
            oldest, _ = self._entries.popitem(last=False)
            self._lsh.remove(oldest)
        return entry.story


def _print(content: str, min_words: int) -> _Print | None:
    """Return the text's print, None if it has too few words. A character of a script without spaces is half a word."""
    text = _read(content)
    words = _words(text)
    if len(words) < min_words or len(words) < 2:
        return None
    if not text.isascii() and len(words) - sum(map(_is_unspaced, words)) / 2 < max(min_words, 2):
        return None
    numbers = _NUMBER.findall(text) if _DIGIT.search(text) else ()
    return _Print(_hashes(map(b" ".join, pairwise(words))), _hashes(number.encode() for number in numbers))


def _read(content: str) -> str:
    """Return what is compared of a text: folded, without links, without what joins words, without who retweeted."""
    text = unicodedata.normalize("NFKC", content[:_MOST_CHARS]).casefold()
    if "://" in text or "www." in text:
        text = _LINK.sub("", text)
    return _RETWEETED.sub("", _JOINT.sub("", text))


def _words(text: str) -> list[bytes]:
    """Return its words, in UTF-8. ASCII has no script without spaces, so that a quicker way leads to the same."""
    return _PLAIN_WORD.findall(text.encode()) if text.isascii() else [word.encode() for word in _WORD.findall(text)]


def _hashes(words: Iterable[bytes]) -> "array[int]":
    return array("I", set(map(crc32, words)))


def _is_unspaced(word: bytes) -> bool:
    return not word.isascii() and any(low <= ord(word.decode()[0]) <= high for low, high in NO_SPACES)
