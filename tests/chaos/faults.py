"""The catalogue of faults."""

from __future__ import annotations

import itertools

from tests.chaos.part_faults import kafka_faults, store_and_model_faults
from tests.chaos.worker_faults import input_faults, worker_faults
from tests.chaos.world import Fault

CATALOGUE: dict[str, Fault] = {
    fault.kind.name: fault
    for fault in itertools.chain(worker_faults(), kafka_faults(), store_and_model_faults(), input_faults())
}
"""Every fault by its name."""
