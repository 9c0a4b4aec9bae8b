"""What is known of a run when it is over, as frozen values. Times are seconds since the faulty passage began."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tests.chaos.verify import Verdict


@dataclass(frozen=True)
class FaultDone:
    """One fault of the schedule and what became of it.

    `injected` is False where it could not be brought about, `effective` where it was and nothing could come of it.
    """

    kind: str
    target: str
    start_s: float
    end_s: float
    detail: str
    injected: bool
    effective: bool = True

    @property
    def counts(self) -> bool:
        """Whether it is one of the faults that a run can say it went through."""
        return self.injected and self.effective


@dataclass(frozen=True)
class Sample:
    """A process at one moment: `process` names its place (`score-1`), `age_s` is how long this one has been in it."""

    at_s: float
    process: str
    pid: int
    age_s: float
    rss_bytes: int
    open_files: int

    @property
    def role(self) -> str:
        """The name without its number."""
        return self.process.rstrip("0123456789").rstrip("-")


@dataclass(frozen=True)
class Progress:
    """How far the run was: messages sent, messages with their outcome, alert events on the topic."""

    at_s: float
    sent: int
    predicted: int
    alerts: int = 0


@dataclass(frozen=True)
class RunRecord:
    """All of it.

    Attributes:
        seed: of the schedule and the plan.
        minutes: for which faults went on.
        verdict: what the verifier found.
        faults: in the order of their beginning.
        samples: of the workers' memory and open files.
        progress: now and then.
        versions: of the parts, by their name.
        orphans: processes that outlived the run, one line each.
        worker_restarts: by place.
        forced: workers that did not leave when they were asked to.
        stuck: what did not come to its end, one line each.
        processor_share: of all cores, what was busy while faults went on, 0 to 1.
        planted: the bug that was planted into the workers, if any.
        input_doubled: messages that the input topics hold more than once, which is the sender's doing and no fault.
        input_missing: messages that they do not hold at all, likewise.
    """

    seed: int
    minutes: float
    verdict: Verdict
    faults: Sequence[FaultDone] = ()
    samples: Sequence[Sample] = ()
    progress: Sequence[Progress] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    orphans: Sequence[str] = ()
    worker_restarts: Mapping[str, int] = field(default_factory=dict)
    forced: Sequence[str] = ()
    stuck: Sequence[str] = ()
    processor_share: float = 0.0
    planted: str = ""
    input_doubled: Sequence[str] = ()
    input_missing: Sequence[str] = ()
