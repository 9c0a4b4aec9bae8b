"""build/fuzz/report.json and the few lines that say the same to a person."""

import json
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tests.fuzz.parsers import Parsed
from tests.fuzz.running import Plan, Result

PACKAGES = ("tidings", "confluent-kafka", "msgspec", "pydantic", "tokenizers", "pyahocorasick", "atheris")


def versions(stack: dict[str, str]) -> dict[str, str]:
    """Return what it ran on."""
    found = {"python": platform.python_version(), **stack}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found


def as_dict(plan: Plan, result: Result, parsed: list[Parsed], stack: dict[str, str]) -> dict[str, Any]:
    """Return the report. `inputs` counts messages through the worker; `crashes` those of the worker and of parsers."""
    account = result.account
    return {
        "inputs": account.messages,
        "crashes": result.crashes + sum(one.crashes for one in parsed),
        "stalls": result.stalls,
        **account.faults(),
        "predictions": account.predictions,
        "dead_letters": dict(account.reasons.most_common()),
        "seconds": round(result.seconds, 1),
        "messages_per_second": round(account.accounted / result.seconds, 1) if result.seconds else 0.0,
        "rss_growth_ratio": result.rss_growth_ratio,
        "rss_max_bytes": max((rss for _, rss in result.rss), default=0),
        "parsers": {one.name: one.as_dict() for one in parsed},
        "seed": plan.seed,
        "versions": versions(stack),
        "examples": account.examples,
    }


FAULTS = ("crashes", "stalls", "unaccounted", "doubled", "altered", "strangers", "wrongly_refused")


MAX_GROWTH = 1.5
"""Memory late in the run over early; more is a leak."""


def faults(report: dict[str, Any]) -> dict[str, float]:
    """Return the counts that must be 0 and are not, and the memory's growth where it is too much."""
    wrong: dict[str, float] = {name: report[name] for name in FAULTS if report[name] != 0}
    growth = report["rss_growth_ratio"]
    return wrong | ({"rss_growth_ratio": growth} if growth is not None and growth > MAX_GROWTH else {})


def as_text(report: dict[str, Any]) -> str:
    """Return a few lines for a person."""
    wrong = faults(report)
    letters = ", ".join(f"{reason} {count:,}" for reason, count in report["dead_letters"].items())
    lines = [
        f"{report['inputs']:,} messages in {report['seconds']:,} s, {report['messages_per_second']:,}/s, seed {report['seed']}",
        f"predictions {report['predictions']:,}; dead letters {sum(report['dead_letters'].values()):,}: {letters}",
        f"the worker's memory: at most {report['rss_max_bytes'] / 2**20:,.0f} MiB, late to early {report['rss_growth_ratio']}",
        *(
            f"parser {name}: {one['executions']:,} executions, {one['coverage']} edges, {one['crashes']} crashes"
            + (f" ({one['note']})" if one["note"] else "")
            for name, one in report["parsers"].items()
        ),
        *(f"  {example}" for example in report["examples"]),
        "wrong: " + ", ".join(f"{name} {count:,}" for name, count in wrong.items())
        if wrong
        else "every count that must be 0 is 0",
    ]
    return "\n".join(lines) + "\n"


def write(report: dict[str, Any], folder: Path) -> None:
    """Write report.json and report.txt."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    (folder / "report.txt").write_text(as_text(report), encoding="utf-8")
