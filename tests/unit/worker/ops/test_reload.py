import pytest
from structlog.testing import capture_logs

from tests.unit.worker.ops.builders import Clock
from worker.alert.rules import RuleSet
from worker.errors import SettingsError
from worker.ops.reload import EVERY_S, RulesFile

ONE = "rules: [{name: one, detector: {type: share}}]"
TWO = "rules: [{name: two, detector: {type: share}}]"
BROKEN = "rules:\n  - name: one\n    detector: {type: shar}\n    for: 5\n"


class Disk:
    """A file that a test writes, or removes by None."""

    def __init__(self, text: str | None = ONE) -> None:
        self.text = text
        self.reads = 0

    def read(self) -> str:
        """What the file holds."""
        self.reads += 1
        if self.text is None:
            raise SettingsError("alert.rules: rules.yaml cannot be read: No such file or directory")
        return self.text


class Bench:
    """A file that was loaded, and a clock."""

    def __init__(self) -> None:
        self.clock, self.disk = Clock(), Disk()
        self.file = RulesFile(self.disk.read, "rules.yaml", self.clock, self.clock)
        self.loaded = self.file.load()
        self.began_s = self.clock.now_s
        self.file.changed()

    def later(self, text: str | None) -> list[str] | None:
        """Write the file and look at it when it is time; returns the names of new rules, None if there are none."""
        self.disk.text = text
        self.clock.now_s += EVERY_S
        found = self.file.changed()
        return [rule.name for rule in found.rules] if found else None


def test_a_changed_file_gives_new_rules_once() -> None:
    """And then it is as it was."""
    bench = Bench()
    assert bench.later(ONE) is None
    assert bench.later(TWO) == ["two"]
    assert bench.later(TWO) is None
    assert (bench.file.successful, bench.file.succeeded_at_s) == (True, bench.began_s + 2 * EVERY_S)


def test_the_log_says_which_rules_changed() -> None:
    """By name; a rule that says the same in other words has not changed."""
    bench = Bench()
    with capture_logs() as lines:
        bench.later("rules: [{name: two, detector: {type: share}}, {name: one, detector: {type: share, window: 300s}}]")
        bench.later("rules: [{name: one, detector: {type: share}, for: 1m}]")
    told = [(line["event"], line["added"], line["removed"], line["changed"]) for line in lines]
    assert told == [("rules reloaded", ["two"], [], []), ("rules reloaded", [], ["two"], ["one"])]


@pytest.mark.parametrize("text", [BROKEN, "", "rules: []", "\0", "a: ["])
def test_a_broken_file_keeps_the_old_rules_and_says_so_once(text: str) -> None:
    """With the same lines as at a start; the time of the last success stays."""
    bench = Bench()
    with capture_logs() as lines:
        assert [bench.later(text), bench.later(text), bench.later(text)] == [None, None, None]
    assert [line["log_level"] for line in lines] == ["error"]
    assert all(fault.startswith("rules.yaml:") for fault in lines[0]["faults"])
    assert (bench.file.successful, bench.file.succeeded_at_s) == (False, bench.began_s)


def test_every_fault_is_told() -> None:
    """One line each, with what to write instead."""
    bench = Bench()
    with capture_logs() as lines:
        bench.later(BROKEN)
    assert [fault.split(": ")[1] for fault in lines[0]["faults"]] == ["rules[0].detector", "rules[0].for"]
    assert "did you mean `share`?" in lines[0]["faults"][0]


def test_another_fault_is_told_too() -> None:
    """Each content once: who mends half of it hears of the other half."""
    bench = Bench()
    with capture_logs() as lines:
        for text in (BROKEN, BROKEN.replace("shar}", "share}"), BROKEN.replace("shar}", "share}")):
            bench.later(text)
    assert [len(line["faults"]) for line in lines] == [2, 1]


def test_a_file_that_is_mended_is_in_force() -> None:
    """With new rules, or back at the old ones, which need not be taken again."""
    bench = Bench()
    assert [bench.later(BROKEN), bench.later(TWO)] == [None, ["two"]]
    assert bench.file.successful
    assert [bench.later(BROKEN), bench.later(TWO)] == [None, None]
    assert bench.file.successful


def test_a_file_that_is_gone_keeps_the_old_rules() -> None:
    """It may be gone for a moment, while it is being swapped."""
    bench = Bench()
    with capture_logs() as lines:
        assert [bench.later(None), bench.later(None)] == [None, None]
        assert not bench.file.successful
        assert bench.later(ONE) is None
    assert [line["log_level"] for line in lines] == ["error", "info"]
    assert bench.file.successful


def test_it_is_looked_at_every_few_seconds() -> None:
    """The role asks in each cycle; the disk is not asked as often."""
    bench = Bench()
    before = bench.disk.reads
    for _ in range(10):
        bench.file.changed()
    assert bench.disk.reads == before
    bench.clock.now_s += EVERY_S
    bench.file.changed()
    assert bench.disk.reads == before + 1


def test_a_hurry_does_not_wait() -> None:
    """SIGHUP has it looked at in the next cycle, once."""
    bench = Bench()
    bench.disk.text = TWO
    assert bench.file.changed() is None
    bench.file.hurry()
    assert bench.file.changed() is not None
    assert bench.file.changed() is None


def test_a_wrong_file_ends_the_start() -> None:
    """There are no old rules to go on with."""
    for text in (BROKEN, None):
        with pytest.raises(SettingsError, match=r"rules\.yaml"):
            RulesFile(Disk(text).read, "rules.yaml").load()


def refuse_long_rules(rules: RuleSet) -> None:
    """Stand in for the settings that rules must go with."""
    if rules.span_ms > 300_000:
        raise SettingsError("redis.state_ttl_s: state is forgotten after 5m")


def test_rules_that_do_not_go_with_the_settings_are_refused() -> None:
    """At the start, and at a reload, where the rules before go on."""
    disk, clock = Disk(ONE.replace("share", "volume")), Clock()
    with pytest.raises(SettingsError, match="state_ttl_s"):
        RulesFile(disk.read, "rules.yaml", clock, clock, refuse_long_rules).load()
    disk.text = ONE
    file = RulesFile(disk.read, "rules.yaml", clock, clock, refuse_long_rules)
    file.load()
    disk.text = TWO.replace("share", "shift")
    with capture_logs() as lines:
        assert file.changed() is None
    assert ([line["faults"] for line in lines], file.successful) == (
        [["redis.state_ttl_s: state is forgotten after 5m"]],
        False,
    )
