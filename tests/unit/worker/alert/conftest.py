"""What holds for each test of the alert code."""

import sys

import pytest

_CACHED_IN = ("worker.alert", "tests.unit.worker.alert.builders")


@pytest.fixture(autouse=True)
def _nothing_cached() -> None:
    """A test works out for itself what an earlier one, or mutmut before it forked, has left in a cache."""
    modules = [module for name, module in sys.modules.items() if name.startswith(_CACHED_IN)]
    for value in [value for module in modules for value in vars(module).values()]:
        if callable(clear := getattr(value, "cache_clear", None)):
            clear()
