"""Fixtures for all tests: generated audio files, the real music if it exists, and the command line as a process."""

import csv
import gc
import os
import signal
import subprocess
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
from left_out import pytest_deselected, pytest_terminal_summary, pytest_testnodedown  # noqa: F401

from beam_pipelines.common import bucket_client
from beam_pipelines.common.cache import cache_dir
from beam_pipelines.common.errors import RunFailedError, UserError
from beam_pipelines.common.python_process import python_command

if TYPE_CHECKING:
    from gcs.fixture import Gcs
    from gcs.process import GcsProcess

pytest.register_assert_rewrite("checkpoint_values", "tuner_checks")

REPOSITORY = Path(__file__).resolve().parents[1]
REAL_MUSIC = REPOSITORY.parent / "shared" / "data" / "magnatune4"

if _worker := os.environ.get("PYTEST_XDIST_WORKER"):
    # librosa's compiled functions: two processes that write to the same cache of numba can crash on what they read.
    os.environ["NUMBA_CACHE_DIR"] = str(REPOSITORY / ".pytest_cache" / f"numba-{_worker}")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Processes that a shell starts in the background ignore SIGINT, and so do the child processes of tests.
    signal.signal(signal.SIGINT, signal.default_int_handler)

WriteAudio = Callable[..., Path]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the option that tests/test_snapshots.py describes."""
    parser.addoption("--update-snapshots", action="store_true", help="write tests/snapshots again")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Moves files with slow tests to the front: at the end no process waits long for the last file of another one."""
    slow_files = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow_files)


def pytest_collection_finish() -> None:
    """Excludes what the tests have imported from garbage collection, which would look at half a million objects."""
    gc.collect()
    gc.freeze()


# The columns of fma_metadata/tracks.csv, in their order.
FMA_COLUMNS = [
    (top, bottom)
    for top, bottoms in {
        "album": "comments date_created date_released engineer favorites id information listens producer tags title "
        "tracks type",
        "artist": "active_year_begin active_year_end associated_labels bio comments date_created favorites id latitude "
        "location longitude members name related_projects tags website wikipedia_page",
        "set": "split subset",
        "track": "bit_rate comments composer date_created date_recorded duration favorites genre_top genres genres_all "
        "information interest language_code license listens lyricist number publisher tags title",
    }.items()
    for bottom in bottoms.split()
]


def tone(
    *, frequency_hz: float, pulse_hz: float, duration_s: float, sample_rate_hz: int, channels: int
) -> npt.NDArray[np.float32]:
    """Returns a sine at half of full scale with a little noise, (frames, channels), pulsing if pulse_hz is not 0."""
    times = np.arange(round(duration_s * sample_rate_hz)) / sample_rate_hz
    noise = np.random.default_rng(round(frequency_hz)).normal(0, 0.01, (len(times), channels))
    sine = 0.5 * np.cos(np.pi * pulse_hz * times) ** 2 * np.sin(2 * np.pi * frequency_hz * times)
    return (sine[:, None] + noise).astype(np.float32)


@pytest.fixture(scope="session")
def write_audio() -> WriteAudio:
    """Writes a tone to a file, in the format of its extension; returns the path."""

    def write(
        path: Path,
        *,
        frequency_hz: float = 440.0,
        pulse_hz: float = 0.0,
        duration_s: float = 4.0,
        sample_rate_hz: int = 16_000,
        channels: int = 1,
    ) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        samples = tone(
            frequency_hz=frequency_hz,
            pulse_hz=pulse_hz,
            duration_s=duration_s,
            sample_rate_hz=sample_rate_hz,
            channels=channels,
        )
        soundfile.write(path, samples, sample_rate_hz)
        return path

    return write


@pytest.fixture(scope="session")
def make_collection(write_audio: WriteAudio) -> Callable[..., Path]:
    """Writes root/genre<g>/artist<g><a>/<n>.wav: each genre pulses at its own rate, each artist has its own pitch."""

    def make(
        root: Path, *, genres: int = 2, artists: int = 4, tracks: int = 2, duration_s: float = 4.0, ending: str = "wav"
    ) -> Path:
        for genre in range(genres):
            for artist in range(artists):
                for track in range(tracks):
                    write_audio(
                        root / f"genre{genre}" / f"artist{genre}{artist}" / f"{track}.{ending}",
                        frequency_hz=300.0 + 40 * artist + 3 * track + genre,
                        pulse_hz=2.0 + 3.0 * genre,
                        duration_s=duration_s,
                    )
        return root

    return make


@pytest.fixture
def make_gtzan(write_audio: WriteAudio) -> Callable[..., Path]:
    """Writes clips of GTZAN in one of its published layouts, each another tone; returns the parent folder."""

    def make(root: Path, clips: Mapping[str, float], *, folder: str = "genres", ending: str = "au") -> Path:
        """clips: duration in seconds by name, such as {"blues.00029": 30.01}."""
        for index, (clip, duration_s) in enumerate(clips.items()):
            write_audio(
                root / folder / clip.split(".")[0] / f"{clip}.{ending}",
                frequency_hz=200.0 + 17 * index,
                pulse_hz=1.0 + index % 7,
                duration_s=duration_s,
                sample_rate_hz=22_050,
            )
        return root

    return make


@pytest.fixture
def make_fma(write_audio: WriteAudio) -> Callable[..., Path]:
    """Writes a subset of the Free Music Archive in its published layout: mp3 files and tracks.csv."""

    def make(root: Path, rows: Sequence[Mapping[str, object]], *, subset: str = "small") -> Path:
        """rows: number, genre, split, subset, artist and album of each track; duration_s=None leaves the file out."""
        for index, row in enumerate(rows):
            number, duration_s = row["number"], row.get("duration_s", 4.0)
            if duration_s is not None:
                write_audio(
                    root / f"fma_{subset}" / f"{number // 1000:03d}" / f"{number:06d}.mp3",
                    frequency_hz=200.0 + 17 * index,
                    pulse_hz=1.0 + index % 7,
                    duration_s=duration_s,
                    sample_rate_hz=44_100,
                    channels=2,
                )
        table = root / "fma_metadata" / "tracks.csv"
        table.parent.mkdir(parents=True, exist_ok=True)
        with open(table, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["", *(top for top, _ in FMA_COLUMNS)])
            writer.writerow(["", *(bottom for _, bottom in FMA_COLUMNS)])
            writer.writerow(["track_id", *("" for _ in FMA_COLUMNS)])
            for row in rows:
                cells = {
                    ("track", "genre_top"): row["genre"],
                    ("set", "split"): row.get("split", "training"),
                    ("set", "subset"): row.get("subset", subset),
                    ("artist", "id"): row.get("artist", row["number"]),
                    ("album", "id"): row.get("album", row["number"]),
                    ("artist", "bio"): '<p>Two lines,\nand a "quote"</p>',
                }
                writer.writerow([row["number"], *(cells.get(pair, "") for pair in FMA_COLUMNS)])
        return root

    return make


@pytest.fixture
def real_music() -> Path:
    """The folder of real mp3 files; skips the test if it does not exist."""
    if not REAL_MUSIC.is_dir():
        pytest.skip(f"the real music does not exist: {REAL_MUSIC}")
    return REAL_MUSIC


@pytest.fixture(scope="session")
def musicnn_wheel() -> Path:
    """The wheel with musicnn's weights, which pip downloads once into the cache; skips the test if it cannot."""
    from beam_pipelines.download.musicnn_wheel import fetch_musicnn_wheel
    from beam_pipelines.features.config import MUSICNN_WHEEL

    path = Path(cache_dir()) / MUSICNN_WHEEL
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_RETRIES", "0")
        try:
            fetch_musicnn_wheel(str(path))
        except (RunFailedError, UserError) as error:
            pytest.skip(f"musicnn's weights are not there: {error}")
    return path


@pytest.fixture(scope="session")
def beamtune() -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """Runs the command line in a new process, with the packages of this checkout."""

    def run(*words: object, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            python_command("configs.cli:run", *map(str, words)),
            capture_output=True,
            text=True,
            cwd=cwd,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            timeout=600,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def gcs_server(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[GcsProcess]":
    """The emulator of Google Cloud Storage; `tests/helpers/gcs` says how it works."""
    from gcs.process import GcsProcess  # needs what the environment of tensorflow-io does not have

    with GcsProcess(tmp_path_factory.mktemp("gcs")) as process:
        yield process


@pytest.fixture
def gcs(gcs_server: "GcsProcess") -> "Gcs":
    """A new bucket, and all that a test does with it."""
    from gcs.fixture import Gcs

    return Gcs(gcs_server, f"test-{uuid.uuid4().hex[:12]}")


@pytest.fixture
def gcs_here(gcs: "Gcs", monkeypatch: pytest.MonkeyPatch) -> "Iterator[Gcs]":
    """A new bucket that Google's client reaches in the process of the test."""
    for name in os.environ.keys() - gcs.environment.keys():
        monkeypatch.delenv(name)
    for name, value in gcs.environment.items():
        monkeypatch.setenv(name, value)
    bucket_client.client.cache_clear()  # that of another test may have other credentials
    yield gcs
    bucket_client.client.cache_clear()
