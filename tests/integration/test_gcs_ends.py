"""Commands on gs:// with the least rights, in few requests, and where the bucket refuses or does not answer."""

import json
import signal
from pathlib import Path

import pytest
from gcs.faults import Faults
from gcs.fixture import Gcs
from gcs.permissions import ROLES
from gcs.write_rules import check_writes

from beam_pipelines.common.signals import RUN_AGAIN
from beam_pipelines.prepare.build_dir import BUILD_FOLDER

pytestmark = pytest.mark.slow

OBJECT_ADMIN = tuple(sorted(ROLES["roles/storage.objectAdmin"]))
OBJECT_VIEWER = tuple(sorted(ROLES["roles/storage.objectViewer"]))
ACCOUNT = "tester@test-project.iam.gserviceaccount.com"
NETWORK = (
    *("model.filters=[4,4,4,4]", "model.hidden_units=8", "global_batch_size=8"),
    *("board.num_embeddings=5", "board.num_mistakes=1", "board.num_spectrograms=1"),
)


@pytest.fixture
def music(gcs: Gcs, make_collection, tmp_path: Path) -> str:
    """Returns the URL of a folder with a folder of tracks for each of two genres."""
    return gcs.upload(make_collection(tmp_path / "music", tracks=1, duration_s=3.0), "genre=all")


def prepare(music: str, url: str) -> list[str]:
    """Returns the words of a small preparation."""
    return ["prepare", "dataset=folder", f"dataset.root={music}", f"output_dir={url}/prepared", "shards.min_shards=2"]


def train(url: str, *words: str) -> list[str]:
    """Returns the words of a small training."""
    return ["train", f"data_dir={url}/prepared", f"run_dir={url}/runs/a", *NETWORK, *words]


def check_ends_in_one_line(done, *, code: int, expected: str) -> None:
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    [line] = done.stderr.splitlines()
    assert expected in line
    assert "{" not in line


def test_the_role_of_objects_and_few_requests_are_enough(gcs: Gcs, music: str) -> None:
    gcs.set_faults(Faults(granted=OBJECT_ADMIN))
    done = gcs.run(prepare(music, gcs.url))
    assert done.returncode == 0, done.stderr
    assert not any(name.startswith(BUILD_FOLDER) or name.endswith(".tmp") for name in gcs.contents("prepared"))

    epochs = 4
    gcs.clear_requests()
    done = gcs.run(train(gcs.url, f"epochs={epochs}"))
    assert done.returncode == 0, done.stderr
    assert gcs.count_requests().requests <= 20 * epochs + 120
    check_writes(gcs.requests())
    # Nothing that was uploaded is uploaded again: the bytes of events grow with the epochs, not with their square.
    events = [record.name for record in gcs.requests() if record.kind == "insert" and "tfevents" in record.name]
    assert len(events) == len(set(events)) == 2 * epochs + 1 + 3
    names = json.loads(gcs.read("runs/a/checkpoints/checkpoints.json"))
    assert set(gcs.contents("runs/a/checkpoints")) == {
        "checkpoints.json",
        *(f"{name}{end}" for name in names.values() for end in (".index", ".data-00000-of-00001")),
    }
    left = [
        name for name in gcs.contents() if name.endswith(("/", ".tmp")) or "lease" in name or "access-check" in name
    ]
    assert left == []

    for words in (
        ["evaluate", f"run_dir={gcs.url}/runs/a"],
        ["compare", f"{gcs.url}/runs/*"],
        ["predict", f"{gcs.url}/runs/a", f"{music}/genre0/*/*"],
    ):
        gcs.clear_requests()
        done = gcs.run(words)
        assert done.returncode == 0, done.stderr
        assert gcs.count_requests().requests <= 60, words
        check_writes(gcs.requests())
    assert len(done.stdout.splitlines()) == 4  # of the pattern, whose folder has "=" in its name


def test_no_bucket(gcs: Gcs) -> None:
    """The endless loop of TensorFlow's `makedirs` was here."""
    nowhere = "gs://no-such-bucket-of-beamtune"
    expected = (
        f"the bucket {nowhere} does not exist: check the name, or create it: gcloud storage buckets create {nowhere}"
    )
    for words in (
        ["train", f"data_dir={gcs.url}/prepared", f"run_dir={nowhere}/run"],
        ["prepare", "dataset=folder", f"dataset.root={gcs.url}/music", f"output_dir={nowhere}/prepared"],
        ["explore", f"{nowhere}/prepared"],
        ["tune", "status", f"{nowhere}/search"],
    ):
        gcs.clear_requests()
        check_ends_in_one_line(gcs.run(words), code=2, expected=expected)
        assert gcs.count_requests().requests <= 4


@pytest.mark.parametrize(
    ("faults", "expected"),
    [
        (
            Faults(granted=OBJECT_VIEWER),
            f"{ACCOUNT} lacks the permission storage.objects.create: gcloud storage buckets add-iam-policy-binding "
            f"gs://BUCKET --member=serviceAccount:{ACCOUNT} --role=roles/storage.objectAdmin",
        ),
        (Faults(credentials="expired"), "Google refuses the credentials, which may have expired (Invalid Credentials)"),
        (Faults(credentials="refused"), "gcloud auth application-default login"),
        (Faults(requester_pays=True), "gcloud storage cp --recursive --billing-project=PROJECT gs://BUCKET/…"),
    ],
)
def test_refusals(gcs: Gcs, faults: Faults, expected: str) -> None:
    gcs.set_faults(faults)
    expected = expected.replace("BUCKET", gcs.bucket)
    # Before its scores are computed and printed.
    check_ends_in_one_line(gcs.run(["evaluate", f"run_dir={gcs.url}/run"]), code=2, expected=expected)


@pytest.mark.parametrize(
    ("key_file", "expected"),
    [
        (None, "there are no credentials for Google Cloud: gcloud auth application-default login"),
        ("/absent/key.json", "File /absent/key.json was not found."),
    ],
)
def test_no_credentials(gcs: Gcs, key_file: str | None, expected: str) -> None:
    del gcs.environment["GOOGLE_APPLICATION_CREDENTIALS"]
    if key_file is not None:
        gcs.environment["GOOGLE_APPLICATION_CREDENTIALS"] = key_file
    check_ends_in_one_line(gcs.run(["evaluate", f"run_dir={gcs.url}/run"]), code=2, expected=expected)


def test_an_outage_ends_the_training_which_resumes(gcs: Gcs, music: str) -> None:
    assert gcs.run(prepare(music, gcs.url)).returncode == 0
    # The second checkpoint cannot be uploaded.
    gcs.set_faults(Faults(kinds=("insert",), name_pattern="last-00002", unavailable_share=1.0))
    words = train(gcs.url, "epochs=3", "board.confusion_matrix=false", "board.num_spectrograms=0")
    done = gcs.run([*words, "storage.retry_deadline_s=1"])
    assert done.returncode == RUN_AGAIN, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith(f"beamtune train: {gcs.url}/runs/a/checkpoints/last-00002")
    assert last.endswith("what is finished is kept: run the same command again")
    # A shorter outage is waited for: the deadline is not that of the first start.
    gcs.set_faults(Faults(kinds=("insert",), name_pattern="last-00002", unavailable_share=1.0, times=8))
    done = gcs.run(words)
    assert done.returncode == 0, done.stderr
    assert "resuming" in done.stderr
    assert "after epoch 1" in done.stderr


def test_an_outage_ends_the_preparation_which_resumes_with_the_same_bytes(gcs: Gcs, music: str) -> None:
    # A track that cannot be read because of it is no reject.
    gcs.set_faults(Faults(name_pattern="genre=all/.*[.]", unavailable_share=1.0))
    done = gcs.run([*prepare(music, gcs.url), "storage.retry_deadline_s=1"])
    assert done.returncode == RUN_AGAIN, done.stderr
    assert done.stderr.splitlines()[-1].endswith("what is finished is kept: run the same command again")
    # A process that is killed while it uploads a shard leaves the whole of it, or nothing.
    gcs.set_faults(Faults(kinds=("insert",), name_pattern="tfrecord-00000-of-00002$", hold="before"))
    with gcs.start(prepare(music, gcs.url)) as process:
        gcs.wait_until_held()
        process.send_signal(signal.SIGKILL)
        process.communicate()
    gcs.set_faults(Faults())
    left = {name: content for name, content in gcs.contents("prepared").items() if name.endswith("-of-00002")}
    # The lease of the killed process is stale after a minute.
    gcs.delete("prepared/.beamtune-lease")
    done = gcs.run(prepare(music, gcs.url))
    assert done.returncode == 0, done.stderr
    resumed = gcs.contents("prepared")
    assert not any(name.startswith(BUILD_FOLDER) or name.endswith(".tmp") for name in resumed)
    again = [word.replace("/prepared", "/again") for word in prepare(music, gcs.url)]
    assert gcs.run(again).returncode == 0
    shards = {name: content for name, content in resumed.items() if name.endswith("-of-00002")}
    assert left.items() <= shards.items()
    assert shards == {name: content for name, content in gcs.contents("again").items() if name in shards}
    assert shards


def test_a_missing_object_of_a_table_is_a_reject(gcs: Gcs, music: str) -> None:
    paths = [f"{music}/{name}" for name in sorted(gcs.contents("genre=all"))]
    rows = [f"{path},{path.split('/')[-3]}" for path in [*paths, f"{music}/genre0/absent/1.mp3"]]
    gcs.write("tracks.csv", "\n".join(["path,genre", *rows]).encode())
    done = gcs.run(
        [
            *("prepare", "dataset=csv", f"dataset.path={gcs.url}/tracks.csv", "dataset.group_column=null"),
            *(f"output_dir={gcs.url}/prepared", "max_reject_fraction=0.5", "shards.min_shards=2"),
        ]
    )
    assert done.returncode == 0, done.stderr
    [reject] = [json.loads(line) for line in gcs.read("prepared/rejects.jsonl").splitlines()]
    assert (reject["uri"], reject["reason"]) == (f"{music}/genre0/absent/1.mp3", "missing")
