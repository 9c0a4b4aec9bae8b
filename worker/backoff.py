"""How long to wait before trying again. Pure: the jitter comes in as an argument.

https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter: with full jitter, those who failed together do not
come back together.
"""


def back_off_s(attempt: int, max_s: float, jitter: float, first_s: float = 0.1) -> float:
    """Return how long to wait, attempts counted from 1: full jitter over a range that doubles from `first_s` up to `max_s`.

    `jitter` is a random number in [0, 1].
    """
    return min(max_s, first_s * 2.0 ** min(attempt - 1, 30)) * jitter
