from pathlib import Path

import pytest

from tests.unit.worker.alert.builders import RULE, rules
from tests.unit.worker.alert.test_rules_guide import BLOCKS as RULES_OF_THE_GUIDE
from worker.alert.keeping import require_kept
from worker.errors import SettingsError
from worker.settings import RedisSettings

SPAN_MS = 50_000 + 20_000 + 30_000 + 3_600_000
GUARDED = RULE + "    for: 20s\n    keep_firing_for: 30s\n    flap_guard: {fires: 2, within: 1h}\n"
SHIFT = RULE + "  - name: mood\n    detector: {type: shift, half_life: 2d}\n"


def test_state_must_outlive_what_the_rules_look_back() -> None:
    """All that a rule's state can reach back counts, and the lateness by which the watermark lags."""
    require_kept(rules(GUARDED), SPAN_MS + 5_000, 5_000)
    with pytest.raises(SettingsError) as refused:
        require_kept(rules(GUARDED), SPAN_MS + 4_999, 5_000)
    assert str(refused.value).startswith(
        "redis.state_ttl_s: state is forgotten after 1h1m44s999ms of silence, but bad-press looks back 1h1m45s ("
    )
    assert "set TIDINGS_REDIS__STATE_TTL_S to 3705 or more" in str(refused.value)


def test_the_rules_that_are_too_long_are_named_and_no_others() -> None:
    """What to set is enough for the longest, rounded up to whole seconds."""
    with pytest.raises(SettingsError, match=r"mood looks back 20d1ms \(.*S to 1728001 or more") as refused:
        require_kept(rules(SHIFT), 60_000, 1)
    assert "bad-press" not in str(refused.value)
    with pytest.raises(SettingsError, match=r"but bad-press looks back 50s1ms; mood looks back 20d1ms \("):
        require_kept(rules(SHIFT), 1, 1)


@pytest.mark.parametrize("kind", ["share", "share, rise: 0.1", "surge", "shift", "single", "volume"])
def test_by_default_state_is_kept_for_every_detector(kind: str) -> None:
    """With its default parameters and the default settings."""
    require_kept(rules(f"rules: [{{name: a, detector: {{type: {kind}}}}}]"), int(RedisSettings().state_ttl_s * 1_000), 5_000)


@pytest.mark.parametrize("rule_file", [*RULES_OF_THE_GUIDE, Path("tests/benchmarks/planted/rules.yaml").read_text()])
def test_rules_that_are_shown_or_measured_can_be_deployed(rule_file: str) -> None:
    """By the default settings."""
    require_kept(rules(rule_file), int(RedisSettings().state_ttl_s * 1_000), 5_000)
