import pytest

from tests.unit.training.data.builders import row, rows
from training.data.cleaning import Reason, Rules, clean, without_markup
from training.data.language import UNKNOWN, language_of

STORY = "the central bank raised its rate by a quarter point on tuesday to slow inflation"


@pytest.mark.parametrize(
    ("text", "clean_text", "change"),
    [
        ("It\u00e2\u20ac\u2122s a bad day for caf\u00c3\u00a9s", "It's a bad day for cafés", "encoding"),
        ("<p>Bad <b>day</b></p><script>x()</script>", "Bad day", "markup"),
        ("one<br>two", "one two", "markup"),
        ("AT&amp;T fell", "AT&T fell", "markup"),
    ],
)
def test_texts_are_put_right_and_counted(text: str, clean_text: str, change: str) -> None:
    """Mojibake and markup become what was meant."""
    done = clean(rows(text))
    assert [r.text for r in done.rows] == [clean_text]
    assert done.changed[change] == 1


@pytest.mark.parametrize("text", ["I <3 you", "5 < 7 and 9 > 8", "R&D is fun; really", "🎉🎉"])
def test_what_only_looks_like_markup_stays(text: str) -> None:
    """Hearts, comparisons and lone ampersands are text."""
    assert without_markup(text) == text
    assert [r.text for r in clean(rows(text)).rows] == [text]


def test_lines_that_many_texts_share_are_taken_out() -> None:
    """From texts of several lines, and only if something is left."""
    footer = "Subscribe to our newsletter"
    made = rows(*(f"story {n} about thing {n}\n{footer}" for n in range(12)), "good\nday")
    done = clean(made, Rules(boilerplate_rows=10))
    assert [r.text for r in done.rows] == [*(f"story {n} about thing {n}" for n in range(12)), "good day"]
    assert done.changed["boilerplate"] == 12


def test_every_row_stays_or_is_dropped_for_a_reason() -> None:
    """Empties, duplicates, near duplicates and contradictions; each names the row that it is like."""
    made = [
        row(" <br> ", number=0),
        row(STORY, number=1),
        row(STORY.upper(), number=2),
        row("Update: " + STORY, number=3),
        row("mixed feelings here", "negative", number=4),
        row("Mixed feelings  here", "positive", number=5),
    ]
    done = clean(made)
    assert [r.id for r in done.rows] == ["r1"]
    assert {(d.id, d.reason, d.other) for d in done.dropped} == {
        ("r0", Reason.EMPTY, None),
        ("r2", Reason.DUPLICATE, "r1"),
        ("r3", Reason.NEAR_DUPLICATE, "r1"),
        ("r4", Reason.CONTRADICTION, "r4"),
        ("r5", Reason.CONTRADICTION, "r4"),
    }
    assert done.counts == {"empty": 1, "language": 0, "duplicate": 1, "near-duplicate": 1, "contradiction": 2}


def test_near_duplicates_of_another_label_stay() -> None:
    """One word may have turned the text round; a smiley is a difference too."""
    made = [
        row(STORY, "negative", 0),
        row("Never " + STORY, "positive", 1),
        row("ok :)", "positive", 2),
        row("ok :(", "negative", 3),
    ]
    assert len(clean(made).rows) == 4


def test_cleaning_what_is_clean_changes_nothing() -> None:
    """A second pass finds nothing to do."""
    once = clean(rows("AT&amp;T fell", "caf\u00c3\u00a9", "good\n\nday"))
    twice = clean(once.rows)
    assert (twice.rows, twice.dropped, set(twice.changed.values())) == (once.rows, (), {0})


def test_languages_are_told_and_chosen() -> None:
    """What cannot be told stays; what is surely another language goes, if asked."""
    english, german = "This is very bad news for all of the banks", "Das ist eine sehr schlechte Nachricht für die Banken"
    assert [language_of(text) for text in (english, german, "lol")] == ["en", "de", UNKNOWN]
    done = clean(rows(english, german, "lol"), Rules(languages=("en",)))
    assert [(r.text, r.lang) for r in done.rows] == [(english, "en"), ("lol", UNKNOWN)]
    assert done.counts["language"] == 1
