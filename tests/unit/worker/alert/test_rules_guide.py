"""docs/rules.md: what it shows can be used as it stands, and it knows every detector and every field of a rule."""

import re
from pathlib import Path

import pytest

from tests.unit.worker.alert.builders import detector_of
from worker.alert.detectors import ShareMemory
from worker.alert.detectors.share import usual_of
from worker.alert.parameters import ShareDetector
from worker.alert.rules import Rule, Scope, parse_rules

GUIDE = Path("docs/rules.md").read_text()
BLOCKS = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)


@pytest.mark.parametrize("text", BLOCKS)
def test_every_rule_file_in_the_guide_is_a_good_one(text: str) -> None:
    """Copied from there it must pass."""
    assert parse_rules(text).rules


def test_the_guide_names_every_detector_and_field() -> None:
    """Who reads it hears of all there is."""
    assert len(BLOCKS) == 2
    detectors = {"share", "surge", "shift", "single", "volume"}
    fields = {field.alias or name for name, field in Rule.model_fields.items()} | set(Scope.model_fields)
    assert {name for name in detectors | fields if not re.search(rf"\b{name}\b", GUIDE)} == set()


def test_the_usual_share_of_an_unknown_key_is_as_told() -> None:
    """And what it is worth, and how fast it is forgotten."""
    assert "a usual share of 0.25, worth 10 messages" in GUIDE
    assert usual_of(ShareMemory()) == 0.25
    assert usual_of(ShareMemory(10.0, 10.0, 0)) == (1 + 0.25) / 2
    assert "(`half_life`, 3 days)" in GUIDE
    assert detector_of(BLOCKS[1], ShareDetector).half_life == 3 * 86_400_000
