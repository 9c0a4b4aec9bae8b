import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.worker.alert.builders import RULE, rules
from worker.alert.suppression import MAX_INHIBITORS, MAX_SILENCES, Suppression, muted_by
from worker.errors import FatalError
from worker.messages import Expire, Inhibitor, Silence, Standing

INHIBIT = (
    RULE
    + """
inhibit:
  - {source_matchers: [severity=critical], target_matchers: ['severity=~"warning|info"'], equal: [topic]}
  - {source_matchers: [alertname=~"out.*"], target_matchers: [alertname=~"out.*|slow"]}
"""
)
CRITICAL = {"severity": "critical", "topic": "film"}
WARNING = {"severity": "warning", "topic": "film"}
Told = Silence | Expire | Inhibitor | Standing


def suppression(*controls: Told, text: str = INHIBIT, watermark_ms: int = 0) -> Suppression:
    """What is in force when these were said."""
    found = Suppression(rules(text).inhibit)
    for control in controls:
        found.take(control, watermark_ms)
    return found


def silence(name: str = "s", *matchers: str, starts_at_ms: int = 100, ends_at_ms: int = 200) -> Silence:
    """A silence of the film, of event times in [100, 200)."""
    return Silence(name, matchers or ("topic=film",), ends_at_ms, "kim", "premiere", starts_at_ms)


@pytest.mark.parametrize(("at_ms", "names"), [(99, ()), (100, ("silence:s",)), (199, ("silence:s",)), (200, ())])
def test_a_silence_is_in_force_from_its_start_up_to_its_end(at_ms: int, names: tuple[str, ...]) -> None:
    """The first moment is in it, the last is not."""
    assert suppression(silence()).by("a", WARNING, at_ms) == names


def test_silences_end_when_somebody_says_so() -> None:
    """And one of the same id takes the place of the one before."""
    assert suppression(silence(), Expire("s")).by("a", WARNING, 150) == ()
    again = suppression(silence(), silence("s", "topic=music"), silence("t"), silence("r"))
    assert again.by("a", WARNING, 150) == ("silence:r", "silence:t")
    assert again.by("a", {"topic": "music"}, 150) == ("silence:s",)


def test_edges_are_told() -> None:
    """When a silence begins or ends, later than one time and up to another."""
    found = suppression(silence(), silence("t", starts_at_ms=200, ends_at_ms=300))
    assert list(found.edges(99, 300)) == [100, 200, 200, 300]
    assert list(found.edges(100, 299)) == [200, 200]


def test_a_firing_source_inhibits_its_targets_where_labels_agree() -> None:
    """Not those of another topic, not those that the rule does not call targets, and not once it has ended."""
    found = suppression(Inhibitor("c", CRITICAL, True))
    assert found.by("w", WARNING, 0) == ("inhibition:c",)
    assert found.by("w", WARNING | {"topic": "music"}, 0) == ()
    assert found.by("w", CRITICAL, 0) == ()
    assert suppression(Inhibitor("c", CRITICAL, True), Inhibitor("c", CRITICAL, False)).by("w", WARNING, 0) == ()


def test_labels_that_both_lack_agree() -> None:
    """As in Alertmanager, absent and empty are one."""
    found = suppression(Inhibitor("c", {"severity": "critical"}, True))
    assert found.by("w", {"severity": "info"}, 0) == ("inhibition:c",)
    assert found.by("w", {"severity": "info", "topic": ""}, 0) == ("inhibition:c",)
    assert found.by("w", WARNING, 0) == ()


def test_what_is_source_and_target_is_not_inhibited_by_its_like() -> None:
    """Itself included; by a source that is no target it is, and a mere target by either."""
    both, target = {"alertname": "outage"}, {"alertname": "slow"}
    found = suppression(Inhibitor("a", both, True), Inhibitor("b", both, True))
    assert found.by("a", both, 0) == ()
    assert found.by("x", target, 0) == ("inhibition:a",)
    own = RULE + "inhibit: [{source_matchers: [alertname=outage], target_matchers: [alertname=slow]}]\n"
    assert suppression(Inhibitor("a", target, True), text=own).by("a", target, 0) == ()


def test_other_rules_make_other_inhibitors() -> None:
    """From the next question on, whatever was heard before."""
    found = suppression(Inhibitor("c", CRITICAL, True), text=RULE)
    assert found.by("w", WARNING, 0) == ()
    found.replace_rules(rules(INHIBIT).inhibit)
    assert found.by("w", WARNING, 0) == ("inhibition:c",)


def test_it_survives_the_store() -> None:
    """Silences, inhibitors and what is not known."""
    found = suppression(silence(), Inhibitor("c", CRITICAL, True), Expire("old"))
    again = Suppression(rules(INHIBIT).inhibit)
    again.restore(found.encode())
    assert again.by("w", WARNING, 150) == found.by("w", WARNING, 150) == ("silence:s", "inhibition:c")
    assert list(again.edges(0, 1_000)) == list(found.edges(0, 1_000)) == [100, 200]
    again.take(Standing((silence("old"),)), 0)
    assert [one.id for one in again.silences] == ["s"], "what ended meanwhile stays so"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        *((b"", "have schema none, this version reads 1: run"), (b"\x00", "have schema 0, this version reads 1: run")),
        *((b"\x01", "are damaged"), (b"\x01\xff", "are damaged"), (b"\x01\x91\x01", "are damaged")),
    ],
)
def test_what_cannot_be_read_from_the_store_is_refused(body: bytes, says: str) -> None:
    """With what to do about it."""
    with pytest.raises(FatalError, match=f"^stored silences {says}"):
        suppression().restore(body)


def test_who_begins_in_the_middle_learns_from_a_standing_once() -> None:
    """What was said since holds against it; who knows all learns nothing from an old one."""
    whole = suppression(silence("a"), silence("b"), Inhibitor("c", CRITICAL, True), Inhibitor("d", CRITICAL, True))
    standing = whole.standing()
    assert standing is not None
    late = suppression(Expire("a"), Inhibitor("c", CRITICAL, False), silence("e"), standing)
    assert ({one.id for one in late.silences}, late.knows("c"), late.knows("d")) == ({"b", "e"}, False, True)
    late.take(Expire("b"), 0)
    late.take(standing, 0)
    assert [one.id for one in late.silences] == ["e"]


@pytest.mark.parametrize(("ends", "revived"), [(MAX_INHIBITORS, []), (MAX_INHIBITORS + 1, ["0"])])
def test_what_ended_before_all_was_known_is_remembered_up_to_a_bound(ends: int, revived: list[str]) -> None:
    """Past it the oldest ends are forgotten, and a standing that is older still may bring back what they ended."""
    late = suppression(*(Expire(f"{number}") for number in range(ends)), Standing((silence("0"), silence("1"))))
    assert [one.id for one in late.silences] == revived


def test_nothing_in_force_is_not_said_again() -> None:
    """And what is said again fits a record."""
    assert suppression().standing() is None
    long = [
        Silence(f"{number}", ("topic=film",) + ("severity!=x" + "y" * 1_000,) * 9, 200, "kim", "c") for number in range(100)
    ]
    standing = suppression(*long).standing()
    assert standing is not None
    assert 20 < len(standing.silences) < 60


def padded(one: Told, size: int) -> Told:
    """The same, with an id so long that it is of that size in a record."""
    field = "id" if isinstance(one, Silence) else "alert_id"
    return msgspec.structs.replace(one, **{field: "x" * (size - len(msgspec.json.encode(one)) + 1)})


@pytest.mark.parametrize("one", [silence("s"), Inhibitor("c", CRITICAL, True)])
def test_what_is_said_again_fits_to_the_byte(one: Told) -> None:
    """Half a megabyte, of silences first."""
    small = Inhibitor("d", CRITICAL, True)
    room = 500_000 - len(msgspec.json.encode(small))
    for size, said in ((room - 1, 2), (room, 1), (499_999, 1), (500_000, 0)):
        standing = suppression(padded(one, size), small).standing()
        assert standing is not None
        assert len(standing.silences) + len(standing.inhibitors) == said


def test_who_fires_is_said_again() -> None:
    """With the silences, so that who begins in the middle knows both."""
    both = silence(), Inhibitor("c", CRITICAL, True)
    assert suppression(*both).standing() == Standing((both[0],), (both[1],))


def test_bounds_let_go_of_what_is_over_first() -> None:
    """Then of what ends first; of inhibitors the oldest."""
    many = [silence(f"{number:04}", ends_at_ms=1_000 + number) for number in range(MAX_SILENCES)]
    found = suppression(*many, watermark_ms=1_005)
    found.take(silence("new", ends_at_ms=5_000), 1_005)
    kept = {one.id for one in found.silences}
    assert (len(kept), "new" in kept, "0000" in kept, "0001" in kept) == (MAX_SILENCES, True, False, True)
    crowd = suppression(*(Inhibitor(f"{number}", CRITICAL, True) for number in range(MAX_INHIBITORS + 1)))
    assert (crowd.knows("0"), crowd.knows("1")) == (False, True)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans(), st.sampled_from(["film", "music"])), max_size=30))
def test_the_index_says_what_a_look_at_all_would(told: list[tuple[str, bool, str]]) -> None:
    """Whatever comes and goes, under whatever labels."""
    found, firing = suppression(), dict[str, str]()
    for name, is_firing, topic in told:
        found.take(Inhibitor(name, {"severity": "critical", "topic": topic}, is_firing), 0)
        firing.pop(name, None)
        firing |= {name: topic} if is_firing else {}
    sources = sorted(name for name, topic in firing.items() if topic == "film" and name != "a")
    assert found.by("a", WARNING, 0) == tuple(f"inhibition:{name}" for name in sources[:1])


@pytest.mark.parametrize(
    ("names", "kind"), [((), None), (("silence:a", "inhibition:b"), "silence"), (("inhibition:b",), "inhibition")]
)
def test_kinds(names: tuple[str, ...], kind: str | None) -> None:
    """A silence, which somebody wanted, goes before an inhibition."""
    assert muted_by(names) == kind
