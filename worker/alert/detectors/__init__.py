"""What is too much: one module per detector, each a pure function that answers with a `Reading`.

A detector is a fold over the buckets of event time, oldest first: it is shown each bucket once, when it is closed, with the
figures of the window that ends there, and may carry a memory of fixed size from one to the next. So a signal costs the same
however long the window and the memory are, and the order of arrival makes no difference.
"""

from worker.alert.detectors import counts, share, shift, single
from worker.alert.detectors.baseline import CountBaseline
from worker.alert.detectors.reading import Reading, Verdict, View
from worker.alert.detectors.share import ShareMemory
from worker.alert.detectors.shift import ShiftMemory
from worker.alert.parameters import Detector, ShareDetector, ShiftDetector, SingleDetector, SurgeDetector, VolumeDetector

__all__ = ["Memory", "Reading", "ShareMemory", "ShiftMemory", "Verdict", "View", "judge"]

Memory = CountBaseline | ShareMemory | ShiftMemory | None
"""What a detector carries from bucket to bucket; None at first, and again after a silence longer than its `memory_ms`."""


def judge(parameters: Detector, memory: Memory, view: View) -> tuple[Memory, Reading]:
    """Return what the rule's detector makes of the newest bucket, and what it carries on."""
    match parameters:
        case ShareDetector():
            return share.judge(parameters, memory if isinstance(memory, ShareMemory) else ShareMemory(), view)
        case SingleDetector():
            return None, single.judge(parameters, view)
        case ShiftDetector():
            return shift.judge(parameters, memory if isinstance(memory, ShiftMemory) else ShiftMemory(), view)
        case SurgeDetector():
            return counts.surge(parameters, memory if isinstance(memory, CountBaseline) else CountBaseline(), view)
        case VolumeDetector():
            return counts.volume(parameters, memory if isinstance(memory, CountBaseline) else CountBaseline(), view)
