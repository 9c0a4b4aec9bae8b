"""What a panel is. Every one says what it means, in which unit, from where on it is bad, and where to read on.

`$s` stands for the selection of namespace and instance, `$g` for that of the namespace alone (recorded rules have no instance).
"""

from typing import Literal, NamedTuple

_SELECTED = 'namespace=~"$namespace",instance=~"$instance"'


class Query(NamedTuple):
    """One query and the name of its lines."""

    expression: str
    legend: str


class Panel(NamedTuple):
    """One panel; `thresholds` are one or two values, yellow (where there are two) and red from there on."""

    title: str
    description: str
    unit: str
    queries: tuple[Query, ...]
    thresholds: tuple[float, ...] = ()
    kind: Literal["timeseries", "stat"] = "timeseries"
    runbooks: tuple[str, ...] = ()
    width: int = 12
    height: int = 8
    stacked: bool = False
    less_is_worse: bool = False


class Dashboard(NamedTuple):
    """One dashboard."""

    uid: str
    title: str
    description: str
    panels: tuple[Panel, ...]


def query(expression: str, legend: str = "") -> Query:
    """Return a query with its selection written out."""
    return Query(expression.replace("$s", _SELECTED).replace("$g", 'namespace=~"$namespace"'), legend or "__auto")


def rate(metric: str, by: str = "", where: str = "") -> str:
    """Return the rate of a counter, over the workers selected; `where` are further matchers."""
    grouped = f"sum by ({by})" if by else "sum"
    return f"{grouped} (rate({metric}{{$s{',' + where if where else ''}}}[$__rate_interval]))"


def quantile(share: float, histogram: str, by: str = "", where: str = "") -> str:
    """Return a quantile of a histogram."""
    return f"histogram_quantile({share}, {rate(f'{histogram}_bucket', f'le, {by}' if by else 'le', where)})"


def quantiles(histogram: str, where: str = "") -> tuple[Query, ...]:
    """Return median, p95 and p99 as queries."""
    return tuple(query(quantile(share, histogram, where=where), f"p{round(share * 100)}") for share in (0.5, 0.95, 0.99))


def stat(title: str, description: str, unit: str, expression: str, thresholds: tuple[float, ...] = (), *more: str) -> Panel:
    """Return one number; `more` are runbooks."""
    return Panel(title, description, unit, (query(expression),), thresholds, "stat", more, width=4, height=4)
