import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from beam_pipelines.common.errors import RunFailedError, UserError
from beam_pipelines.download.yamnet_weights import fetch_yamnet_weights

CONTENT = np.random.default_rng(0).bytes(1000)


@pytest.fixture
def path(tmp_path):
    """A path in a folder that does not exist yet."""
    return tmp_path / "cache" / "beamtune" / "yamnet.h5"


def files_in(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_weights_are_complete_and_nothing_else_is_left(server, path, impatient, capsys):
    fetch_yamnet_weights(str(path), url=server.serve(CONTENT), policy=impatient)
    assert files_in(path.parent) == {"yamnet.h5": CONTENT}
    assert "downloading YAMNet's weights" in capsys.readouterr().err


def test_existing_weights_are_not_downloaded(server, path, impatient):
    path.parent.mkdir(parents=True)
    path.write_bytes(b"mine")
    fetch_yamnet_weights(str(path), url=server.serve(CONTENT), policy=impatient)
    assert files_in(path.parent) == {"yamnet.h5": b"mine"}
    assert server.requests == []


def test_weights_without_a_checksum_are_not_put_together_from_two_versions(server, path, impatient):
    server.then(cut_after_bytes=300).then(change_to=CONTENT[::-1])
    fetch_yamnet_weights(str(path), url=server.serve(CONTENT), policy=impatient)
    assert files_in(path.parent) == {"yamnet.h5": CONTENT[::-1]}
    assert server.ranges == ["", ""]


def test_an_interrupted_download_leaves_nothing(server, path, impatient):
    url = server.serve(CONTENT)
    server.always(cut_after_bytes=300)
    message = r"cannot be downloaded .*: run the same command to try again; or .*put it at .*yamnet\.h5"
    with pytest.raises(RunFailedError, match=message):
        fetch_yamnet_weights(str(path), url=url, policy=impatient)
    assert not path.parent.exists()


def test_a_missing_file_on_the_server_is_a_user_error(server, path, impatient):
    with pytest.raises(UserError, match=r"status 404.*put it at .*yamnet\.h5"):
        fetch_yamnet_weights(str(path), url=f"{server.url}/none.h5", policy=impatient)
    assert not path.parent.exists()


def test_a_file_that_is_too_large_is_not_downloaded(server, path, impatient):
    url = server.serve(bytes(32 * 2**20))
    with pytest.raises(UserError, match="expected at most 31,457,280"):
        fetch_yamnet_weights(str(path), url=url, policy=impatient)
    assert not path.parent.exists()


def test_a_folder_that_cannot_be_created_is_named(server, tmp_path, impatient):
    (tmp_path / "cache").write_bytes(b"a file")
    with pytest.raises(UserError, match="cache cannot be written"):
        fetch_yamnet_weights(str(tmp_path / "cache" / "yamnet.h5"), url=server.serve(CONTENT), policy=impatient)


@pytest.mark.slow
def test_eight_processes_that_need_the_weights_at_once_download_them_once(server, path):
    url = server.serve(CONTENT)
    server.then(stall_s=5.0)
    script = (
        "import sys\nfrom beam_pipelines.download.yamnet_weights import fetch_yamnet_weights\n"
        "fetch_yamnet_weights(sys.argv[1], url=sys.argv[2])\nprint(len(open(sys.argv[1], 'rb').read()))\n"
    )
    command = [sys.executable, "-c", script, str(path), url]
    with ThreadPoolExecutor(8) as pool:
        ended = list(pool.map(lambda _: subprocess.run(command, capture_output=True, text=True, check=False), range(8)))
    assert [(process.returncode, process.stdout) for process in ended] == [(0, "1000\n")] * 8
    assert len(server.requests) == 1
    assert files_in(path.parent) == {"yamnet.h5": CONTENT}
