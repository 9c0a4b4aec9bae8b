import pytest
from typer.testing import CliRunner

from training.errors import TrainingError
from training.promote.server import Server
from worker.cli import build


@pytest.mark.parametrize("url", ["127.0.0.1:1", "http://127.0.0.1:1"])
def test_a_server_that_is_not_there_is_one_sentence_with_the_remedy(url: str) -> None:
    """Whether the scheme is named or not."""
    for call in (Server(url, "sentiment").load, lambda: Server(url, "sentiment").serves("1")):
        with pytest.raises(TrainingError, match=r"does not answer .*--triton names the HTTP endpoint"):
            call()


@pytest.mark.parametrize("arguments", [[], ["2", "--rollback"], ["2", "--adapter", "a"]])
def test_one_thing_is_promoted_at_a_time(arguments: list[str]) -> None:
    """Nothing is done when it is not clear what to do."""
    done = CliRunner().invoke(build(), ["promote", *arguments])
    assert done.exit_code == 1
    assert "name one thing to promote" in done.output
