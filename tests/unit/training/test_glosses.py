import zipfile

import pytest

import training.glosses
from training.errors import TrainingError
from training.glosses import load_glosses, read_gloss

NOUN = '00001740 03 n 01 living_thing 0 003 ~ 00001930 n 0000 | a living (or once living) entity; "it lives"  '
LICENCE = "  1 This software and database is being provided to you, the LICENSEE, by | Princeton"


def jar(folder, *lines: str):
    """A jar with these lines in each of WordNet's files."""
    path = folder / "wordnet.jar"
    with zipfile.ZipFile(path, "w") as archive:
        for part in ("data.noun", "data.verb", "data.adj"):
            archive.writestr(f"net/sf/extjwnl/data/wordnet/wn31/{part}", "\n".join(lines))
    return path


def test_a_gloss_comes_after_its_word() -> None:
    """As a person would say it; the licence at the head of each file is no gloss."""
    assert read_gloss(NOUN) == 'living thing: a living (or once living) entity; "it lives"'
    assert read_gloss(LICENCE) is None
    assert read_gloss("") is None


def test_none_is_drawn_twice_and_the_seed_decides(tmp_path, monkeypatch) -> None:
    """The same seed draws the same; there may be fewer than asked for."""
    lines = [NOUN.replace("living_thing", f"thing_{number}") for number in range(40)]
    monkeypatch.setattr(training.glosses, "_jar", lambda: jar(tmp_path, LICENCE, *lines))
    assert load_glosses(10, 3) == load_glosses(10, 3) != load_glosses(10, 4)
    assert len(set(load_glosses(1000, 3))) == 40


def test_another_jar_is_refused(tmp_path, monkeypatch) -> None:
    """By what it lacks."""
    path = tmp_path / "other.jar"
    zipfile.ZipFile(path, "w").close()
    monkeypatch.setattr(training.glosses, "_jar", lambda: path)
    with pytest.raises(TrainingError, match="not the expected release"):
        load_glosses(10, 3)
