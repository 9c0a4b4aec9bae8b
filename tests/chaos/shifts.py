"""How far the clock of a worker is set off: what the fault does and the verifier allows for."""

NEAREST_JUMP_S = 600.0
"""More than lies between the decoding of a message and the writing of its prediction, so that it can be told."""
FARTHEST_JUMP_S = 20 * 86_400.0
"""Less than lies between the clock and any time in the plan."""
