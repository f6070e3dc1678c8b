"""`beamtune prepare` on a collection in which most files are broken, each in its own way."""

import io
import json
import os
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from beam_pipelines.common.python_process import python_command

pytestmark = pytest.mark.slow

REPOSITORY = Path(__file__).resolve().parents[2]
RATE_HZ = 16_000
MAX_DURATION_S = 20
MAX_PEAK_MB = 900
NUM_FLIPPED = 24
GOOD_ENDINGS = ("wav", "flac", "ogg", "mp3", "au", "aiff")

# Runs a command and prints the peak memory of it and its children, in KiB. Between the tests and the command, because
# Linux counts what a parent held as a part of the peak of a process that it has just started.
LAUNCHER = """
import resource, subprocess, sys
code = subprocess.call(sys.argv[1:], stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""


def sound(seed: int, *, duration_s: float = 4.0) -> np.ndarray:
    """Returns chords in noise that no other seed makes, (frames,) float32."""
    rng = np.random.default_rng(seed)
    times = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    tones = sum(np.sin(2 * np.pi * frequency * times) for frequency in rng.uniform(100, 4000, 6))
    swell = 0.6 + 0.4 * np.sin(2 * np.pi * rng.uniform(0.5, 4) * times)
    return (0.1 * swell * tones + rng.normal(0, 0.02, len(times))).astype(np.float32)


def encoded(samples: np.ndarray, file_format: str, subtype: str | None = None) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, RATE_HZ, format=file_format, subtype=subtype)
    return buffer.getvalue()


def patched(data: bytes, offset: int, layout: str, value: int) -> bytes:
    """Returns data with one number in it changed."""
    changed = bytearray(data)
    struct.pack_into(layout, changed, offset, value)
    return bytes(changed)


def damaged(data: bytes, *, seed: int, num_bytes: int, start: int = 0) -> bytes:
    """Returns data in which bytes from `start` on are overwritten at random."""
    rng = np.random.default_rng(seed)
    changed = np.frombuffer(data, dtype=np.uint8).copy()
    changed[rng.integers(start, len(data), num_bytes)] = rng.integers(0, 256, num_bytes)
    return changed.tobytes()


def zipped(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("song.wav", data)
    return buffer.getvalue()


def with_sample(value: float) -> bytes:
    samples = sound(1)
    samples[5000] = value
    return encoded(samples, "WAV", "FLOAT")


def headers() -> dict[str, tuple[bytes, str]]:
    """WAV files whose header is wrong: contents and reason by name."""
    wav = encoded(sound(2), "WAV")
    return {
        "header-cut-8.wav": (wav[:8], "undecodable"),
        "header-cut-20.wav": (wav[:20], "undecodable"),
        "header-cut-40.wav": (wav[:40], "undecodable"),
        "header-alone.wav": (wav[:44], "no_audio"),
        "rate-0.wav": (patched(wav, 24, "<I", 0), "undecodable"),
        "rate-1e9.wav": (patched(wav, 24, "<I", 10**9), "bad_header"),
        "channels-0.wav": (patched(wav, 22, "<H", 0), "undecodable"),
        "channels-65.wav": (patched(wav, 22, "<H", 65), "bad_header"),
        "channels-65535.wav": (patched(wav, 22, "<H", 65_535), "undecodable"),
        "bits-0.wav": (patched(wav, 34, "<H", 0), "undecodable"),
        "codec-unknown.wav": (patched(wav, 20, "<H", 0xABCD), "undecodable"),
        "format-size-huge.wav": (patched(wav, 16, "<I", 0xFFFFFFF0), "undecodable"),
    }


def contents_of_no_use() -> dict[str, tuple[bytes, str]]:
    """Files that are no audio, or audio of no use: contents and reason by name."""
    mp3, flac = encoded(sound(3), "MP3"), encoded(sound(3), "FLAC")
    random = np.random.default_rng(0)
    endings = ("mp3", "wav", "flac", "ogg", "opus", "au", "aif", "aiff", "m4a")
    return {
        "empty.mp3": (b"", "empty_file"),
        "text.mp3": (b"no audio, a text\n" * 200, "undecodable"),
        "zeros.mp3": (bytes(50_000), "undecodable"),
        "page.mp3": (b"<!DOCTYPE html><title>404</title>" * 50, "undecodable"),
        "picture.mp3": (b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + random.bytes(3000), "undecodable"),
        "id3-alone.mp3": (b"ID3\x04\x00\x00\x00\x00\x07\x68" + bytes(1000), "undecodable"),
        "zip.wav": (zipped(encoded(sound(3), "WAV")), "undecodable"),
        "broken-frame.flac": (damaged(flac, seed=0, num_bytes=400, start=len(flac) // 2), "damaged"),
        "half.mp3": (mp3[: round(len(mp3) * 0.6)], "damaged"),
        "half.aiff": (encoded(sound(8), "AIFF")[:64_000], "damaged"),
        "end-alone.flac": (flac[len(flac) // 2 :], "undecodable"),
        "nan.wav": (with_sample(np.nan), "not_finite"),
        "infinite.wav": (with_sample(-np.inf), "not_finite"),
        "beyond-float32.wav": (encoded(np.full(4 * RATE_HZ, 1e300), "WAV", "DOUBLE"), "not_finite"),
        "power-beyond-float32.wav": (with_sample(3e38), "not_finite"),
        "one-sample.wav": (encoded(sound(4)[:1], "WAV"), "too_short"),
        "too-short.wav": (encoded(sound(4, duration_s=0.9), "WAV"), "too_short"),
        "silence.flac": (encoded(np.zeros(4 * RATE_HZ, dtype=np.float32), "FLAC"), "silent"),
        "underflow.wav": (encoded(np.full(4 * RATE_HZ, 1e-40, dtype=np.float32), "WAV", "FLOAT"), "silent"),
        **{f"random.{ending}": (random.bytes(20_000), "undecodable") for ending in endings},
    }


def usable_in_part() -> dict[str, tuple[bytes, int]]:
    """Files that are damaged and used as far as they go: contents and the number of segments by name."""
    wav, mp3, ogg = (encoded(sound(5 + i), name) for i, name in enumerate(("WAV", "MP3", "OGG")))
    aiff = encoded(sound(8), "AIFF")
    return {
        "data-size-huge.wav": (patched(patched(wav, 4, "<I", 0xFFFFFFF0), 40, "<I", 0xFFFFFFC0), 4),
        "data-size-0.wav": (patched(wav, 40, "<I", 0), 4),
        "cut.mp3": (mp3[: round(len(mp3) * 0.95)], 3),
        "cut.ogg": (ogg[: round(len(ogg) * 0.8)], 2),
        "cut.aiff": (aiff[: round(len(aiff) * 0.95)], 3),
        "id3-longer-than-the-file.mp3": (b"ID3\x04\x00\x00\x7f\x7f\x7f\x7f" + encoded(sound(12), "MP3"), 4),
        "id3-before.mp3": (b"ID3\x04\x00\x00\x00\x00\x07\x68" + bytes(1000) + encoded(sound(9), "MP3"), 4),
        "hole.mp3": (damaged(encoded(sound(10), "MP3"), seed=1, num_bytes=100, start=4000), 4),
    }


def mp4_files() -> dict[str, tuple[bytes, str | int]]:
    """MP4 files: contents, and the reason or the number of segments, by name."""

    def aac(layout: str, channels: int) -> bytes:
        buffer = io.BytesIO()
        with av.open(buffer, "w", format="mp4") as container:
            stream = container.add_stream("aac", rate=RATE_HZ, layout=layout)
            samples = np.repeat(sound(11 + channels), channels)[None]
            frame = av.AudioFrame.from_ndarray(samples, format="flt", layout=layout)
            frame.sample_rate = RATE_HZ
            for packet in [*stream.encode(frame), *stream.encode(None)]:
                container.mux(packet)
        return buffer.getvalue()

    def video() -> bytes:
        buffer = io.BytesIO()
        with av.open(buffer, "w", format="mp4") as container:
            stream = container.add_stream("mpeg4", rate=10)
            stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), dtype=np.uint8), format="rgb24")
            for packet in [*stream.encode(frame), *stream.encode(None)]:
                container.mux(packet)
        return buffer.getvalue()

    mono = aac("mono", 1)
    codec = mono.index(b"\x04\x80\x80\x80", mono.index(b"esds")) + 5  # a byte for the codec, beside its name
    return {
        "video-alone.m4a": (video(), "no_audio"),
        "codec-unknown.m4a": (patched(mono.replace(b"mp4a", b"mpXX"), codec, "B", 0xFF), "undecodable"),
        "cut.m4a": (mono[: len(mono) // 2], "undecodable"),
        "ftyp-alone.m4a": (b"\x00\x00\x00\x20ftypM4A " + bytes(200), "undecodable"),
        "stereo.m4a": (aac("stereo", 2), 4),
        "eight-channels.m4a": (aac("7.1", 8), 4),
    }


@pytest.fixture(scope="module")
def collection(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str | int | None]]:
    """The table of the collection; of each file its reason, or its number of segments, or None where any will do."""
    root = tmp_path_factory.mktemp("hostile")
    expected: dict[str, str | int | None] = {}
    rows = ["path,genre,artist,split"]

    def add(name: str, outcome: str | int | None, *, split: str = "train", genre: str = "drone") -> None:
        expected[name] = outcome
        rows.append(f"{name},{genre},artist of {name},{split}")

    for name, (data, outcome) in {**headers(), **contents_of_no_use(), **usable_in_part(), **mp4_files()}.items():
        (root / name).write_bytes(data)
        add(name, outcome)
    for seed in range(NUM_FLIPPED):
        original = encoded(sound(100 + seed), "MP3")
        start = 0 if seed % 2 else 500  # half of them with a header that may be damaged too
        (root / f"flipped-{seed}.mp3").write_bytes(damaged(original, seed=seed, num_bytes=40, start=start))
        add(f"flipped-{seed}.mp3", None)
    for index in range(36):
        name = f"good-{index}.{GOOD_ENDINGS[index % len(GOOD_ENDINGS)]}"
        soundfile.write(root / name, sound(200 + index), RATE_HZ)
        add(name, 4, split=("train", "validation", "test")[index % 3], genre=f"genre{index // 3 % 2}")
    (root / "copy.wav").write_bytes(encoded(soundfile.read(root / "good-2.ogg")[0], "WAV"))
    add("copy.wav", "duplicate")
    _write_endless(root / "endless-silence.wav", beginning=b"")
    add("endless-silence.wav", "silent")
    _write_endless(root / "endless.wav", beginning=encoded(sound(20), "WAV")[44:])
    add("endless.wav", 4)
    (root / "folder.mp3").mkdir()
    add("folder.mp3", "unreadable")
    (root / "link-to-nothing.mp3").symlink_to("nothing.mp3")
    add("link-to-nothing.mp3", "missing")
    add("not-there.mp3", "missing")
    (root / "tracks.csv").write_text("\n".join(rows) + "\n")
    return root / "tracks.csv", expected


def _write_endless(path: Path, *, beginning: bytes) -> None:
    """Writes a WAV file of more than ten hours that takes next to no room on disk: zeros behind its beginning."""
    num_bytes = 12 * 3600 * RATE_HZ * 2
    header = encoded(sound(0), "WAV")[:44]
    header = patched(patched(header, 4, "<I", num_bytes + 36), 40, "<I", num_bytes)
    path.write_bytes(header + beginning)
    os.truncate(path, 44 + num_bytes)


@pytest.fixture(scope="module")
def run(
    collection: tuple[Path, dict[str, str | int | None]], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[int], tuple[Path, int]]:
    """Prepares the collection with a number of workers, once; returns the directory and the peak memory in MB."""
    manifest, _ = collection
    finished: dict[int, tuple[Path, int]] = {}

    def prepare(num_workers: int) -> tuple[Path, int]:
        if num_workers not in finished:
            output_dir = tmp_path_factory.mktemp(f"workers{num_workers}") / "out"
            words = [
                *("prepare", "dataset=csv", f"dataset.path={manifest}", "dataset.split_column=split"),
                *("features=[log_mel,mfcc]", "segment.duration_s=1", "segment.hop_s=1"),
                *(f"audio.max_duration_s={MAX_DURATION_S}", "shards.min_shards=2", "max_reject_fraction=1"),
                *("duplicates.min_overlap_s=3", f"runner.num_workers={num_workers}", f"output_dir={output_dir}"),
            ]
            result = subprocess.run(
                [sys.executable, "-c", LAUNCHER, *python_command("configs.cli:run", *words)],
                capture_output=True,
                text=True,
                cwd=REPOSITORY,
                timeout=1200,
                check=False,
            )
            assert result.returncode == 0, result.stderr
            finished[num_workers] = (output_dir, int(result.stdout) * 1024 // 10**6)
        return finished[num_workers]

    return prepare


def json_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_bad_file_has_its_reason_and_each_good_one_all_its_segments(collection, run):
    _, expected = collection
    output_dir, _ = run(2)
    outcomes = {item["track_id"]: item["reason"] for item in json_lines(output_dir / "rejects.jsonl")}
    tracks = {item["track_id"]: item for item in json_lines(output_dir / "tracks.jsonl")}
    assert not outcomes.keys() & tracks.keys()
    outcomes |= {name: track["num_segments"] for name, track in tracks.items()}
    assert outcomes.keys() == expected.keys()
    assert {name: outcomes[name] for name, outcome in expected.items() if outcome is not None} == {
        name: outcome for name, outcome in expected.items() if outcome is not None
    }
    flipped = [outcomes[name] for name, outcome in expected.items() if outcome is None]
    assert {outcome for outcome in flipped if isinstance(outcome, str)} <= {
        "damaged",
        "undecodable",
        "no_audio",
        "too_short",
    }
    assert any(isinstance(outcome, int) for outcome in flipped)


def test_a_file_without_end_is_used_up_to_the_longest_duration(run):
    output_dir, _ = run(2)
    [track] = [item for item in json_lines(output_dir / "tracks.jsonl") if item["track_id"] == "endless.wav"]
    assert (track["duration_s"], track["is_truncated"]) == (MAX_DURATION_S, True)
    assert track["num_silent_segments"] == MAX_DURATION_S - 4


def test_statistics_are_numbers_whatever_was_in_the_files(run):
    output_dir, _ = run(2)

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is in a file")

    for path in output_dir.glob("*.json*"):
        for line in path.read_text().splitlines() if path.suffix == ".jsonl" else [path.read_text()]:
            json.loads(line, parse_constant=refuse)


@pytest.mark.parametrize("num_workers", [1, 2])
def test_memory_stays_bounded(run, num_workers):
    _, peak_mb = run(num_workers)
    assert peak_mb < MAX_PEAK_MB


def test_the_bytes_do_not_depend_on_the_number_of_workers(run):
    one, two = (
        {path.relative_to(output_dir): path.read_bytes() for path in output_dir.rglob("*") if path.is_file()}
        for output_dir, _ in (run(1), run(2))
    )
    assert one == two
