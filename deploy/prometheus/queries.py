"""Which metrics a PromQL expression names. Prometheus' own parser says whether it is right; this says only what it asks for."""

import re

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'')
_BRACES = re.compile(r"\{[^}]*\}|\[[^\]]*\]")
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)")
_CALL = re.compile(r"\b[a-z_][a-z_0-9]*\s*(?=\()", re.IGNORECASE)
_NAME = re.compile(r"(?<![\w:.$])[a-zA-Z_:][\w:]*")
_WORDS = frozenset({"and", "or", "unless", "bool", "offset", "by", "without", "inf", "nan"})


def metrics_of(expression: str) -> frozenset[str]:
    """Return the names of the series that an expression selects."""
    bare = _STRING.sub("", expression)
    for noise in (_BRACES, _GROUPING, _CALL):
        bare = noise.sub(" ", bare)
    return frozenset(name for name in _NAME.findall(bare) if name.lower() not in _WORDS)


def filled_in(expression: str) -> str:
    """Return a dashboard's expression as Prometheus gets it, with everything selected."""
    return re.sub(r"\$(namespace|instance)", ".*", expression).replace("$__rate_interval", "1m")
