"""Where networks are found, and which files are refused before any library reads them."""

import hashlib
import pickle
from dataclasses import replace

import pytest

from beam_pipelines.common import bucket_objects
from beam_pipelines.common.errors import UserError
from beam_pipelines.common.file_entry import FileEntry
from beam_pipelines.features import embedding_files
from beam_pipelines.features.config import EmbeddingConfig
from beam_pipelines.features.embedding_files import MAX_NETWORK_BYTES, locate, network_hash, read_network
from beam_pipelines.features.weights_hash import require_same_sources, source_hashes


def settings(path):
    return EmbeddingConfig(path=str(path), sample_rate_hz=8000, window_s=0.1)


@pytest.fixture(autouse=True)
def nowhere_else(monkeypatch):
    monkeypatch.delenv("BEAMTUNE_NETWORKS", raising=False)


@pytest.fixture
def network(tmp_path):
    path = tmp_path / "net.onnx"
    path.write_bytes(b"\x08\x08network")
    return path


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "saved"
    (path / "variables").mkdir(parents=True)
    (path / "saved_model.pb").write_bytes(b"graph")
    (path / "variables" / "a").write_bytes(b"values")
    return path


def test_the_hash_of_a_file_and_of_a_folder(network, folder):
    assert network_hash("mine", settings(network)) == hashlib.sha256(b"\x08\x08network").hexdigest()
    lines = f"{hashlib.sha256(b'graph').hexdigest()}  saved_model.pb\n"
    lines += f"{hashlib.sha256(b'values').hexdigest()}  variables/a\n"
    assert network_hash("mine", settings(folder)) == hashlib.sha256(lines.encode()).hexdigest()
    (folder / "variables" / "a").rename(folder / "variables" / "b")
    assert network_hash("mine", settings(folder)) != hashlib.sha256(lines.encode()).hexdigest()


def test_a_network_that_moved_is_found_by_the_variable(network, tmp_path, monkeypatch):
    config = settings(network)
    recorded = source_hashes({"mine": config})
    (tmp_path / "new").mkdir()
    network.rename(tmp_path / "new" / "net.onnx")
    with pytest.raises(
        UserError,
        match=r"^features.mine.path=.*net.onnx: there is no such network; put it there, or set the environment "
        r"variable BEAMTUNE_NETWORKS to the folder that holds net.onnx$",
    ):
        source_hashes({"mine": config})
    monkeypatch.setenv("BEAMTUNE_NETWORKS", str(tmp_path / "new"))
    require_same_sources({"mine": config}, recorded=recorded)
    (tmp_path / "new" / "net.onnx").write_bytes(b"\x08\x08another")
    with pytest.raises(
        UserError,
        match=r"^features.mine: .*new/net.onnx has the SHA-256 \w{64}, and the data were prepared with network of "
        r"SHA-256 \w{64}: replace the file by that one, or set BEAMTUNE_NETWORKS to the folder that holds net.onnx$",
    ):
        require_same_sources({"mine": config}, recorded=recorded)


@pytest.mark.parametrize("name", ["net.onnx", "net.keras", "net.tflite"])
@pytest.mark.parametrize(
    "content", [pickle.dumps([1, 2]), b"PK\x03\x04archive/data.pkl", b""], ids=["pickle", "zip", "empty"]
)
def test_other_files_under_the_name_of_a_network_are_refused(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    if name == "net.keras" and content.startswith(b"PK"):
        assert locate("mine", settings(path)) == str(path)  # Keras files are archives; the loader looks into it
        return
    if name == "net.onnx" and not content:
        assert locate("mine", settings(path)) == str(path)  # has no fixed start
        return
    what = "a pickle or an archive, such as PyTorch writes" if content else "no such file"
    with pytest.raises(UserError, match=rf"{name} is {what}, and not of the format"):
        locate("mine", settings(path))


def test_a_network_is_a_file_of_a_known_format_or_a_folder_with_a_graph(tmp_path, folder):
    (tmp_path / "net.pt").write_bytes(b"x")
    (tmp_path / "dir.onnx").mkdir()
    (tmp_path / "dir.onnx" / "x").write_bytes(b"x")
    (folder / "saved_model.pb").unlink()
    for path in (tmp_path / "net.pt", tmp_path / "dir.onnx", folder):
        with pytest.raises(
            UserError, match="expected a file that ends with .onnx, .keras or .tflite, or a folder with"
        ):
            locate("mine", settings(path))


def test_files_above_the_bound_are_refused_unread(network):
    with open(network, "r+b") as file:
        file.truncate(MAX_NETWORK_BYTES + 1)
    with pytest.raises(
        UserError, match=r"net.onnx has 1,073,741,825 bytes: expected a network of at most 1,073,741,824"
    ):
        locate("mine", settings(network))


def test_folders_of_many_files_or_devices_are_refused(folder, monkeypatch):
    (folder / "link").symlink_to("/dev/zero")
    with pytest.raises(UserError, match=r"^features\.mine\.path=.*link is no regular file"):
        locate("mine", settings(folder))
    (folder / "link").unlink()
    monkeypatch.setattr(embedding_files, "_MAX_FILES", 1)
    with pytest.raises(UserError, match=r"^features\.mine\.path=\S+ has more than 1 files"):
        locate("mine", settings(folder))


def test_a_file_that_cannot_be_read_is_named_with_its_setting(network):
    network.unlink()
    with pytest.raises(UserError, match=r"^features\.mine\.path=n cannot be read: No such file or directory$"):
        read_network(str(network), key="features.mine.path=n")


def test_networks_in_buckets_are_copied_once(monkeypatch):
    objects = {
        "gs://b/net.onnx": b"\x08\x08network",
        "gs://b/saved/saved_model.pb": b"graph",
        "gs://b/saved/variables/a": b"values",
        "gs://b/saved/../../../evil": b"out",
    }
    asked = []

    def download(path, target, *, max_bytes):
        asked.append(path)
        if path not in objects:
            raise FileNotFoundError(path)
        with open(target, "wb") as file:
            file.write(objects[path])

    def list_objects(folder):
        return [FileEntry(path, len(value), 0.0) for path, value in objects.items() if path.startswith(f"{folder}/")]

    monkeypatch.setattr(bucket_objects, "download_to_file", download)
    monkeypatch.setattr(bucket_objects, "list_objects", list_objects)
    config = settings("gs://b/net.onnx")
    assert network_hash("mine", config) == hashlib.sha256(b"\x08\x08network").hexdigest()
    assert network_hash("mine", config) == hashlib.sha256(b"\x08\x08network").hexdigest()
    lines = f"{hashlib.sha256(b'graph').hexdigest()}  saved_model.pb\n"
    lines += f"{hashlib.sha256(b'values').hexdigest()}  variables/a\n"
    wanted = hashlib.sha256(lines.encode()).hexdigest()
    assert network_hash("mine", replace(config, path="gs://b/saved")) == wanted
    assert asked == ["gs://b/net.onnx", "gs://b/saved/saved_model.pb", "gs://b/saved/variables/a"]
    with pytest.raises(UserError, match=r"features.mine.path=gs://b/none.onnx: there is no such network"):
        locate("mine", replace(config, path="gs://b/none.onnx"))
