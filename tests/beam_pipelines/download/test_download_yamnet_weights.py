import hashlib

import numpy as np
import pytest

from beam_pipelines.common.errors import RunFailedError, UserError
from beam_pipelines.download.http_file import download_file
from beam_pipelines.download.yamnet_weights import fetch_yamnet_weights

CONTENT = np.random.default_rng(0).bytes(1000)


@pytest.fixture
def path(tmp_path):
    """A path in a folder that is not there yet."""
    return tmp_path / "cache" / "beamtune" / "yamnet.h5"


def left_in(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_weights_come_whole_with_nothing_beside_them(server, path, impatient, capsys):
    fetch_yamnet_weights(str(path), url=server.serve(CONTENT), policy=impatient)
    assert left_in(path.parent) == {"yamnet.h5": CONTENT}
    assert "downloading YAMNet's weights" in capsys.readouterr().err


def test_weights_that_are_there_are_not_asked_for(server, path, impatient):
    path.parent.mkdir(parents=True)
    path.write_bytes(b"mine")
    fetch_yamnet_weights(str(path), url=server.serve(CONTENT), policy=impatient)
    assert left_in(path.parent) == {"yamnet.h5": b"mine"}
    assert server.requests == []


def test_a_download_that_broke_off_is_no_file_and_is_gone_on_from(server, path, impatient):
    url = server.serve(CONTENT)
    server.then(cut_after_bytes=300).always(status=503)
    with pytest.raises(RunFailedError, match=r"cannot be fetched.*or .*put it at .*yamnet\.h5"):
        fetch_yamnet_weights(str(path), url=url, policy=impatient)
    assert not path.exists()
    server.always()
    server.requests.clear()
    fetch_yamnet_weights(str(path), url=url, policy=impatient)
    assert server.ranges == ["bytes=300-"]
    assert left_in(path.parent) == {"yamnet.h5": CONTENT}


def test_a_file_that_is_gone_from_the_server_is_a_wrong_address(server, path, impatient):
    with pytest.raises(UserError, match=r"status 404.*put it at .*yamnet\.h5"):
        fetch_yamnet_weights(str(path), url=f"{server.url}/none.h5", policy=impatient)
    assert left_in(path.parent) == {}


def test_what_is_far_too_large_is_not_fetched(server, path, impatient):
    url = server.serve(bytes(32 * 2**20))
    with pytest.raises(UserError, match="expected at most 31,457,280"):
        fetch_yamnet_weights(str(path), url=url, policy=impatient)
    assert left_in(path.parent) == {}


def test_a_folder_that_cannot_be_made_is_named(server, tmp_path, impatient):
    (tmp_path / "cache").write_bytes(b"a file")
    with pytest.raises(UserError, match="cache cannot be written"):
        fetch_yamnet_weights(str(tmp_path / "cache" / "yamnet.h5"), url=server.serve(CONTENT), policy=impatient)


def test_without_a_checksum_any_whole_file_comes_and_stays(server, tmp_path, impatient):
    path = tmp_path / "file.bin"
    steps = []
    for content in (CONTENT, b"other"):
        download_file(
            server.serve(content),
            str(path),
            sha1=None,
            max_bytes=2000,
            policy=impatient,
            on_progress=lambda *step: steps.append(step),
        )
        assert left_in(tmp_path) == {"file.bin": CONTENT}
    assert steps == [("downloading", 1000, 1000)]
    wrong = hashlib.sha1(b"other", usedforsecurity=False).hexdigest()
    with pytest.raises(UserError, match="is there with the SHA-1"):
        download_file(server.serve(CONTENT), str(path), sha1=wrong, max_bytes=2000, policy=impatient)
