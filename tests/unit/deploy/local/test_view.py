import io
import os

from rich.console import Console, RenderableType

from deploy.local.report import Health, Kind, PartReport
from deploy.local.state import StackState
from deploy.local.view import as_json, memory_mib, table

KAFKA = PartReport("kafka", Kind.STARTED, Health.READY, "apache-kafka 4.3.1", "127.0.0.1:1", {"broker": 12345}, (os.getpid(),))
MODEL = PartReport("triton", Kind.STAND_IN, Health.READY, "onnx in-process", note="no Triton for this machine")
DEAD = PartReport("redis", Kind.STARTED, Health.DEAD, "redis 7.0.15", log="redis.log", note="ended with status 137")


def text(shown: RenderableType) -> str:
    """As on a terminal of 100 columns."""
    console = Console(width=100, file=io.StringIO())
    with console.capture() as capture:
        console.print(shown)
    return capture.get()


def test_the_table_has_each_part_and_what_is_to_be_known_of_it() -> None:
    """Version, where it comes from, ports, health, and the notes in full."""
    shown = text(table([KAFKA, DEAD, MODEL]))
    for words in ("apache-kafka 4.3.1 (started)", "broker 12345", "dead", "redis: ended with status 137", "(stand-in)"):
        assert words in shown
    assert "triton: no Triton for this machine" in shown


def test_json_says_whether_all_is_well() -> None:
    """`up` alone when nothing is; `ready` only when every part serves and the start is over."""
    assert as_json(None, "file") == {"up": False}
    assert as_json(StackState(1, ready=True, parts=(KAFKA, MODEL)), "file")["ready"]
    assert not as_json(StackState(1, ready=True, parts=(KAFKA, DEAD)), "file")["ready"]
    assert not as_json(StackState(1, parts=()), "file")["ready"]
    assert as_json(StackState(1, ready=True, parts=(KAFKA,)), "file")["parts"][0]["memory_mib"] > 0


def test_memory_of_processes_that_have_ended_is_nothing() -> None:
    """Between two looks a process may be gone."""
    assert memory_mib([2**30]) == 0
    assert memory_mib([os.getpid()]) > 0
