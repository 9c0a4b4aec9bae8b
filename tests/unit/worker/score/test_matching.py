import re
import unicodedata
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import SettingsError
from worker.messages import Matches
from worker.score import matching
from worker.score.matching import Matcher, WatchedEntity, WatchedTopic, Watchlist, parse_watchlist


def watching(*names: str, exact: bool = False) -> Matcher:
    """A matcher of entities without aliases."""
    return Matcher(Watchlist(entities=tuple(WatchedEntity(name=name, case_sensitive=exact) for name in names)))


@pytest.mark.parametrize(
    ("alias", "text", "found"),
    [
        ("Acme", "Acme", True),
        ("Acme", "so Acme's shares", True),
        ("Acme", "(Acme)", True),
        ("Acme", "non-Acme", True),
        ("Acme", "ACME acme", True),
        ("Acme", "Acmeist", False),
        ("Acme", "xAcme", False),
        ("Acme", "Acme2", False),
        ("Acme", "2Acme", False),
        ("Acme", "snake_Acme", False),
        ("Acme", "Acme_x", False),
        ("Acme", "éAcme", False),
        ("Acme", "Acm", False),
        ("Acme Corp", "Acme Corp", True),
        ("Acme Corp", "Acme \n\t Corp", True),
        ("Acme Corp", "Acme\u00a0Corp", True),
        ("Acme Corp", "AcmeCorp", False),
        ("  Acme   Corp ", "Acme Corp", True),
        ("X", "X", True),
        ("X", "x marks", True),
        ("X", "X-ray", True),
        ("X", "Xerox", False),
        ("X", "fox", False),
        ("3", "3 of 33", True),
        ("3", "33", False),
        ("C++", "C++ rocks", True),
        ("C++", "in c++.", True),
        ("C++", "C++11", True),
        ("C++", "VC++", False),
        ("C++", "C+", False),
        (".NET", "on .NET now", True),
        (".NET", "on.NET", True),
        (".NET", ".NETwork", False),
        ("$TSLA", "buy $TSLA!", True),
        ("$TSLA", "$TSLAQ", False),
        ("$TSLA", "TSLA", False),
        ("@acme", "hi @Acme", True),
        ("@acme", "@acme_help", False),
        ("#acme", "#acme#bad", True),
        ("AT&T", "at&t", True),
        ("AT&T", "AT&Tx", False),
        ("!", "well!", True),
    ],
)
def test_a_phrase_is_found_as_a_word_of_its_own(alias: str, text: str, found: bool) -> None:
    """No letter, digit or underscore may run on past the ends; punctuation of the alias needs no room around it."""
    assert watching(alias).match(text) == Matches((alias.strip(),) if found else ())


@pytest.mark.parametrize(
    ("alias", "text", "found"),
    [
        pytest.param("Café", "cafe\u0301", True, id="composed against decomposed"),
        pytest.param("cafe\u0301", "CAFÉ", True, id="decomposed against composed"),
        pytest.param("cafe", "cafe\u0301", False, id="an accent makes another word"),
        pytest.param("x", "x\u0323", False, id="a mark without a composed form runs on"),
        pytest.param("Straße", "STRASSE", True, id="sharp s folds to two letters"),
        pytest.param("STRASSE", "straße", True, id="and back"),
        pytest.param("s", "ß", False, id="half of a folded letter is no word"),
        pytest.param("Acme", "\uff21\uff43\uff4d\uff45", True, id="full width"),
        pytest.param("Acme", "\U0001d400\U0001d41c\U0001d426\U0001d41e", True, id="mathematical letters"),
        pytest.param("ffi", "\ufb03", True, id="ligature"),
        pytest.param("Σίσυφος", "ΣΊΣΥΦΟΣ", True, id="final sigma"),
        pytest.param("Газпром", "ГАЗПРОМ", True, id="Cyrillic"),
        pytest.param("Газ", "Газпром", False, id="Cyrillic word runs on"),
        pytest.param("हिन्दी", "हिन्दी है", True, id="Devanagari with vowel signs"),
        pytest.param("हिन्द", "हिन्दी", False, id="a vowel sign runs on"),
        pytest.param("トヨタ", "今日トヨタは", True, id="Japanese without spaces"),
        pytest.param("トヨタ", "\uff84\uff96\uff80の", True, id="half-width katakana"),
        pytest.param("华为", "我用华为手机", True, id="Chinese without spaces"),
        pytest.param("삼성", "삼성전자가", True, id="Korean with a particle"),
        pytest.param("ปตท", "หุ้นปตทขึ้น", True, id="Thai without spaces"),
        pytest.param("Acme", "好Acme好", True, id="Latin within Chinese"),
        pytest.param("Acme", "🚀Acme🚀", True, id="emoji"),
        pytest.param("Acme", "\u2764\ufe0fAcme\u2764\ufe0f", True, id="emoji with a variation selector"),
        pytest.param("Acme", "1\ufe0f\u20e3Acme", True, id="keycap"),
        pytest.param("\u2764\ufe0f", "I \u2764\ufe0f it", True, id="an emoji as alias"),
        pytest.param("Acme", "İ Acme", True, id="folding makes the text longer"),
        pytest.param("Acme", "a\x00Acme", True, id="NUL is no letter"),
    ],
)
def test_unicode(alias: str, text: str, found: bool) -> None:
    """NFKC and case folding on both sides; scripts without spaces have boundaries everywhere, combining marks none."""
    assert watching(alias).match(text) == Matches((alias,) if found else ())


@pytest.mark.parametrize(
    ("alias", "text", "found"),
    [("US", "in the US", True), ("US", "tell us", False), ("iPhone", "iphone", False), ("\uff35\uff33", "US", True)],
)
def test_an_entry_may_ask_for_its_own_case(alias: str, text: str, found: bool) -> None:
    """`case_sensitive` compares letters as they are, in NFKC all the same."""
    assert watching(alias, exact=True).match(text) == Matches((alias,) if found else ())


@pytest.mark.parametrize(
    ("watched", "text", "found"),
    [
        (("New York", "The New York Times"), "The New York Times rose", ("The New York Times",)),
        (("New York", "The New York Times"), "The New York Timesman", ("New York",)),
        (("New York", "The New York Times"), "New York, The New York Times", ("New York", "The New York Times")),
        (("New York Times", "Times Square"), "New York Times Square", ("New York Times", "Times Square")),
        (("a b c", "b", "b c d"), "a b c d", ("a b c", "b c d")),
        (("a", "a b"), "a b a", ("a", "a b")),
        (("a b", "b"), "a b", ("a b",)),
        (("a a",), "a a a", ("a a",)),
    ],
)
def test_what_lies_within_a_longer_one_does_not_count(watched: tuple[str, ...], text: str, found: tuple[str, ...]) -> None:
    """An occurrence inside a longer one is part of that name; those that only overlap count both."""
    assert watching(*watched).match(text).entities == found


@pytest.mark.parametrize("text", ["The New York Times", "ß The New York Times", "İßİ The New York Times"])
def test_the_longer_one_may_have_another_case_policy(text: str) -> None:
    """A name in its own case is still part of a longer one in any case, also where folding makes the text longer."""
    entities = (WatchedEntity(name="New York", case_sensitive=True), WatchedEntity(name="the new york times"))
    assert Matcher(Watchlist(entities=entities)).match(text).entities == ("the new york times",)
    assert Matcher(Watchlist(entities=entities)).match("ß New York").entities == ("New York",)


def test_the_same_phrase_under_both_case_policies_is_found_for_both() -> None:
    """Two entries that find the same place both count."""
    entities = (WatchedEntity(name="US", case_sensitive=True), WatchedEntity(name="We", aliases=("us",)))
    matcher = Matcher(Watchlist(entities=entities))
    assert matcher.match("US").entities == ("US", "We")
    assert matcher.match("us").entities == ("We",)


def test_aliases_stand_for_their_entity() -> None:
    """Whatever name was used, the entity is named once, and in order."""
    entities = (WatchedEntity(name="Tesla", aliases=("TSLA", "$TSLA")), WatchedEntity(name="Apple", aliases=("AAPL",)))
    assert Matcher(Watchlist(entities=entities)).match("TSLA $TSLA Tesla AAPL").entities == ("Apple", "Tesla")


def test_an_alias_of_two_entities_names_both() -> None:
    """An ambiguous alias is the watchlist's decision, not ours."""
    entities = (WatchedEntity(name="Delta Air", aliases=("Delta",)), WatchedEntity(name="Delta Taps", aliases=("delta",)))
    assert Matcher(Watchlist(entities=entities)).match("Delta").entities == ("Delta Air", "Delta Taps")


def test_topics_are_known_by_their_keywords_alone() -> None:
    """A topic's name is a label, not a keyword; an entity and a topic may share a word."""
    watchlist = Watchlist(
        entities=(WatchedEntity(name="Recall"),), topics=(WatchedTopic(name="safety", keywords=("recall", "defect")),)
    )
    matcher = Matcher(watchlist)
    assert matcher.match("a recall") == Matches(("Recall",), ("safety",))
    assert matcher.match("safety") == Matches()
    assert matcher.match("recall").alert_keys == ("entity:Recall", "topic:safety")


@pytest.mark.parametrize(
    ("given_names", "expected"),
    [
        (("tsla",), ("Tesla",)),
        (("TESLA", "Tesla"), ("Tesla",)),
        (("  $tsla ",), ("Tesla",)),
        (("Unheard Of",), ("Unheard Of",)),
        (("recall",), ("recall",)),
    ],
)
def test_what_the_producer_names_is_taken_at_its_word(given_names: tuple[str, ...], expected: tuple[str, ...]) -> None:
    """Given entities count without being in the text; aliases become names; a keyword of a topic is not one."""
    watchlist = Watchlist(
        entities=(WatchedEntity(name="Tesla", aliases=("TSLA", "$TSLA")),),
        topics=(WatchedTopic(name="safety", keywords=("recall",)),),
    )
    assert Matcher(watchlist).match("nothing", given_names) == Matches(expected)


@pytest.mark.parametrize("text", ["", " ", "\n"])
def test_nothing_is_found_in_nothing(text: str) -> None:
    """An empty watchlist or an empty text is no special case."""
    assert Matcher(Watchlist()).match("Acme") == Matches()
    assert watching("Acme").match(text) == Matches()


def _in_word(char: str) -> bool:
    return char.isalnum() or char == "_" or unicodedata.category(char) in {"Mn", "Mc"}


def naive(names: list[str], text: str) -> set[str]:
    """Try every phrase at every place, then drop what lies within a longer one. No automaton, no regular expression."""
    folded = " ".join(unicodedata.normalize("NFKC", text).split()).casefold()
    spans = [
        (at, at + len(phrase), name)
        for name in names
        for phrase in [" ".join(unicodedata.normalize("NFKC", name).split()).casefold()]
        for at in range(len(folded) - len(phrase) + 1)
        if folded[at : at + len(phrase)] == phrase and _free(folded, at) and _free(folded, at + len(phrase))
    ]
    return {name for start, end, name in spans if not any(_within((start, end), other[:2]) for other in spans)}


def _free(text: str, at: int) -> bool:
    return at in {0, len(text)} or not (_in_word(text[at - 1]) and _in_word(text[at]))


def _within(inner: tuple[int, int], outer: tuple[int, int]) -> bool:
    return inner != outer and outer[0] <= inner[0] and inner[1] <= outer[1]


letters = st.text(alphabet="abA_+.$ ßİé\u0301ﬁ1-", min_size=1, max_size=6).filter(lambda phrase: bool(phrase.strip()))


@given(st.lists(letters, min_size=1, max_size=8, unique=True), st.lists(letters, max_size=8).map(" ".join))
def test_the_automaton_finds_what_a_naive_search_finds(names: list[str], text: str) -> None:
    """Over an alphabet made to collide, the matcher and a search of every place agree."""
    stripped = sorted({name.strip() for name in names})
    assert set(watching(*stripped).match(text).entities) == naive(stripped, text)


@given(st.text(max_size=60), st.lists(st.text(min_size=1, max_size=20), max_size=3))
def test_whatever_the_text_there_is_an_answer(text: str, entities: list[str]) -> None:
    """Any string at all is matched; names come sorted and once."""
    found = watching("a", "ß", "C++").match(text, entities)
    assert list(found.entities) == sorted(set(found.entities))


def test_the_number_of_aliases_does_not_make_matching_slower(monkeypatch: pytest.MonkeyPatch) -> None:
    """With 10,000 aliases a text costs as many boundary checks as places where an alias really stands, not 10,000."""
    checks: list[int] = []
    joined = matching._joined

    def counted(text: str, at: int) -> bool:
        checks.append(at)
        return joined(text, at)

    monkeypatch.setattr(matching, "_joined", counted)
    matcher = watching(*(f"company {number}" for number in range(10_000)))
    text = "nothing of note about anybody, but company 4711 fell. " * 20
    assert matcher.match(text).entities == ("company 4711",)
    occurrences = sum(len(re.findall(f"company {'4711'[:length]}", text)) for length in range(1, 5))
    assert len(checks) <= 2 * occurrences


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("entities: [", "list.yaml is not YAML"),
        ("- Acme", "list.yaml"),
        ("Acme", "list.yaml"),
        ("entities: Acme", "entities"),
        ("entities: [Acme]", "entities.0"),
        ("entities: [{name: ''}]", "entities.0.name"),
        ("entities: [{name: ' '}]", "entities.0.name"),
        ("entities: [{name: 5}]", "entities.0.name"),
        ("entities: [{name: Acme, alias: [x]}]", "entities.0.alias"),
        ("entities: [{name: Acme, aliases: ['']}]", "entities.0.aliases.0"),
        ("entities: [{name: Acme, keywords: [x]}]", "entities.0.keywords"),
        ("topics: [{name: safety}]", "topics.0: give it keywords, or a description, or both"),
        ("topics: [{name: safety, keywords: []}]", "topics.0: give it keywords"),
        ("topics: [{name: safety, keywords: [''], description: x}]", "topics.0.keywords.0"),
        ("topics: [{name: safety, description: ' '}]", "topics.0.description"),
        ("topics: [{name: safety, description: x, examples: ['']}]", "topics.0.examples.0"),
        ("topics: [{name: safety, keywords: [x], examples: [y]}]", "topics.0: examples and threshold go with a description"),
        ("topics: [{name: safety, keywords: [x], threshold: 0.3}]", "topics.0: examples and threshold go with a description"),
        ("topics: [{name: safety, description: x, threshold: 1}]", "topics.0.threshold"),
        ("topics: [{name: safety, description: x, threshold: .nan}]", "topics.0.threshold"),
        ("companies: []", "companies"),
        ("entities: [{name: Acme}, {name: Acme}]", "entities named more than once: Acme"),
        ("entities: [{name: !!python/name:os.system }]", "list.yaml is not YAML"),
    ],
)
def test_a_wrong_watchlist_is_named(text: str, expected: str) -> None:
    """File and field, and what was expected."""
    with pytest.raises(SettingsError, match=re.escape(expected)) as wrong:
        parse_watchlist(text, "list.yaml")
    assert "list.yaml" in str(wrong.value)


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "entities: []"])
def test_an_empty_watchlist_is_one(text: str) -> None:
    """One may begin with nothing to watch."""
    assert parse_watchlist(text, "list.yaml") == Watchlist()


def _entries() -> Iterator[str]:
    yield "entities:"
    yield "  - {name: Acme, aliases: [ACM, '$ACM'], case_sensitive: true}"
    yield "topics:"
    yield "  - {name: safety, keywords: [recall]}"


def test_a_watchlist_is_read() -> None:
    """All fields arrive."""
    watchlist = parse_watchlist("\n".join(_entries()), "list.yaml")
    assert watchlist.entities == (WatchedEntity(name="Acme", aliases=("ACM", "$ACM"), case_sensitive=True),)
    assert watchlist.topics == (WatchedTopic(name="safety", keywords=("recall",)),)
