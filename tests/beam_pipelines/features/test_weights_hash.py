import hashlib
import zipfile

import pytest

from beam_pipelines.common.errors import UserError
from beam_pipelines.features.config import LogMelConfig, MusicnnConfig, YamnetConfig
from beam_pipelines.features.weights_hash import require_same_sources, source_hashes


@pytest.fixture
def features(tmp_path):
    path = tmp_path / "yamnet.h5"
    path.write_bytes(b"weights")
    return {"log_mel": LogMelConfig(), "mine": YamnetConfig(weights_path=str(path))}


def test_only_features_with_files_have_hashes(features):
    assert source_hashes(features) == {"mine": {"weights": hashlib.sha256(b"weights").hexdigest()}}
    assert source_hashes({"log_mel": LogMelConfig()}) == {}


def test_the_hash_of_musicnn_is_that_of_its_values(musicnn_wheel):
    features = {"m": MusicnnConfig(weights_path=str(musicnn_wheel), variant="mtt", network="vgg", layer="tags")}
    with zipfile.ZipFile(musicnn_wheel) as archive:
        values = archive.read("musicnn/MTT_vgg/.data-00000-of-00001")
    assert source_hashes(features) == {"m": {"weights": hashlib.sha256(values).hexdigest()}}


def test_files_larger_than_a_piece_are_hashed_whole(features, tmp_path):
    content = bytes(3 * 2**20 + 1)
    (tmp_path / "yamnet.h5").write_bytes(content)
    assert source_hashes(features) == {"mine": {"weights": hashlib.sha256(content).hexdigest()}}


def test_a_missing_file_is_named(features, tmp_path):
    (tmp_path / "yamnet.h5").unlink()
    with pytest.raises(UserError, match=r"features\.mine: .*yamnet\.h5 cannot be read: No such file"):
        source_hashes(features)


def test_the_same_files_pass_and_others_do_not(features, tmp_path):
    recorded = source_hashes(features)
    require_same_sources(features, recorded=recorded)
    (tmp_path / "yamnet.h5").write_bytes(b"others")
    with pytest.raises(UserError, match=r"features\.mine: .*yamnet\.h5 has the SHA-256 \w{64}, and the data were"):
        require_same_sources(features, recorded=recorded)


def test_files_of_which_nothing_was_recorded_do_not_pass(features):
    with pytest.raises(UserError, match="prepared with weights of SHA-256 None"):
        require_same_sources(features, recorded={})
