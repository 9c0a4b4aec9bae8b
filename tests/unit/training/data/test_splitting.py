from dataclasses import replace

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from tests.unit.training.data.builders import row
from training.data.icwsm import Split
from training.data.rows import Row
from training.data.splitting import Shares, by_group, by_time, prove, units
from training.errors import TrainingError

STORY = "the central bank raised its rate by a quarter point on tuesday to slow inflation number"


def many(count: int = 200) -> list[Row]:
    """Rows in groups of two, a fifth of them near duplicates of one another in pairs, a second apart."""
    made = []
    for n in range(count):
        text = f"{n // 40} {STORY.replace('bank', f'bank{n // 40}')}" if n % 5 == 0 else f"thing {n} is so {n * 7}"
        made.append(row(text, number=n, group=f"g{n // 2}", at=float(n)))
    return made


@pytest.mark.parametrize("seed", range(5))
def test_no_group_and_no_near_duplicate_crosses(seed: int) -> None:
    """And no row is lost; the proof, which looks at the parts alone, agrees."""
    divided = by_group(many(), seed=seed)
    assert divided.proof.holds
    assert sorted(r.id for part in divided.parts.values() for r in part) == sorted(r.id for r in many())
    assert divided.left_out == 0


def test_the_split_follows_seed_and_groups_alone() -> None:
    """The same again whatever the order; another with another seed."""
    one, again, other = by_group(many()), by_group(many()[::-1]), by_group(many(), seed=8)
    assert {p: {r.id for r in rows} for p, rows in one.parts.items()} == {
        p: {r.id for r in rows} for p, rows in again.parts.items()
    }
    assert one.parts != other.parts


def test_shares_are_kept_nearly() -> None:
    """On many groups each part is near its share."""
    rows = [row(f"short {n}", number=n) for n in range(4_000)]
    parts = by_group(rows, Shares(0.5, 0.2)).parts
    assert [round(len(parts[part]) / 4_000, 1) for part in Split] == [0.5, 0.2, 0.3]


def test_by_time_every_part_is_later_than_the_one_before() -> None:
    """What would be in two parts stays in the earlier one; the rest is left out, and counted."""
    rows = many()
    divided = by_time(rows)
    assert divided.proof.holds
    assert divided.proof.out_of_order is False
    assert divided.left_out == len(rows) - sum(map(len, divided.parts.values())) > 0


@given(st.lists(st.integers(0, 30), min_size=40, max_size=60))
@settings(max_examples=40)
def test_times_that_are_equal_are_in_one_part(times: list[int]) -> None:
    """However many rows share a moment: the cut is between moments."""
    rows = [row(f"short {n}", number=n, at=float(at)) for n, at in enumerate(times)]
    try:
        divided = by_time(rows, Shares(0.4, 0.3))
    except TrainingError as error:
        if "part is empty" not in str(error):
            raise
        reject()  # nearly all at one moment; were every draw refused, hypothesis would fail the test
    assert divided.proof.holds


def test_the_proof_notices_what_crosses() -> None:
    """A group, a near duplicate and a time in the wrong part, each planted."""
    parts = by_time(many()).parts
    test = parts[Split.TEST]
    stranger = parts[Split.TRAIN][0]
    group = {**parts, Split.TEST: (*test, replace(stranger, text="quite new", at=1e9))}
    near = {**parts, Split.TEST: (*test, replace(stranger, text="Update: " + stranger.text, group="new", at=1e9))}
    early = {**parts, Split.TEST: (*test, replace(stranger, text="quite new", group="new"))}
    proofs = [prove(planted, by_time=True) for planted in (group, near, early)]
    assert [(p.groups_in_two_parts, p.near_pairs_in_two_parts > 0, p.out_of_order) for p in proofs] == [
        (1, False, False),
        (0, True, False),
        (0, False, True),
    ]
    assert not any(p.holds for p in proofs)


def test_groups_are_tied_by_near_duplicates() -> None:
    """Two groups with one story in common are one."""
    rows = [row(STORY, group="b"), row("other", group="b"), row("Update: " + STORY, group="a"), row("more", group="c")]
    assert units(rows) == ["a", "a", "a", "c"]


def test_what_cannot_be_split_is_said() -> None:
    """A part without rows, a row without time, shares of more than all."""
    with pytest.raises(TrainingError, match="part is empty"):
        by_group([row("one", group="g"), row("two", group="g")])
    with pytest.raises(TrainingError, match="--column at=NAME"):
        by_time([row("one")])
    with pytest.raises(TrainingError, match="no rows"):
        by_time([])
    with pytest.raises(TrainingError, match="shares"):
        Shares(0.9, 0.1)
