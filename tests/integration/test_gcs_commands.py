"""Each command with all its paths on gs://, compared with the same command on local folders.

The commands run one after the other in one process, and the local ones in this one, but for `tune`. Those of
`scripts/demo` come in its order: music, `prepare`, `train`, `evaluate`, `predict`, `tensorboard`. An export is
compared with its run.
"""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from event_reader import read_events
from forked_command import run_forked
from gcs.access_log import Record, count
from gcs.certificates import HOSTS
from gcs.fixture import Gcs
from gcs.process import GcsProcess
from gcs.session import CommandSession
from gcs.write_rules import check_writes

from beam_pipelines.common.python_process import python_command
from configs.cli import main
from configs.doctor.credentials import find_credentials

pytestmark = pytest.mark.slow

# The smallest network, without the pictures and the audio of the board.
NETWORK = (
    *("model.filters=[4,4]", "model.time_pools=[2,2]", "model.band_pools=[2,2]", "model.hidden_units=8"),
    *("global_batch_size=8", "board.num_embeddings=0", "board.num_mistakes=0", "board.num_spectrograms=0"),
)
SPACE = """
search:
  optimizer.learning_rate: {log: [0.001, 0.01]}
"""
MUSIC = ("dataset.artists_per_genre=3", "dataset.tracks_per_artist=1", "dataset.duration_s=4")
PREPARE = (
    *("prepare", "dataset.root={url}/music", *MUSIC, "shards.min_shards=2"),
    *("segment.duration_s=1", "segment.hop_s=1", "features.log_mel.n_mels=16"),
)
# What a comparison says of paths and of times: the fingerprint of data is that of its paths too.
DIFFERING_COLUMNS = {"run", "fingerprint", "train_duration_s"}
# No request of a command may fail: 404 and 416 are answers to whether something exists, or is longer.
EXPECTED_STATUSES = {200, 204, 206, 308, 404, 412, 416}
WAIT_S = 300.0  # only ends a test that hangs


class Both:
    """A bucket and a local folder with the same content, and commands on both.

    Attributes:
        gcs: The bucket.
        local: The folder.
        session: Runs commands on the bucket.
        records: What the last command asked.
    """

    def __init__(self, gcs: Gcs, local: Path, session: CommandSession) -> None:
        self.gcs, self.local, self.session = gcs, local, session
        self.records: list[Record] = []

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Runs a command on both; returns what that on gs:// printed. {url} is the bucket's or the local folder."""
        on_local = [word.format(url=self.local) for word in words]
        code = run_forked(on_local).returncode if words[0] == "tune" else main(on_local)
        assert code == 0
        return self.run_on_gcs(*words)

    def run_on_gcs(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Runs a command on gs:// alone."""
        self.gcs.clear_requests()
        run = self.gcs.run if words[0] == "tune" else self.session.run  # which would start new processes
        done = run([word.format(url=self.gcs.url) for word in words])
        self.records = self.gcs.requests()
        assert done.returncode == 0, done.stderr
        assert {record.host for record in self.records} <= set(HOSTS)
        assert {record.status for record in self.records} <= EXPECTED_STATUSES
        check_writes(self.records)
        return done

    def clients(self) -> set[str]:
        """Returns the clients that the last command used."""
        return set(count(self.records).clients)

    def files(self, name: str) -> dict[str, bytes]:
        """Returns the files of a local folder, by their path in it."""
        folder = self.local / name
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    def check_same(self, name: str, *patterns: str) -> None:
        """Asserts that there are files of these patterns, and that they have the same bytes in both."""
        local, remote = self.files(name), self.gcs.contents(name)
        for pattern in patterns:
            found = {path for path in local if Path(path).match(pattern)}
            assert found, f"{pattern} in {sorted(local)}"
            assert found == {path for path in remote if Path(path).match(pattern)}
            for path in found:
                assert remote[path] == local[path], path

    def check_same_scores(self, name: str) -> None:
        """Asserts that a metrics.json of both is the same to the bit, but for the duration of the training."""
        local, remote = json.loads((self.local / name).read_bytes()), json.loads(self.gcs.read(name))
        for metrics in (local, remote):
            metrics["model"].pop("train_duration_s", None)
        assert remote == local

    def check_no_leftovers(self, name: str) -> None:
        """Asserts that a folder of the bucket has no temporary files and no lease."""
        names = self.gcs.contents(name)
        assert names
        assert not [name for name in names if name.endswith((".tmp", ".probe", ".partial")) or "lease" in name]


@pytest.fixture(scope="module")
def both(gcs_server: GcsProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """Composed music, in a bucket and in a local folder."""
    local = tmp_path_factory.mktemp("local")
    assert main(["synthesize", f"dataset.root={local}/music", *MUSIC]) == 0
    (local / "space.yaml").write_text(SPACE)
    gcs = Gcs(gcs_server, "commands")
    with CommandSession(gcs.environment, cwd=local) as session:
        both = Both(gcs, local, session)
        both.run_on_gcs("sync", str(local), "{url}")
        yield both


@pytest.fixture(scope="module")
def prepared(both: Both) -> Both:
    """The same with prepared/."""
    both.run(*PREPARE, "output_dir={url}/prepared")
    return both


@pytest.fixture(scope="module")
def trained(prepared: Both) -> Both:
    """The same with runs/first."""
    prepared.run("train", "data_dir={url}/prepared", "run_dir={url}/runs/first", "epochs=2", *NETWORK)
    return prepared


def test_prepare_writes_the_same_shards(prepared: Both) -> None:
    assert prepared.clients() == {"python"}
    prepared.check_same(
        "prepared", "*.tfrecord-*", "features.json", "label.labels.txt", "rejects.jsonl", "duplicates.jsonl"
    )
    assert sum(".tfrecord-" in name for name in prepared.gcs.contents("prepared")) == 6
    prepared.check_no_leftovers("prepared")


def test_convert_writes_the_same_audio(both: Both) -> None:
    both.run("convert", "source={url}/music", "output_dir={url}/wav")
    assert both.clients() == {"python"}
    both.check_same("wav", "*.wav")
    both.check_no_leftovers("wav")


def test_train_computes_the_same_scores(trained: Both) -> None:
    assert trained.clients() == {"python"}
    trained.check_same_scores("runs/first/metrics.json")
    trained.check_same("runs/first", "predictions-validation.csv", "standardization.yaml", "dataset/*.json")
    assert any("tfevents" in name for name in trained.gcs.contents("runs/first"))
    trained.check_no_leftovers("runs/first")


def test_evaluate_computes_the_same_scores(trained: Both) -> None:
    done = trained.run("evaluate", "run_dir={url}/runs/first", "split=test")
    assert "macro-F1" in done.stdout
    assert trained.clients() == {"python"}
    trained.check_same_scores("runs/first/metrics.json")
    trained.check_same("runs/first", "predictions-test.csv")
    trained.check_no_leftovers("runs/first")


def test_predict_gives_the_same_probabilities(trained: Both, capsys: pytest.CaptureFixture[str]) -> None:
    tracks = map(json.loads, trained.gcs.read("prepared/tracks.jsonl").splitlines())
    song = next(track["uri"] for track in tracks if track["split"] == "test")
    capsys.readouterr()
    done = trained.run("predict", "{url}/runs/first", song.replace(trained.gcs.url, "{url}"), "--json")
    local = json.loads(capsys.readouterr().out.replace(str(trained.local), trained.gcs.url))
    assert json.loads(done.stdout) == local
    assert trained.clients() == {"python"}


def test_export_and_its_predictions_are_in_the_bucket(trained: Both) -> None:
    done = trained.run_on_gcs("export", "{url}/runs/first", "output_dir={url}/exports/first", "reference_clips=1")
    assert f"\nexported to {trained.gcs.url}/exports/first\nnext: beamtune serve " in done.stdout
    assert trained.clients() == {"python"}
    names = trained.gcs.contents("exports/first")
    assert {"export.json", "example.py", "saved_model/saved_model.pb", "vertex/request.json"} <= set(names)
    trained.check_no_leftovers("exports/first")
    report = json.loads(names["export.json"])
    [song, *_] = report["formats"]["saved_model"]["clips"]
    [track] = [
        track
        for track in map(json.loads, trained.gcs.read("prepared/tracks.jsonl").splitlines())
        if track["track_id"] == song["name"]
    ]
    of_run, of_export = (
        json.loads(trained.run_on_gcs("predict", "{url}/" + directory, track["uri"], "--json").stdout)
        for directory in ("runs/first", "exports/first")
    )
    assert trained.clients() == {"python"}
    assert of_export[0]["label"] == of_run[0]["label"]
    for found, expected in zip(of_export[0]["genres"], of_run[0]["genres"], strict=True):
        assert found == {**expected, "probability": pytest.approx(expected["probability"], abs=1e-3)}


def test_a_table_of_predictions_is_written_and_continued(trained: Both, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    words = ("predict", "{url}/runs/first", "{url}/music/funk", "output={url}/tables/genres.csv")
    assert ", 0 failed" in trained.run(*words).stdout
    assert ", 0 failed" in trained.run(*words[:2], "{url}/music", *words[3:], "runner=direct").stdout
    assert trained.clients() == {"python"}
    rows = trained.gcs.read("tables/genres.csv").decode().replace(trained.gcs.url, str(trained.local)).splitlines()
    assert sorted(rows) == sorted((trained.local / "tables" / "genres.csv").read_text().splitlines())
    assert sorted(trained.gcs.contents("tables")) == ["genres.csv", "genres.csv.settings.json"]


def test_compare_writes_the_same_table(trained: Both) -> None:
    trained.run("compare", "{url}/runs/first", "split=validation", "output.csv={url}/comparison.csv")
    local = (trained.local / "comparison.csv").read_text().splitlines()
    remote = trained.gcs.read("comparison.csv").decode().splitlines()
    assert len(local) == len(remote) == 2
    assert remote[0] == local[0]
    columns = local[0].split(",")
    for name, here, there in zip(columns, local[1].split(","), remote[1].split(","), strict=True):
        assert here == there or name in DIFFERING_COLUMNS, name


def test_tensorboard_shows_the_same_curves(trained: Both) -> None:
    expected = read_events(trained.local / "runs" / "first" / "validation")["track/loss"]
    trained.gcs.clear_requests()
    command = python_command("configs.cli:run", "tensorboard", f"{trained.gcs.url}/runs", "port=0")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=trained.gcs.environment) as process:
        try:
            line = process.stdout.readline()
            address = re.search(r"http://\S+", line)
            assert address is not None, line
            deadline_s = time.monotonic() + WAIT_S
            while len(shown := shown_points(address[0], "first/validation", "track/loss")) < len(expected):
                assert time.monotonic() < deadline_s, shown
                time.sleep(0.2)
        finally:
            process.kill()
    assert shown == expected
    trained.gcs.check_network("tensorflow", "python")


def shown_points(address: str, run: str, tag: str) -> list[tuple[int, float]]:
    """Returns the steps and values of a curve that TensorBoard has loaded so far."""
    answer = requests.get(f"{address}data/plugin/scalars/scalars", {"run": run, "tag": tag}, timeout=60)
    return [(step, value) for _, step, value in answer.json()] if answer.ok else []


def test_baselines_compute_the_same_scores(prepared: Both) -> None:
    learners = ["naive_bayes", "logistic_regression"]
    prepared.run(
        *("baselines", "data_dir={url}/prepared", "output_dir={url}/runs/baselines", "feature=log_mel"),
        f"learners=[{','.join(learners)}]",
    )
    assert prepared.clients() == {"python"}
    for learner in learners:
        prepared.check_same_scores(f"runs/baselines/{learner}/metrics.json")
    prepared.check_no_leftovers("runs/baselines")


def test_crossval_divides_and_scores_in_the_same_way(prepared: Both) -> None:
    prepared.run(
        *("crossval", "data_dir={url}/prepared", "output_dir={url}/crossval", "folds=3", "seeds=[0]"),
        *("learner=baselines", "baselines.feature=log_mel", "baselines.learners=[naive_bayes]"),
    )
    assert prepared.clients() == {"python"}
    prepared.check_same("crossval", "*.tfrecord-*")
    runs = [name for name in prepared.files("crossval") if name.endswith("/metrics.json")]
    assert len(runs) == 3
    for name in runs:
        prepared.check_same_scores(f"crossval/{name}")
    prepared.check_no_leftovers("crossval")


def test_explore_draws_the_same_data(prepared: Both) -> None:
    prepared.run("explore", "{url}/prepared", "output_dir={url}/explore", "example_genres=1")
    assert prepared.clients() == {"python"}
    local, remote = prepared.files("explore"), prepared.gcs.contents("explore")
    marker = (prepared.local / "prepared" / "_SUCCESS").read_bytes()
    page = remote["index.html"].decode().replace(prepared.gcs.url, str(prepared.local))
    fingerprints = [json.loads(text)["fingerprint"] for text in (prepared.gcs.read("prepared/_SUCCESS"), marker)]
    assert page.replace(*fingerprints) == local["index.html"].decode()
    prepared.check_no_leftovers("explore")


def test_tune_has_the_same_trials(prepared: Both) -> None:
    prepared.run(
        *("tune", "data_dir={url}/prepared", "search_dir={url}/search", "space={url}/space.yaml"),
        *("budget.max_trials=2", "epochs=1", "refit=false", *NETWORK),
    )
    assert prepared.clients() == {"python"}
    names = prepared.gcs.contents("search")
    assert {"trials/0000/metrics.json", "trials/0001/metrics.json", "best.yaml"} <= set(names)
    prepared.check_no_leftovers("search")
    for trial in ("0000", "0001"):
        prepared.check_same_scores(f"search/trials/{trial}/metrics.json")
    best = (prepared.local / "search" / "best.yaml").read_text()
    assert names["best.yaml"].decode().replace(prepared.gcs.url, str(prepared.local)) == best


def test_synthesize_says_how_to_have_music_in_a_bucket(both: Both) -> None:
    done = both.session.run(["synthesize", f"dataset.root={both.gcs.url}/composed"])
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "beamtune sync music gs://commands/data/composed" in done.stderr
    assert not (both.local / "gs:").exists()
    assert both.gcs.contents("composed") == {}


def test_the_credentials_are_found(both: Both) -> None:
    found = find_credentials(both.gcs.environment)
    assert (found.state, found.part) == ("ok", "gs://")
