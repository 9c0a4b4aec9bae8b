"""Look the pinned dependencies up among known vulnerabilities: `python -m tests.security.audit [pip-audit's options]`.

pip-audit asks the index's JSON API, which a mirror may not have, or have without vulnerabilities. Silence of such an index is
no clean bill, and is said for what it is.

Exits with 0 if the index tells of vulnerabilities and there are none, or if it does not tell (in plain words); with 1 if there
are some; with 2 if pip-audit itself failed.
"""

import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple

CONSTRAINTS = Path(__file__).parents[2] / "constraints.txt"
CANARY = ("jinja2", "2.4.1")
"""A release with advisories older than any index in use (CVE-2014-1402, CVE-2019-10906): who knows none, does not tell."""
PYPI = "https://pypi.org"
_TIMEOUT_S = 600


class Outcome(IntEnum):
    """What came of it; the number is the exit status."""

    CLEAN = 0
    FOUND = 1
    FAILED = 2


class Answer(NamedTuple):
    """An outcome and what to say of it."""

    outcome: Outcome
    text: str


def tells(base: str) -> str | None:
    """Say why the index at `base` does not tell of vulnerabilities; None if it does."""
    name, version = CANARY
    url = f"{base}/pypi/{name}/{version}/json"
    try:
        with urllib.request.urlopen(url, timeout=20) as response:  # noqa: S310 - https, or the loopback server of a test
            known = json.load(response).get("vulnerabilities")
    except urllib.error.HTTPError as error:
        return f"it has no JSON API (status {error.code})"
    except (OSError, ValueError) as error:
        return f"its JSON API cannot be asked ({type(error).__name__})"
    return None if known else f"it knows of no vulnerability of {name} {version}, which has some"


def audit(run: Callable[[], tuple[int, str, str]], silent: str | None) -> Answer:
    """Judge one run of pip-audit.

    Args:
        run: gives its exit status, its JSON report and what it complained of.
        silent: why the index does not tell of vulnerabilities, None if it does.
    """
    if silent is not None:
        return Answer(Outcome.CLEAN, f"not audited: the index does not tell of vulnerabilities: {silent}")
    status, report, complaint = run()
    try:
        dependencies: list[dict[str, Any]] = json.loads(report)["dependencies"]
    except (ValueError, KeyError, TypeError):
        last = complaint.strip().rpartition("\n")[2]
        return Answer(Outcome.FAILED, f"pip-audit failed with status {status}: {last}")
    found = [_line(one) for one in dependencies if one.get("vulns")]
    if found:
        return Answer(Outcome.FOUND, "\n".join(["vulnerable dependencies:", *found]))
    if all("skip_reason" in one for one in dependencies):
        return Answer(Outcome.CLEAN, "not audited: the index knows none of the dependencies")
    skipped = [f"{one['name']} ({one['skip_reason']})" for one in dependencies if "skip_reason" in one]
    told = f"{len(dependencies) - len(skipped)} dependencies without a known vulnerability"
    return Answer(Outcome.CLEAN, told + (f"; not looked up: {', '.join(skipped)}" if skipped else ""))


def _line(dependency: dict[str, Any]) -> str:
    known = ", ".join(
        f"{one['id']} (fixed in {', '.join(one['fix_versions']) or 'nothing yet'})" for one in dependency["vulns"]
    )
    return f"  {dependency['name']} {dependency['version']}: {known}"


def pip_audit(options: Sequence[str]) -> tuple[int, str, str]:
    """Run it over the constraints; its exit status, its report, and what it wrote besides."""
    command = [
        sys.executable,
        "-m",
        "pip_audit",
        "-r",
        str(CONSTRAINTS),
        "--no-deps",
        "--disable-pip",
        "-s",
        "pypi",
        "-f",
        "json",
    ]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=_TIMEOUT_S, check=False)
    return done.returncode, done.stdout, done.stderr


def main(options: Sequence[str]) -> int:
    """Audit, say what came of it, and return the exit status."""
    answer = audit(lambda: pip_audit(options), tells(PYPI))
    sys.stdout.write(answer.text + "\n")
    return answer.outcome


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
