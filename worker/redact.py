"""Personal data out of texts: e-mail addresses, phone numbers, card numbers and handles become `[email]` and so on. Pure.

Phone numbers are found by libphonenumber's port `phonenumbers`, asked only about runs of enough digits, because it is slow. For
the others no library earned its place (see ARCHITECTURE.md), so there are patterns here, each of bounded length, and each
tested with what must go and what must stay. What is disguised on purpose ("joe at example dot com") is not recognised.
"""

import re
from collections.abc import Collection
from typing import NamedTuple

from phonenumbers import SUPPORTED_REGIONS, Leniency, PhoneNumberMatcher

from worker.errors import SettingsError
from worker.settings import PersonalData, ScoreSettings

KINDS: tuple[PersonalData, ...] = ("email", "phone", "card", "handle")
PHONE_REGIONS = ("US", "GB")
_WINDOW = 640
_LONGEST = 320
"""Of what is looked for, nothing is longer: an e-mail address may have 254 characters, and is looked for a bit beyond."""

_DOMAIN = r"(?:[\w-]{1,63}[.\uff0e\u3002]){1,8}(?:xn--[a-z0-9-]{2,59}|[^\W\d_]{2,63})"
_AT = "[@\uff20\ufe6b]"
_HAS_AT = re.compile(_AT)
_LOCAL = r"[\w.!#$%&'*+/=?^`{|}~-]"
_EMAIL = re.compile(rf"{_LOCAL}{{1,64}}{_AT}(?!\dx\.){_DOMAIN}")
"""Not `icon@2x.png`. A host without a dot, or of digits alone, is none either: `root@10.0.0.1`, `lodash@4.17.21`."""
_EMAIL_AT = re.compile(rf"{_AT}(?<={_LOCAL}.)\w")
"""A text without this has no address in it; most texts with an `@` have only handles."""
_HANDLE_AT = rf"{_AT}(?:(?<!\w.)|(?<=\bRT.)|(?<=\bvia.)|(?<=\bcc.))"
"""The sign first: the engine looks for that quickly."""
_FAR_HANDLE = re.compile(rf"{_HANDLE_AT}[\w.-]{{1,64}}(?:@{_DOMAIN})+", re.IGNORECASE)
_NAME = r"(?!\d+(?:[ap]m|h|k)?\b)\w{1,64}"
_HANDLE = re.compile(rf"{_HANDLE_AT}{_NAME}(?:{_AT}{_NAME})*", re.IGNORECASE)
"""`@name`; not a time, a price or a place on a map: `@5pm`, `@300`, `@51.5,-0.1`."""

_CARD_START = re.compile(r"(?<!\d)(?<!\d[.,])\d{4}")
_GAP = r"[\s.\-\u2010-\u2015]"
_CARDS = [
    re.compile(pattern + r"(?!\d)")
    for pattern in (
        r"\d{12,19}",
        rf"\d{{4}}(?:{_GAP}\d{{4}}){{3}}{_GAP}\d{{1,3}}",
        rf"\d{{4}}(?:{_GAP}\d{{4}}){{3}}",
        rf"\d{{4}}{_GAP}\d{{6}}{_GAP}\d{{4,5}}",
    )
]
"""The ways in which card numbers are written: in one, by fours, and 4-6-5 or 4-6-4."""
_ISSUED = re.compile(
    r"4\d{12}(?:\d{3}){0,2}|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}|3[47]\d{13}|3(?:0[0-5]|[689]\d)\d{11}"
    r"|35(?:2[89]|[3-8]\d)\d{12,15}|220[0-4]\d{12,15}|(?:5[06-9]|6\d)\d{10,17}"
)
"""Ranges and lengths of the issuers: ISO/IEC 7812; https://en.wikipedia.org/wiki/Payment_card_number."""

_DIGITS = re.compile(r"\d(?:\D{0,3}\d){6}")
"""A text without this has neither a phone number nor a card in it."""
_RUN = re.compile(r"(?:(?<!\w)\({0,2}|\({0,2}[+\uff0b])\d(?:[\s()./\-\u2010-\u2015]{0,3}\d){6,}+(?!\w)")
_IP_ADDRESS = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}")
_AMOUNT = re.compile(r"\d{1,3}(?:[.\s]\d{3})+")
_LARGE_AMOUNT = re.compile(r"\d{1,3}(?:[.\s]\d{3}){3,}")
_WITHIN = re.compile(
    r"(?<!\d)(?:(?:\([2-9]\d\d\)\s?|[2-9]\d\d[\s.-])[2-9]\d\d[\s.-]\d{4}|0\d{2,4}(?:[\s.-]\d{2,6}){1,3})(?!\d)"
)
"""American and European numbers amid others, where the library does not look for them: `24/7 415 555 2671`."""
_CURRENCIES = ("$", "€", "£", "¥", "₹")
_CUE = re.compile(
    r"(?<!\[)\b(?:call|cell|contact|dial|fax|mob|mobile|phone|reach|ring|sms|tel|telephone|text|whatsapp|wa\.me"
    r"|(?:my|our|your|his|her|their) (?:new )?number)\b",
    re.IGNORECASE,
)
_CUE_CHARS = 20
_TRIES = 50
"""How often the library may try to read a number out of one run."""


class Redactor:
    """Takes personal data of these kinds out of texts.

    Args:
        kinds: what to look for; `KINDS` are all.
        phone_regions: the countries, as ISO 3166 codes, whose numbers are found without their `+` and country code too.

    Raises:
        SettingsError: a region is none that libphonenumber knows.
    """

    def __init__(self, kinds: Collection[PersonalData] = KINDS, phone_regions: Collection[str] = PHONE_REGIONS) -> None:
        if unknown := sorted(set(phone_regions) - SUPPORTED_REGIONS):
            raise SettingsError(
                f"score.phone_regions: {', '.join(unknown)}: expected ISO 3166 codes of countries, such as US or GB"
            )
        self._regions = tuple(sorted(phone_regions)) or (None,)
        self._kinds = frozenset(kinds)

    def redact(self, text: str) -> str:
        """Return the text with a placeholder for each find; nothing that would be found is left in it.

        A placeholder can bring to light what stood too close to something else, so it is looked for until nothing is found.
        """
        before = None
        while text != before:
            before = text
            if _HAS_AT.search(text):
                text = self._without_addresses(text)
            if _DIGITS.search(text):
                text = self._without_numbers(text)
        return text

    def beginning(self, text: str, chars: int) -> str:
        """Return at most so many characters of the text (320 at most) on one line, with an ellipsis if that is not all.

        It is redacted before it is cut, so that half an address is never left. Only as much is looked at as takes bounded time:
        what may belong to something that is cut off by the end of that is left out.
        """
        line = " ".join(text.split())
        found = self.redact(line[:_WINDOW])
        is_whole = len(line) <= _WINDOW
        if is_whole and len(found) <= chars:
            return found
        return (found if is_whole else found[:-_LONGEST])[: chars - 1] + "…"

    def _without_addresses(self, text: str) -> str:
        """`@user@host.example` first, in which an e-mail address would be found."""
        has_handles = "handle" in self._kinds
        if has_handles and text.count("@") > 1:
            text = _FAR_HANDLE.sub("[handle]", text)
        if "email" in self._kinds and _EMAIL_AT.search(text):
            text = _EMAIL.sub("[email]", text)
        return _HANDLE.sub("[handle]", text) if has_handles else text

    def _without_numbers(self, text: str) -> str:
        if "card" in self._kinds:
            text = _without_cards(text)
        return self._without_phones(text) if "phone" in self._kinds else text

    def _without_phones(self, text: str) -> str:
        """A run of digits in which there is a phone number goes as a whole: the library finds one of several in a row."""
        kept, at = "", 0
        for run in _RUN.finditer(text):
            kept += text[at : run.start()]
            kept += "[phone]" if self._has_phone(kept, run.group(), text[run.end() : run.end() + 3]) else run.group()
            at = run.end()
        return kept + text[at:]

    def _has_phone(self, before: str, run: str, after: str) -> bool:
        if _is_another_figure(before, run):
            return False
        return any(self._is_found(text) for text in (run + after, *_WITHIN.findall(run)))

    def _is_found(self, text: str) -> bool:
        return any(PhoneNumberMatcher(text, region, Leniency.VALID, _TRIES).has_next() for region in self._regions)


def _is_another_figure(before: str, run: str) -> bool:
    """Whether it is an IP address, an amount of money, or a bare number that nothing calls a phone's: an order, an id."""
    amount = _AMOUNT if before.rstrip().endswith(_CURRENCIES) else _LARGE_AMOUNT
    if _IP_ADDRESS.fullmatch(run) or amount.fullmatch(run):
        return True
    return run.isdecimal() and int(run[0]) > 0 and not _CUE.search(before[-_CUE_CHARS:])


def _without_cards(text: str) -> str:
    kept, at = "", 0
    for start in _CARD_START.finditer(text):
        if start.start() >= at and (span := _card_at(text, start.start())):
            kept, at = kept + text[at : span[0]] + "[card]", span[1]
    return kept + text[at:]


def _card_at(text: str, start: int) -> tuple[int, int] | None:
    for written in _CARDS:
        if found := written.match(text, start):
            digits = [int(char) for char in found.group() if char.isdecimal()]
            if _ISSUED.fullmatch("".join(map(str, digits))) and _luhn(digits):
                return found.span()
    return None


def _luhn(digits: list[int]) -> bool:
    """The check digit of ISO/IEC 7812-1, annex B."""
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


class Redactors(NamedTuple):
    """What takes personal data out of the fields of a signal."""

    excerpt: Redactor = Redactor()
    source: Redactor = Redactor(())

    @classmethod
    def of(cls, settings: ScoreSettings) -> "Redactors":
        """Return those for the fields and kinds that the settings name.

        Raises:
            SettingsError: a region is none that libphonenumber knows.
        """
        whole, nothing = Redactor(settings.redact, settings.phone_regions), Redactor(())
        return cls(*(whole if field in settings.redact_fields else nothing for field in cls._fields))
