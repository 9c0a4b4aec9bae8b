"""The audit tells vulnerabilities from an index that does not tell of any."""

import json
from typing import Any

import pytest

from tests.security import audit
from tests.security.audit import Outcome
from tests.security.http_servers import answering

ADVISORY = {"id": "GHSA-aaaa-bbbb-cccc", "modified": "2026-01-01T00:00:00Z", "summary": "bad", "details": "bad"}


@pytest.mark.parametrize(
    ("answer", "silence"),
    [
        ((404, {}), "no JSON API"),
        ((200, {"info": {}}), "knows of no vulnerability"),
        ((200, {"vulnerabilities": []}), "knows of no vulnerability"),
        ((200, {"vulnerabilities": [{"id": "CVE-2014-1402"}]}), None),
    ],
)
def test_an_index_that_does_not_tell_is_recognised(answer: Any, silence: str | None) -> None:
    """It is asked about a release that has known vulnerabilities; whoever knows none has no list."""
    with answering(lambda _path, _body: answer) as url:
        found = audit.tells(url)
    assert found is None if silence is None else silence in (found or "")


def test_an_index_that_is_away_does_not_tell() -> None:
    """Without a network there is no audit, and it says so."""
    assert "cannot be asked" in (audit.tells("http://127.0.0.1:9") or "")


def report(*dependencies: dict[str, Any]) -> tuple[int, str, str]:
    """What pip-audit writes."""
    return 0, json.dumps({"dependencies": list(dependencies), "fixes": []}), ""


CLEAN = {"name": "good", "version": "1", "vulns": []}
BAD = {"name": "bad", "version": "2", "vulns": [{"id": "CVE-1", "fix_versions": ["3"], "description": ""}]}
SKIPPED = {"name": "gone", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("run", "silent", "outcome", "says"),
    [
        (report(CLEAN), None, Outcome.CLEAN, "1 dependencies without a known vulnerability"),
        (report(CLEAN, SKIPPED), None, Outcome.CLEAN, "not looked up: gone"),
        (report(SKIPPED), None, Outcome.CLEAN, "not audited"),
        (report(CLEAN, BAD), None, Outcome.FOUND, "bad 2: CVE-1 (fixed in 3)"),
        (report(BAD), "no list", Outcome.CLEAN, "not audited: the index does not tell of vulnerabilities: no list"),
        ((1, "", "Traceback\nOSError: no"), None, Outcome.FAILED, "OSError: no"),
    ],
)
def test_what_comes_of_it(run: tuple[int, str, str], silent: str | None, outcome: Outcome, says: str) -> None:
    """Found, clean, not told, and failed are four things."""
    answer = audit.audit(lambda: run, silent)
    assert answer.outcome is outcome
    assert says in answer.text


@pytest.mark.timeout(120)
@pytest.mark.parametrize("vulnerable", [True, False])
def test_pip_audit_itself_over_our_pins(vulnerable: bool) -> None:
    """The real program, the real constraints, an advisory service of the test's own that knows one bad release, or none."""

    def advisories(_path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        name = json.loads(body)["package"]["name"]
        ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "9999"}]}]
        affected = [{"package": {"name": name, "ecosystem": "PyPI"}, "ranges": ranges}]
        return 200, {"vulns": [{**ADVISORY, "affected": affected}]} if vulnerable and name == "redis" else {}

    with answering(advisories) as url:
        answer = audit.audit(lambda: audit.pip_audit(["-s", "osv", "--osv-url", f"{url}/v1/query"]), None)
    assert answer.outcome is (Outcome.FOUND if vulnerable else Outcome.CLEAN), answer.text
    assert ("redis" in answer.text and "GHSA-aaaa-bbbb-cccc" in answer.text) is vulnerable
