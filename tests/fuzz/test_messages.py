"""The million in small: mutated messages through a real worker, every one accounted for."""

from pathlib import Path

import pytest

from deploy.local.stack import LocalStack
from tests.fuzz.report import as_dict, as_text, faults
from tests.fuzz.running import Plan, run

MESSAGES = 20_000


@pytest.mark.slow
def test_every_message_is_accounted_for(stack: LocalStack, tmp_path: Path) -> None:
    """No crash, no stall, nothing lost, doubled or altered, whatever the bytes."""
    plan = Plan(MESSAGES, 7, stack.settings_env(), tmp_path)
    result = run(plan, lambda _account: None)
    report = as_dict(plan, result, [], stack.versions())
    assert faults(report) == {}, as_text(report) + (tmp_path / "worker.log").read_text()[-5_000:]
    assert report["predictions"] + sum(report["dead_letters"].values()) == MESSAGES
    assert min(report["predictions"], sum(report["dead_letters"].values())) > MESSAGES / 5
    assert set(report["dead_letters"]) >= {"not_json", "not_utf8", "invalid_field", "too_deep", "body_too_large", "empty_body"}
