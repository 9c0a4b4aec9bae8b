"""Whether the store keeps state for as long as the rules look back. Pure."""

from worker.alert.parameters import duration_text
from worker.alert.rules import RuleSet
from worker.errors import SettingsError


def require_kept(rules: RuleSet, ttl_ms: int, lateness_ms: int) -> None:
    """Hold the rules to the time to live of a key's state, which begins anew whenever the key has a signal.

    Raises:
        SettingsError: a rule's state may matter after a longer silence than that, and would be gone without a word.
    """
    needed = {rule.name: rule.span_ms + lateness_ms for rule in rules.rules}
    short = [f"{name} looks back {duration_text(span_ms)}" for name, span_ms in needed.items() if span_ms > ttl_ms]
    if short:
        least_s = -(-max(needed.values()) // 1_000)
        raise SettingsError(
            f"redis.state_ttl_s: state is forgotten after {duration_text(ttl_ms)} of silence, but {'; '.join(short)} (window or"
            f" memory, `for`, `keep_firing_for`, flap guard and lateness together); set TIDINGS_REDIS__STATE_TTL_S to {least_s}"
            " or more, or shorten the rules"
        )
