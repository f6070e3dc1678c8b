"""Commands on gs:// while the network fails, and killed in the midst of requests: the same results."""

import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from checkpoint_values import assert_same_checkpoints
from command_process import run_command, run_command_without_client
from forked_process import ForkServerProcess, start_forked
from gcs.faults import Faults
from gcs.fixture import Gcs
from gcs.process import GcsProcess
from gcs.session import CommandSession

from beam_pipelines.common.lease import LEASE_FILES
from beam_pipelines.common.lease_holder import Holder
from beam_pipelines.common.signals import INTERRUPTED, RUN_AGAIN
from configs.cli import main

pytestmark = pytest.mark.slow

SHARD = r"[a-z-]*\.tfrecord-\d+-of-\d+$"
STALE_HEARTBEAT_S = 120.0
WAIT_S = 300.0
KINDS = ("unavailable", "too_many", "cut_before", "cut_upload", "cut_reply", "cut_after", "truncated")
SHARE = 0.1  # of all requests
NETWORK = (
    *("model.filters=[4,4]", "model.time_pools=[2,2]", "model.band_pools=[2,2]", "model.hidden_units=8"),
    *("global_batch_size=8", "board.num_embeddings=0", "board.num_mistakes=0", "board.num_spectrograms=0"),
)
# What neither holds a path nor a time.
SAME_BYTES = ("features.json", "label.labels.txt", "rejects.jsonl", "duplicates.jsonl")


def prepare_words(music: str, output_dir: object) -> list[str]:
    return [
        *("prepare", "dataset=folder", f"dataset.root={music}", f"output_dir={output_dir}", "shards.min_shards=2"),
        *("segment.duration_s=1", "segment.hop_s=1", "features.log_mel.n_mels=16", "runner.num_workers=2"),
    ]


def train_words(data_dir: object, run_dir: object) -> list[str]:
    return ["train", f"data_dir={data_dir}", f"run_dir={run_dir}", "epochs=2", "checkpoint_interval_s=0", *NETWORK]


def convert_words(music: str, output_dir: object) -> list[str]:
    return ["convert", f"source={music}", f"output_dir={output_dir}", "sample_rate_hz=8000", "runner.num_workers=2"]


class Place:
    """A bucket with music and prepared data, and what local commands have made of the same.

    Attributes:
        gcs: The bucket.
        local: The folder with prepared/, run/ and converted/.
        session: Runs commands on the bucket.
    """

    def __init__(self, gcs: Gcs, local: Path, session: CommandSession) -> None:
        self.gcs, self.local, self.session = gcs, local, session

    def words(self, command: str, name: str) -> list[str]:
        """Returns the words of a command that writes to a folder of the bucket."""
        url = self.gcs.url
        if command == "prepare":
            return prepare_words(f"{url}/music", f"{url}/{name}")
        if command == "convert":
            return convert_words(f"{url}/music", f"{url}/{name}")
        return train_words(f"{url}/prepared", f"{url}/{name}")

    def check(self, command: str, name: str, folder: Path) -> None:
        """Asserts that a folder of the bucket holds what the local command has made, and nothing else."""
        if command == "prepare":
            self._check_prepared(name)
        elif command == "convert":
            self._check_converted(name)
        else:
            self._check_run(name, folder)

    def _check_prepared(self, name: str) -> None:
        local = {path.name: path.read_bytes() for path in (self.local / "prepared").iterdir()}
        found = self.gcs.contents(name)
        assert found.keys() == local.keys()
        shards = [shard for shard in local if ".tfrecord-" in shard]
        assert len(shards) == 6
        for same in (*shards, *SAME_BYTES):
            assert found[same] == local[same], same

    def _check_converted(self, name: str) -> None:
        folder = self.local / "converted"
        local = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
        found = self.gcs.contents(name)
        assert found.keys() == local.keys()
        assert sum(path.endswith(".wav") for path in found) == 6
        for same in found.keys() - {"convert.yaml"}:  # which has the paths
            assert found[same] == local[same].read_bytes(), same

    def _check_run(self, name: str, folder: Path) -> None:
        self.gcs.download(folder, name)
        scores = []
        for run_dir in (self.local / "run", folder):
            metrics = json.loads((run_dir / "metrics.json").read_text())
            del metrics["model"]["train_duration_s"]
            scores.append(metrics)
        assert scores[0] == scores[1]
        predictions = "predictions-validation.csv"
        assert (folder / predictions).read_bytes() == (self.local / "run" / predictions).read_bytes()
        assert_same_checkpoints(str(self.local / "run"), str(folder))
        names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
        left = {one for one in names if one.endswith((".tmp", ".partial", ".probe")) or "lease" in one}
        assert left == set()
        checkpoints = set(json.loads((folder / "checkpoints" / "checkpoints.json").read_text()).values())
        kept = {path.name.partition(".")[0] for path in (folder / "checkpoints").iterdir()}
        assert kept == {*checkpoints, "checkpoints"}

    def start_until_fault(self, command: str, name: str, faults: Faults, log: Path) -> ForkServerProcess:
        """Starts a command; returns its process once a request is held or fails."""
        self.gcs.clear_requests()
        self.gcs.set_faults(faults)
        process = start_forked(run_command, *self.words(command, name), log=log, environment=self.gcs.environment)
        deadline_s = time.monotonic() + WAIT_S
        while not (self.gcs.process.control("state")["held"] or any(one.fault for one in self.gcs.requests())):
            assert process.is_alive() and time.monotonic() < deadline_s, log.read_text()
            time.sleep(0.02)
        return process

    def kill_at(self, command: str, name: str, faults: Faults, log: Path) -> None:
        """Kills a command at the request that is held."""
        process = self.start_until_fault(command, name, faults, log)
        process.kill()
        process.join()
        self.gcs.set_faults(Faults())

    def age_leases(self, name: str) -> None:
        """Makes the leases that a killed command has left ones that nobody has refreshed for some time."""
        for file in self.gcs.contents(name).keys() & set(LEASE_FILES):
            lease = f"{name}/{file}"
            holder = Holder.from_json(self.gcs.read(lease))
            assert holder is not None
            self.gcs.write(lease, replace(holder, heartbeat_s=holder.heartbeat_s - STALE_HEARTBEAT_S).to_json())

    def resume(self, command: str, name: str) -> None:
        """Runs a command again after its end."""
        self.age_leases(name)
        done = self.session.run(self.words(command, name))
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def place(gcs_server: GcsProcess, make_collection: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    local = tmp_path_factory.mktemp("local")
    music = make_collection(local / "music", artists=3, tracks=1)
    assert main(prepare_words(str(music), local / "prepared")) == 0
    assert main(train_words(local / "prepared", local / "run")) == 0
    assert main(convert_words(str(music), local / "converted")) == 0
    gcs = Gcs(gcs_server, "faults")
    gcs.upload(music, "music")
    gcs.upload(local / "prepared", "prepared")
    with CommandSession(gcs.environment, cwd=local) as session:
        yield Place(gcs, local, session)


def check_with_faults(place: Place, command: str, name: str, faults: Faults, folder: Path) -> set[str]:
    """Asserts that a command succeeds with faults and makes the same; returns the kinds of faults that happened."""
    place.gcs.clear_requests()
    place.gcs.set_faults(faults)
    done = place.session.run(place.words(command, name))
    place.gcs.set_faults(Faults())
    assert done.returncode == 0, done.stderr
    place.check(command, name, folder)
    return {record.fault for record in place.gcs.requests()} - {""}


@pytest.mark.parametrize("command", ["prepare", "train"])
def test_faults_change_nothing(place: Place, tmp_path: Path, command: str) -> None:
    shares = {f"{kind}_share": SHARE / len(KINDS) for kind in KINDS}
    # With this seed each kind is among the faults of the first 80 requests.
    faults = Faults(**shares, latency_s=0.01, seed=154)
    assert check_with_faults(place, command, f"{command}-faults", faults, tmp_path / "run") == set(KINDS)


def test_two_cuts_in_the_midst_of_a_shard_change_nothing(place: Place, tmp_path: Path) -> None:
    faults = Faults(kinds=("insert", "chunk"), name_pattern=SHARD, cut_upload_share=1.0, times=2)
    assert check_with_faults(place, "prepare", "prepare-cut", faults, tmp_path) == {"cut_upload"}
    assert sum(record.fault == "cut_upload" for record in place.gcs.requests()) == 2


@pytest.mark.parametrize(
    ("command", "pattern", "hold", "skip"),
    [
        pytest.param("prepare", SHARD, "before", 1, marks=pytest.mark.exhaustive),
        ("prepare", SHARD, "after", 3),
        pytest.param("prepare", "_SUCCESS$", "after", 0, marks=pytest.mark.exhaustive),
        ("convert", r"\.convert/reports/.*\.json$", "after", 0),
        pytest.param("train", "checkpoints/", "before", 4, marks=pytest.mark.exhaustive),
        ("train", "checkpoints.json$", "after", 0),
        pytest.param("train", "metrics.json$", "before", 0, marks=pytest.mark.exhaustive),
    ],
)
def test_killed_in_an_upload(place: Place, tmp_path: Path, command: str, pattern: str, hold: str, skip: int) -> None:
    name = f"{command}-killed-{hold}-{skip}-{len(pattern)}"
    faults = Faults(kinds=("insert",), name_pattern=f"^data/{name}/(.*/)?{pattern}", hold=hold, skip=skip, times=1)
    place.kill_at(command, name, faults, tmp_path / "log")
    place.resume(command, name)
    place.check(command, name, tmp_path / "run")


def test_without_googles_client_faults_change_nothing(place: Place, tmp_path: Path) -> None:
    place.gcs.clear_requests()
    place.gcs.set_faults(Faults(unavailable_share=0.02, cut_reply_share=0.02, truncated_share=0.02, seed=3))
    words, log = place.words("train", "no-client"), tmp_path / "log"
    process = start_forked(run_command_without_client, *words, log=log, environment=place.gcs.environment)
    process.join()
    place.gcs.set_faults(Faults())
    assert process.exitcode == 0, log.read_text()
    assert {record.client for record in place.gcs.requests()} - {"other"} == {"tensorflow"}
    place.check("train", "no-client", tmp_path / "run")


@pytest.mark.parametrize(
    ("number", "faults", "code"),
    [
        (signal.SIGTERM, Faults(kinds=("get",), name_pattern=SHARD, hold="before"), RUN_AGAIN),
        pytest.param(
            signal.SIGTERM,
            Faults(kinds=("insert",), name_pattern="last-00001", hold="before"),
            RUN_AGAIN,
            marks=pytest.mark.exhaustive,
        ),
        (signal.SIGINT, Faults(kinds=("insert",), name_pattern="checkpoints/", unavailable_share=1.0), INTERRUPTED),
    ],
)
def test_a_signal_ends_a_wait_for_the_bucket(
    place: Place, tmp_path: Path, number: int, faults: Faults, code: int
) -> None:
    log, name = tmp_path / "log", f"signal-{number}-{len(faults.name_pattern)}"
    process = place.start_until_fault("train", name, faults, log)
    assert process.pid is not None
    os.kill(process.pid, number)
    process.join()
    place.gcs.set_faults(Faults())
    assert process.exitcode == code
    assert "could not be reached; what was saved before is kept: run the same command again" in log.read_text()
    place.resume("train", name)
    place.check("train", name, tmp_path / "run")
