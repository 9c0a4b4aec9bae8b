import time
from typing import get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from worker.errors import SettingsError
from worker.redact import KINDS, Redactor
from worker.settings import PersonalData, ScoreSettings

ALL = Redactor()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("write to joe@example.com.", "write to [email]."),
        ("(joe.o'neil+news@mail.example.co.uk), thanks", "([email]), thanks"),
        ("mailto:JOE_99@EXAMPLE.COM?subject=hi", "mailto:[email]?subject=hi"),
        ("joe@example.com,ann@example.org", "[email],[email]"),
        ("joe@example.com5", "[email]5"),
        ("jörg@müller.de", "[email]"),
        ("иван@почта.рф", "[email]"),
        ("用户@例子.中国", "[email]"),
        ("info@xn--mller-kva.de", "[email]"),
        ("ＪＯＥ＠ｅｘａｍｐｌｅ．ｃｏｍ", "[email]"),  # noqa: RUF001 - full width, as East Asian keyboards write it
        ("git@github.com:joe/repo", "[email]:joe/repo"),
        ("x" * 80 + "@example.com", "x" * 16 + "[email]"),
    ],
)
def test_email_addresses_go(text: str, expected: str) -> None:
    """In any script, with what mail servers take for a local part; what stands around them stays."""
    assert ALL.redact(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("call +1 650-253-0000 now", "call [phone] now"),
        ("(212) 566-8082", "[phone]"),
        ("212.566.8082", "[phone]"),
        ("1-800-356-9377", "[phone]"),
        ("07911 123456", "[phone]"),
        ("07911123456", "[phone]"),
        ("٠٧٩١١١٢٣٤٥٦", "[phone]"),
        ("020 7946 0958", "[phone]"),
        ("0049 30 12345678", "[phone]"),
        ("+49 (0)30 123456-78", "[phone]"),
        ("+33 1 42 68 53 00", "[phone]"),
        ("\uff0b81 3-1234-5678", "[phone]"),
        ("WhatsApp+447911123456", "WhatsApp[phone]"),
        ("tel:+12125551234", "tel:[phone]"),
        ("text me on 4155552671!", "text me on [phone]!"),
        ("my number is 4155552671", "my number is [phone]"),
        ("reach me at 4155552671, or contact: 2125551234", "reach me at [phone], or contact: [phone]"),
        ("https://wa.me/14155552671", "https://wa.me/[phone]"),
        ("24/7 415 555 2671", "[phone]"),
        ("(212) 566-8082 4111 1111 1111 1112", "[phone]"),
        ("2015 415 555 2671", "[phone]"),
        ("415 555 2671 415 555 2672 415 555 2673", "[phone]"),
        ("415\u2013555\u20132671", "[phone]"),
        ("wire 12 345 678 901 or call (212) 566-8082", "wire 12 345 678 901 or call [phone]"),
    ],
)
def test_phone_numbers_go(text: str, expected: str) -> None:
    """International ones, American and British ones as they are dialled there, and bare ones that are called a phone's."""
    assert ALL.redact(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4111 1111 1111 1111", "[card]"),
        ("5500-0000-0000-0004, exp 12/27", "[card], exp 12/27"),
        ("378282246310005", "[card]"),
        ("3782 822463 10005", "[card]"),
        ("3056 930902 5904", "[card]"),
        ("6011111111111117", "[card]"),
        ("3530.1113.3330.0000", "[card]"),
        ("2223003122003222", "[card]"),
        ("2200 0000 0000 0004", "[card]"),
        ("6304 0000 0000 0000 000", "[card]"),
        ("in 2024 4111 1111 1111 1111 was charged", "in 2024 [card] was charged"),
        ("card4111111111111111", "card[card]"),
        ("４１１１　１１１１　１１１１　１１１１", "[card]"),  # noqa: RUF001 - full width
    ],
)
def test_card_numbers_go(text: str, expected: str) -> None:
    """Those of the large issuers, with a right check digit, in one, by fours, or 4-6-5."""
    assert ALL.redact(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("thanks @joe_99!", "thanks [handle]!"),
        (".@joe and @Ann, hi", ".[handle] and [handle], hi"),
        ("RT@joe: so true", "RT[handle]: so true"),
        ("(via @joe)", "(via [handle])"),
        ("@joe@ann", "[handle]"),
        ("@50cent", "[handle]"),
        ("@user@host.social", "[handle]"),
        ("@田中", "[handle]"),
        ("https://medium.com/@joe/x", "https://medium.com/[handle]/x"),
    ],
)
def test_handles_go(text: str, expected: str) -> None:
    """With what is glued to them on the left in old retweets, and with the host of the fediverse."""
    assert ALL.redact(text) == expected


STAYS = [
    "",
    "$12,500,000 and £1,234.56 and € 2.125.551.234",
    "USD 12 345 678 901",
    "2024-01-05 12:30:45, 05/01/2024 - 06/01/2024, 01-05-2024 01:06",
    "2021-01-01T00:00:00+05:00",
    "2019-2020, 1990 1991 1992 1993",
    "order 4155552671, #4155552671, order no. 20240105123",
    "tracking 1Z999AA10123456784, 9400 1000 0000 0000 0000 00",
    "1234 5678 9012 3456, 4111 1111 1111 1112, 1234567890123",
    "41111111111111111111111",
    "4.111111111111111, 3.14159265358979",
    "ISBN 978-3-16-148410-0, 9783161484100",
    "203.0.113.195, 212.255.123.4, 8.8.8.8 1.1.1.1, 10.0.0.1:8080",
    "v10.2.3.4567, lodash@4.17.21, root@10.0.0.1, root@localhost, icon@2x.png",
    "3@5, @ home, me @ the show, @5pm, @10am, 2 @300, maps/@51.5,-0.1,15z, @@@, ¯\\_@_",
    "won 3-2, 6-4 7-5 6-3, 10:30-11:45",
    "<33333333333333333333",
    "uuid 550e8400-e29b-41d4-a716-446655440000",
    "1-800-FLOWERS, 555-2671, 911",
]


@pytest.mark.parametrize("text", STAYS)
def test_what_only_looks_like_it_stays(text: str) -> None:
    """Prices, dates, orders, versions, addresses of machines, scores: evidence has to be readable."""
    assert ALL.redact(text) == text


SAMPLE = "joe@example.com (212) 566-8082 4111 1111 1111 1111 @joe"


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ((), SAMPLE),
        (("email",), "[email] (212) 566-8082 4111 1111 1111 1111 @joe"),
        (("phone",), "joe@example.com [phone] @joe"),
        (("card",), "joe@example.com (212) 566-8082 [card] @joe"),
        (("handle",), "joe@example.com (212) 566-8082 4111 1111 1111 1111 [handle]"),
        (KINDS, "[email] [phone] [card] [handle]"),
    ],
)
def test_each_kind_has_its_switch(kinds: tuple[PersonalData, ...], expected: str) -> None:
    """What is not asked for stays, unless it cannot be told from what is: figures in a row go with the phone number."""
    assert Redactor(kinds).redact(SAMPLE) == expected


def test_all_kinds_are_the_default_and_can_be_set() -> None:
    """What the settings offer is what there is, and is all switched on."""
    assert frozenset(KINDS) == frozenset(get_args(PersonalData)) == ScoreSettings().redact


def test_regions() -> None:
    """Without a region only numbers with their country code are found; a region that is none is refused."""
    assert Redactor(KINDS, ()).redact("(212) 566-8082 or +1 212 566 8082") == "(212) 566-8082 or [phone]"
    assert Redactor(KINDS, ("ES",)).redact("llama al 612 345 678") == "llama al [phone]"
    with pytest.raises(SettingsError, match=r"score\.phone_regions: UK, XX: expected ISO 3166 codes"):
        Redactor(KINDS, ("XX", "GB", "UK"))


@pytest.mark.parametrize("secret", ["joe.bloggs@mail.example.com", "+1 650-253-0000", "4111 1111 1111 1111", "@joe_bloggs"])
@pytest.mark.parametrize("filler", ["x ", "no. 7, ", "@ann ", "a@b.co "])
def test_a_cut_leaves_nothing_of_what_it_cuts(secret: str, filler: str) -> None:
    """Wherever the excerpt's end or the window's falls, not even half of it is left."""
    for place in [*range(100, 200), *range(280, 360), *range(560, 680)]:
        lead = (filler * place)[: place - 1].rpartition(" ")[0] + " "
        found = ALL.beginning(f"{lead}{secret} {filler * 200}", 160)
        assert secret[:6] not in found
        assert secret[-6:] not in found
        assert len(found) <= 160


def test_the_beginning_is_one_line_and_says_that_it_is_not_all() -> None:
    """Short texts are whole; placeholders make room for more."""
    assert ALL.beginning(" two\n lines\t", 160) == "two lines"
    assert ALL.beginning("word " * 100, 20) == "word word word word…"
    assert ALL.beginning(f"{'a' * 60}@{'b' * 60}.com and more", 30) == "[email] and more"
    assert ALL.beginning("a@b.co " * 1_000, 160).count("[email]") == 20


PIECES = st.one_of(
    st.sampled_from(["@", "@joe", "joe@example.com", "+", "(", " ", "-", ".", "call ", "415 555 2671", "4155552671", "@b.co"]),
    st.sampled_from(["4111111111111111", "1111 ", "4111 ", "+44", "0", "RT@", "[phone]", "\uff20", "x", "_", "\n", "$"]),
    st.text(max_size=8),
)


@given(st.lists(PIECES, max_size=30).map("".join))
@example("x+@y.com@bob")
@example("4155552671@bob phone: (415) 555-2671, 2125551234")
@example("\ud800@\udfff.com")
def test_nothing_that_is_recognised_is_left(text: str) -> None:
    """Whatever the text: no error, and a second look finds nothing."""
    found = ALL.redact(text)
    assert ALL.redact(found) == found
    for kind in KINDS:
        assert Redactor((kind,)).redact(found) == found


ADVERSARIAL = [
    "1" * 8_192,
    "1 " * 4_096,
    "41.55.52.67." * 700,
    "415-555-267 " * 700,
    "0123 45678 0123 4567 " * 400,
    "4111 " * 1_600,
    "+0 12 345 678 9 " * 500,
    "phone 4155552671 " * 500,
    "@a" * 4_096,
    "a@" * 4_096,
    "@c.co" * 1_600,
    "a." * 2_000 + "@" + "a." * 2_000,
    "a" * 8_000 + "@",
    "(" * 8_192,
]


@pytest.mark.parametrize("text", ADVERSARIAL, ids=lambda text: text[:12])
def test_no_text_takes_long(text: str) -> None:
    """An excerpt of the worst texts takes some ten milliseconds; the bound is for a machine that is busy with other things."""
    began_s = time.process_time()
    ALL.beginning(text, 160)
    assert time.process_time() - began_s < 1
