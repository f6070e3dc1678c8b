"""`beamtune` with networks of the user's: prepared by one and by two workers, trained on, predicted with, exported."""

import hashlib
import json
from pathlib import Path

import own_networks
import pytest
import yaml

from configs.cli import main

pytestmark = pytest.mark.slow

RATE_HZ, WINDOW = 8000, 4000


@pytest.fixture(scope="module")
def networks(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("networks")
    own_networks.write_onnx(folder / "net.onnx", ["n", WINDOW], num_inputs=WINDOW)
    own_networks.write_saved_model(folder / "net", [None, WINDOW], num_inputs=WINDOW)
    return folder


@pytest.fixture
def music(make_collection, tmp_path: Path) -> Path:
    return make_collection(tmp_path / "music", artists=3, tracks=1, duration_s=4.0)


def of(name: str, path: Path, *words: str) -> list[str]:
    settings = (f"path={path}", f"sample_rate_hz={RATE_HZ}", "window_s=0.5", "hop_s=0.25", *words)
    return [f"features.{name}.{one}" for one in settings]


def prepare(music: Path, output_dir: Path, *words: str) -> int:
    return main(
        [
            *("prepare", "dataset=folder", f"dataset.root={music}", f"output_dir={output_dir}", "shards.min_shards=2"),
            *("audio.sample_rate_hz=22050", "duplicates.mode=off", *words),
        ]
    )


def contents(directory: Path) -> dict[str, bytes]:
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def test_workers_do_not_change_a_bit(music, networks, tmp_path):
    words = ["features=[embedding,embedding_2]", *of("embedding", networks / "net.onnx", "output_name=vectors")]
    words += of("embedding_2", networks / "net", "gain=0.5")
    assert prepare(music, tmp_path / "one", *words, "runner.num_workers=1", "runner.mode=in_memory") == 0
    assert prepare(music, tmp_path / "two", *words, "runner.num_workers=2", "runner.mode=multi_processing") == 0
    first = contents(tmp_path / "one")
    assert contents(tmp_path / "two") == first
    content = yaml.safe_load(first["prepare.yaml"])
    assert content["sources"]["embedding"] == {
        "network": hashlib.sha256((networks / "net.onnx").read_bytes()).hexdigest()
    }
    assert content["paths"]["embedding_2"] == {"path": str(networks / "net")}


def test_networks_in_a_bucket_give_the_bytes_of_local_ones(music, networks, tmp_path, gcs_here):
    def words(file: object, folder: object) -> list[str]:
        first = of("embedding", file, "output_name=vectors")
        return ["features=[embedding,embedding_2]", *first, *of("embedding_2", folder, "gain=0.5")]

    gcs_here.upload(networks, "networks")
    url = f"{gcs_here.url}/networks"
    assert prepare(music, tmp_path / "remote", *words(f"{url}/net.onnx", f"{url}/net")) == 0
    assert prepare(music, tmp_path / "local", *words(networks / "net.onnx", networks / "net")) == 0
    remote, local = contents(tmp_path / "remote"), contents(tmp_path / "local")
    assert yaml.safe_load(remote.pop("prepare.yaml"))["paths"]["embedding"] == {"path": f"{url}/net.onnx"}
    del local["prepare.yaml"]
    assert remote == local


def test_a_wrong_network_ends_prepare_and_its_dry_run_before_the_music_is_listed(music, networks, tmp_path, capsys):
    words = ["features=embedding", *of("embedding", networks / "net.onnx")]
    (tmp_path / "no music").mkdir()  # a listing would end with an error
    for mode in ([], ["--dry-run"]):
        assert prepare(tmp_path / "no music", tmp_path / "data", *words, *mode) == 2
        error = capsys.readouterr().err.strip()
        assert error.count("\n") == 0
        assert "features.embedding.output_name is not set, and the network has 2 outputs (vectors, logits)" in error
    assert not (tmp_path / "data").exists()


def test_a_model_is_trained_predicts_and_is_exported(music, networks, tmp_path, monkeypatch, capsys):
    """The export compares itself with `predict`, from the samples on."""
    data, run, song = tmp_path / "data", tmp_path / "run", str(music / "genre0" / "artist00" / "0.wav")
    words = [
        "features=embedding",
        "features.embedding.learned_from=[music]",
        *of("embedding", networks / "net", "license=CC0"),
    ]
    assert prepare(music, data, *words, "runner.num_workers=1", "runner.mode=in_memory") == 0
    assert "features.embedding: net learned from music, which dataset.root=" in " ".join(
        capsys.readouterr().out.split()
    )
    train = [f"data_dir={data}", f"run_dir={run}", "model=attention_pool", "model.feature=embedding", "epochs=2"]
    assert main(["train", *train, "global_batch_size=4"]) == 0
    card = (run / "model_card.md").read_text()
    sha256 = yaml.safe_load((data / "prepare.yaml").read_text())["sources"]["embedding"]["network"]
    assert (
        f"computed by the network net (SHA-256 `{sha256}`). It was trained on music. It is under this licence:" in card
    )
    capsys.readouterr()
    assert main(["predict", str(run), song, "--json"]) == 0
    predicted = json.loads(capsys.readouterr().out)
    assert main(["export", str(run), f"output_dir={tmp_path}/export", "formats=[saved_model]"]) == 0
    assert "This export contains the network net, under this licence:\nCC0" in (tmp_path / "export/LICENSE").read_text()
    assert json.loads((tmp_path / "export" / "export.json").read_text())

    moved = tmp_path / "moved"
    moved.mkdir()
    (networks / "net").rename(moved / "net")
    capsys.readouterr()
    assert main(["predict", str(run), song, "--json"]) == 2
    assert "there is no such network; put it there, or set the environment variable BEAMTUNE" in capsys.readouterr().err
    monkeypatch.setenv("BEAMTUNE_NETWORKS", str(moved))
    assert main(["predict", str(run), song, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == predicted
