"""Find watched entities and topics in text: one pass over it, whatever the number of aliases.

Aho and Corasick, "Efficient string matching: an aid to bibliographic search", Communications of the ACM 18(6), 1975.
"""

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated, Any, Literal, NamedTuple, Self

import ahocorasick
import yaml
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from worker.alert.yaml_lines import UNREADABLE
from worker.errors import SettingsError
from worker.messages import Matches

_MARKS = {"Mn", "Mc"}
_VARIATION_SELECTORS = frozenset(map(chr, range(0xFE00, 0xFE10)))
"""They choose how an emoji looks, and are no part of the word that follows it."""
DIALECT = "https://json-schema.org/draft/2020-12/schema"
Phrase = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=256)]
Passage = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1_024)]
NO_SPACES = ((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x2E80, 0x9FFF), (0xAC00, 0xD7AF), (0xF900, 0xFAFF))
"""Scripts that write words without spaces, or attach particles to them: Thai, Lao, Myanmar, Khmer, CJK, kana, Hangul."""


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    name: Phrase
    case_sensitive: bool = False


class WatchedEntity(_Entry):
    """A company, person or product, known by its name and its aliases."""

    aliases: tuple[Phrase, ...] = ()


class WatchedTopic(_Entry):
    """A subject, known by its keywords, by its meaning, or by either. Its name alone is not a keyword.

    Its meaning is a `description` and, better, some `examples` of what is said of it. `threshold` is the least similarity of a
    text that belongs to it, between -1 and 1; by default it is taken from a background of texts, see `score.meaning`.
    """

    keywords: tuple[Phrase, ...] = ()
    description: Passage | None = None
    examples: tuple[Passage, ...] = Field(default=(), max_length=100)
    threshold: float | None = Field(default=None, gt=-1, lt=1)

    @model_validator(mode="after")
    def _is_known_by_something(self) -> Self:
        if not self.keywords and self.description is None:
            raise ValueError("give it keywords, or a description, or both")
        if self.description is None and (self.examples or self.threshold is not None):
            raise ValueError("examples and threshold go with a description")
        return self


class Watchlist(BaseModel):
    """What to watch: the contents of `watchlist.yaml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    entities: tuple[WatchedEntity, ...] = ()
    topics: tuple[WatchedTopic, ...] = ()

    @property
    def described(self) -> tuple[WatchedTopic, ...]:
        """The topics that are known by their meaning."""
        return tuple(topic for topic in self.topics if topic.description is not None)


def watchlist_schema() -> dict[str, Any]:
    """Return the JSON Schema of the file; it cannot say what takes more than one field: names that differ, a topic's need."""
    return {"$schema": DIALECT, **Watchlist.model_json_schema(), "title": "Tidings watchlist"}


def parse_watchlist(text: str, origin: str) -> Watchlist:
    """Parse YAML; `origin` (a path) goes into error messages.

    Raises:
        SettingsError: names each wrong field and what was expected.
    """
    try:
        watchlist = Watchlist.model_validate(yaml.safe_load(text) or {})
    except ValidationError as error:
        lines = [f"{'.'.join(map(str, item['loc']))}: {_said(item['msg'])}" for item in error.errors(include_input=False)]
        raise SettingsError(f"{origin}: {'; '.join(lines)}") from error
    except UNREADABLE as error:
        raise SettingsError(f"{origin} is not YAML: {error}") from error
    for kind, names in (("entities", _names(watchlist.entities)), ("topics", _names(watchlist.topics))):
        if doubled := sorted({name for name in names if names.count(name) > 1}):
            raise SettingsError(f"{origin}: {kind} named more than once: {', '.join(doubled)}")
    return watchlist


def _said(message: str) -> str:
    return message.removeprefix("Value error, ")


def _names(entries: Sequence[_Entry]) -> list[str]:
    return [entry.name for entry in entries]


_NOTHING = Matches()


class _Pattern(NamedTuple):
    kind: Literal["entity", "topic"]
    name: str


class _Span(NamedTuple):
    start: int
    end: int
    patterns: tuple[_Pattern, ...]


class _Index:
    """The phrases of one case policy in one automaton."""

    def __init__(self, phrases: Iterable[tuple[str, _Pattern]]) -> None:
        by_phrase: dict[str, list[_Pattern]] = {}
        for phrase, pattern in phrases:
            by_phrase.setdefault(phrase, []).append(pattern)
        self._automaton = ahocorasick.Automaton()
        for phrase, patterns in by_phrase.items():
            self._automaton.add_word(phrase, (len(phrase), tuple(patterns)))
        self._automaton.make_automaton()
        self._empty = not by_phrase

    def spans(self, text: str) -> Iterator[_Span]:
        """Yield every occurrence that begins and ends at a word boundary."""
        if self._empty:
            return
        for last, (length, patterns) in self._automaton.iter(text):
            start, end = last + 1 - length, last + 1
            if not _joined(text, start) and not _joined(text, end):
                yield _Span(start, end, patterns)


class Matcher:
    """Finds the names of a watchlist in text.

    Text and aliases are compared in Unicode's NFKC form with white space folded, and in case folding unless the entry asks
    for its own case. An occurrence counts if no letter or digit runs on past its ends, and if it is not part of a longer one:
    "New York" is not found in "The New York Times" where both are watched.
    """

    def __init__(self, watchlist: Watchlist) -> None:
        phrases = list(_phrases(watchlist))
        self._exact = _Index((_normal(phrase), pattern) for phrase, pattern, exact in phrases if exact)
        self._folded = _Index((_normal(phrase).casefold(), pattern) for phrase, pattern, exact in phrases if not exact)
        self._canonical = {_normal(phrase).casefold(): p.name for phrase, p, _ in phrases if p.kind == "entity"}

    def match(self, content: str, entities: Sequence[str] = ()) -> Matches:
        """Return what `content` names, with the `entities` that the producer gave, aliases replaced by their names."""
        normal = _normal(content)
        spans, folded = list(self._exact.spans(normal)), list(self._folded.spans(normal.casefold()))
        if not (spans or folded or entities):  # most texts name nobody who is watched
            return _NOTHING
        places = _places(normal) if folded else ()
        spans += [_Span(places[start], places[end], names) for start, end, names in folded]
        found = _outermost(spans)
        given = {self._canonical.get(_normal(entity).casefold(), entity) for entity in entities}
        return Matches(
            tuple(sorted(given | {pattern.name for pattern in found if pattern.kind == "entity"})),
            tuple(sorted(pattern.name for pattern in found if pattern.kind == "topic")),
        )


def _phrases(watchlist: Watchlist) -> Iterator[tuple[str, _Pattern, bool]]:
    for entity in watchlist.entities:
        for alias in (entity.name, *entity.aliases):
            yield alias, _Pattern("entity", entity.name), entity.case_sensitive
    for topic in watchlist.topics:
        for keyword in topic.keywords:
            yield keyword, _Pattern("topic", topic.name), topic.case_sensitive


def _normal(text: str) -> str:
    return " ".join((text if text.isascii() else unicodedata.normalize("NFKC", text)).split())


def _places(text: str) -> Sequence[int]:
    """For each place in the case-folded text, and its end, the place in `text`; folding makes some characters longer."""
    if len(text.casefold()) == len(text):
        return range(len(text) + 1)
    return [*(at for at, char in enumerate(text) for _ in char.casefold()), len(text)]


def _joined(text: str, at: int) -> bool:
    """Whether a word runs on across the position between `at - 1` and `at`."""
    return 0 < at < len(text) and _in_word(text[at - 1]) and _in_word(text[at])


def _in_word(char: str) -> bool:
    if char.isascii():
        return char.isalnum() or char == "_"
    spaced = not any(low <= ord(char) <= high for low, high in NO_SPACES)
    return spaced and (char.isalnum() or (unicodedata.category(char) in _MARKS and char not in _VARIATION_SELECTORS))


def _outermost(spans: Iterable[_Span]) -> set[_Pattern]:
    found: set[_Pattern] = set()
    outer = (-1, -1)
    for start, end, patterns in sorted(spans, key=lambda span: (span.start, -span.end)):
        if end > outer[1] or (start, end) == outer:
            found.update(patterns)
            outer = (start, end)
    return found
