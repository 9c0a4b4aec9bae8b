"""Set up a second model beside the one that serves, if the settings name one; nothing of it holds up the worker's start."""

import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

from worker.adapters.kafka import BestEffortProducer
from worker.errors import ContractError
from worker.ops.health import Health
from worker.ops.observed import ObservedModel
from worker.ops.shadowed import ShadowWatch
from worker.ops.start import Start
from worker.ops.watch import ModelWatch, RoleWatch
from worker.ports import Model
from worker.score.calibration import Calibration
from worker.score.contract import Contract, parse_contract, shadow_mismatches
from worker.score.release import Release
from worker.score.shadow import Shadow, Shadowing, ShadowLimits, Unshadowed
from worker.settings import Settings


def shadowing(
    settings: Settings, serving: Contract, connect: Callable[[Settings, Contract], Model], stack: ExitStack, start: Start
) -> Shadowing:
    """Return the second model, which is opened when it is first needed; `stack` closes it.

    Its failures are counted by themselves: they say nothing of whether the worker is ready.
    """
    if settings.shadow.version is None:
        return Unshadowed()
    model, unseen = ModelWatch(), RoleWatch("shadow", Health(0, time.time, time.monotonic))

    def open_release() -> Release:
        contract = shadow_contract(settings, serving)
        observed = ObservedModel(connect(settings, contract), unseen, model)
        return Release(observed, contract.model.ref, Calibration.from_contract(contract))

    limits = ShadowLimits(settings.kafka.topics.shadow, settings.shadow.share, serving.pad_id, settings.shadow.in_flight)
    producer = stack.enter_context(closing(BestEffortProducer(settings.kafka)))
    shadow = stack.enter_context(closing(Shadow(open_release, producer.offer, limits, time.monotonic)))
    start.watch.shadow = ShadowWatch(shadow.counts, model)
    return shadow


def shadow_contract(settings: Settings, serving: Contract) -> Contract:
    """Read the contract of the version to shadow; raises ContractError if it is not there, or does not go with the first."""
    path = _folder(settings) / "contract.json"
    try:
        contract = parse_contract(path.read_bytes(), str(path))
    except OSError as error:
        raise ContractError(f"{path} cannot be read ({error.strerror}); `tidings promote --beside` puts it there") from error
    if wrong := shadow_mismatches(serving, contract):
        raise ContractError(f"{path}: {'; '.join(wrong)}")
    return contract


def _folder(settings: Settings) -> Path:
    return settings.model.repository / settings.model.name / str(settings.shadow.version)
