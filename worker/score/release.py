"""Another version of the model, ready to be asked, that a running score role may go over to."""

import msgspec

from worker.messages import ModelRef
from worker.ports import Model
from worker.score.calibration import Calibration


class Release(msgspec.Struct, frozen=True):
    """A version of the model: who answers, how predictions name it, and how its logits are read."""

    model: Model
    ref: ModelRef
    calibration: Calibration
    pads_freely: bool = False
    """Whether its answers are the same however far a text is padded."""
