"""The model of encoded files; the independent sources are libsndfile and `predict`. Most need tensorflow-io."""

import io
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import tensorflow as tf

import beamtune
from beam_pipelines.common.errors import RunFailedError
from trainer.export import checks, served_bytes
from trainer.export.checks import run_saved_model_bytes
from trainer.export.config import ExportConfig
from trainer.export.export import export
from trainer.export.reference_clips import ReferenceClip
from trainer.training.config import TrainConfig

LABELS = ("blues", "funk", "waltz")
NUM_DAMAGED = 40
# Runs one batch of all files in a folder, and then each file of another folder behind a right one, without beamtune.
PROGRAM = """
import sys
from pathlib import Path

for name in ("beamtune", "beam_pipelines", "configs", "trainer"):
    sys.modules[name] = None

import numpy as np
import tensorflow as tf
from tensorflow_io.python.ops import core_ops

core_ops.io_audio_decode_mp3
saved_model, songs, damaged, results = sys.argv[1:]
serve = tf.saved_model.load(saved_model).signatures["serve_bytes"]
found = serve(encoded=tf.constant([path.read_bytes() for path in sorted(Path(songs).iterdir())]))
messages = []
for path in sorted(Path(damaged).iterdir()):
    try:
        serve(encoded=tf.constant([next(Path(songs).glob("*.wav")).read_bytes(), path.read_bytes()]))
        messages.append("")
    except tf.errors.OpError as error:
        messages.append(error.message)
np.savez(results, messages=messages, **{name: np.array(value.numpy().tolist()) for name, value in found.items()})
"""


def needs_tensorflow_io() -> None:
    pytest.importorskip("tensorflow_io")


def encoded(*, ending: str, rate_hz: int, channels: int, duration_s: float, subtype: str | None = None) -> bytes:
    """Returns a file of rising tones in noise, other ones for other arguments."""
    rng = np.random.default_rng([rate_hz, channels, len(ending)])
    times_s = np.arange(round(duration_s * rate_hz)) / rate_hz
    tones = [np.sin(2 * np.pi * (200 + 90 * channel + 300 * times_s) * times_s) for channel in range(channels)]
    samples = 0.4 * np.stack(tones, axis=1) + rng.normal(0, 0.02, (len(times_s), channels))
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format=ending, subtype=subtype)
    return file.getvalue()


def write_songs(folder: Path) -> None:
    for index, rate_hz in enumerate((44_100, 48_000, 22_050)):
        for channels in (1, 2):
            for ending in ("mp3", "flac", "wav"):
                path = folder / f"{ending}-{rate_hz}-{channels}.{ending}"
                path.write_bytes(encoded(ending=ending, rate_hz=rate_hz, channels=channels, duration_s=0.4 + index))
    (folder / "flac-24-bits.flac").write_bytes(
        encoded(ending="flac", rate_hz=96_000, channels=2, duration_s=1.0, subtype="PCM_24")
    )
    soundfile.write(folder / "z-silent.wav", np.zeros(9000), 44_100)


def write_damaged(folder: Path) -> dict[str, str]:
    """Writes files that are refused; returns what the message of each says, by name."""
    mp3, flac, wav = (
        encoded(ending=ending, rate_hz=44_100, channels=2, duration_s=1.0) for ending in ("mp3", "flac", "wav")
    )
    second_frame = flac.index(b"\xff\xf8", flac.index(b"\xff\xf8") + 2)
    files = {
        "empty": (b"", "encoded is empty"),
        "noise": (np.random.default_rng(0).bytes(100_000), "encoded is no mp3, FLAC or WAV file"),
        "ogg": (
            encoded(ending="ogg", rate_hz=44_100, channels=1, duration_s=0.5),
            "encoded is no mp3, FLAC or WAV file",
        ),
        "mp3": (mp3[: len(mp3) // 2], "encoded is a truncated or damaged mp3 file"),
        "flac": (flac[: len(flac) // 2], "encoded is a truncated or damaged FLAC file"),
        # All checksums are right, but tensorflow-io would wait for the other frames for ever.
        "flac-of-one-frame": (flac[:second_frame], "unable to read at"),
        "wav": (wav[: len(wav) // 2], "encoded is a truncated WAV file"),
    }
    for name, (data, _) in files.items():
        (folder / name).write_bytes(data)
    for kind, data in (("mp3", mp3), ("flac", flac), ("wav", wav)):
        for number in range(NUM_DAMAGED):
            (folder / f"z-{kind}-{number}").write_bytes(damage(data, number))
    return {name: message for name, (_, message) in files.items()}


def damage(data: bytes, number: int) -> bytes:
    """Returns a file that is cut off, has other bytes somewhere or in its first ones, or lacks some."""
    rng = np.random.default_rng(number)
    if number % 4 == 0:
        return data[: rng.integers(1, len(data))]
    if number % 4 == 3:
        at = rng.integers(len(data))
        return data[:at] + data[at + rng.integers(1, 3000) :]
    changed = bytearray(data)
    for at in rng.integers(len(data) if number % 4 == 1 else 120, size=3):
        changed[at] = rng.integers(256)
    return bytes(changed)


@pytest.fixture(scope="module")
def exported(shared_config: TrainConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    needs_tensorflow_io()
    folder = tmp_path_factory.mktemp("exported")
    with (folder / "table.txt").open("w") as stream:
        export(shared_config.run_dir, ExportConfig(output_dir=str(folder / "export")), stream=stream)
    return folder / "export"


@pytest.fixture(scope="module")
def served(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The folder of songs, what the model answers to them, and what it says of damaged files."""
    folder = tmp_path_factory.mktemp("served")
    songs, damaged, results = (folder / name for name in ("songs", "damaged", "results.npz"))
    songs.mkdir()
    damaged.mkdir()
    write_songs(songs)
    expected = write_damaged(damaged)
    command = [
        sys.executable,
        "-I",
        "-c",
        PROGRAM,
        *map(str, (exported / "saved_model_bytes", songs, damaged, results)),
    ]
    subprocess.run(command, check=True, timeout=600)
    with np.load(results, allow_pickle=False) as content:
        found = dict(content)
    return SimpleNamespace(songs=sorted(songs.iterdir()), expected=expected, **found)


@pytest.mark.slow
def test_a_batch_of_files_is_answered_as_predict_answers_them(served: Any, shared_config: TrainConfig) -> None:
    model = beamtune.load(shared_config.run_dir)
    assert len(served.songs) == len(served.probabilities) == 20
    assert served.is_silent.tolist() == [False] * 19 + [True]
    assert served.probabilities[-1].tolist() == [0.0] * 3
    for path, probabilities, embedding in list(zip(served.songs, served.probabilities, served.embedding, strict=True))[
        :-1
    ]:
        expected = model.predict(path)
        np.testing.assert_allclose(probabilities, list(expected.probabilities.values()), rtol=0, atol=1e-3)
        np.testing.assert_allclose(embedding, model.embed(path).vector, rtol=0, atol=0.02)
        assert LABELS[probabilities.argmax()] == expected.label
    assert served.labels.tolist() == [[label.encode() for label in LABELS]] * 20
    assert np.ptp(served.probabilities[:-1], axis=0).max() > 0.01  # otherwise any probabilities would do


@pytest.mark.slow
def test_what_is_not_decoded_is_an_error_that_names_the_file_of_the_batch(served: Any) -> None:
    for (name, expected), message in zip(sorted(served.expected.items()), served.messages, strict=False):
        assert expected in message, name
        if expected.startswith("encoded"):
            assert "assertion failed" in message and "[file of the batch:] [1]" in message, name


@pytest.mark.slow
def test_damage_at_random_places_neither_crashes_nor_hangs(served: Any) -> None:
    assert len(served.messages) == len(served.expected) + 3 * NUM_DAMAGED
    by_kind = np.array(served.messages[len(served.expected) :]).reshape(3, NUM_DAMAGED) != ""
    # In the order of names: flac, mp3, wav. Changed bytes of mp3 and WAV may be other audio.
    assert by_kind[0].mean() > 0.9 and (by_kind[1:].mean(axis=1) > 0.3).all()


@pytest.mark.slow
def test_the_export_says_how_it_is_loaded_and_compares_it(exported: Path) -> None:
    found = json.loads((exported / "signature.json").read_text())["formats"]["saved_model_bytes"]
    assert found["path"] == "saved_model_bytes"
    assert list(found["signatures"]) == ["serve_bytes"]
    assert found["requires"]["tensorflow-io"] == "0.37.1"
    assert found["requires"]["before_loading"] == (
        "from tensorflow_io.python.ops import core_ops; core_ops.io_audio_decode_mp3"
    )
    report = json.loads((exported / "export.json").read_text())["formats"]["saved_model_bytes"]
    assert [clip["name"] for clip in report["clips"]] == ["noise", "sine of 440 Hz", "silence"]
    assert report["largest_difference"] < 1e-2
    assert "is left out" not in (exported.parent / "table.txt").read_text()


@pytest.mark.slow
def test_the_example_runs_with_tensorflow_and_tensorflow_io(exported: Path, served: Any) -> None:
    done = subprocess.run(
        [sys.executable, "-I", str(exported / "example_bytes.py"), *map(str, (*served.songs[:2], served.songs[-1]))],
        capture_output=True,
        text=True,
        check=True,
    )
    *lines, silent = done.stdout.splitlines()
    assert silent == f"{served.songs[-1]} silent"
    found = [line.rsplit(maxsplit=2) for line in lines]
    assert [path for path, _, _ in found] == [str(path) for path in served.songs[:2] for _ in LABELS]
    for place, (_, genre, probability) in enumerate(found):
        expected = served.probabilities[place // 3][LABELS.index(genre)]
        assert float(probability) == pytest.approx(expected, abs=1e-3)


@pytest.mark.slow
def test_the_saved_model_of_samples_needs_no_tensorflow_io(exported: Path) -> None:
    program = "import sys, tensorflow as tf; [print(*tf.saved_model.load(path).signatures) for path in sys.argv[1:]]"
    paths = [str(exported / name) for name in ("saved_model", "saved_model_bytes")]
    done = subprocess.run([sys.executable, "-I", "-c", program, *paths], capture_output=True, text=True, check=False)
    assert done.stdout == "serving_default serve_features serve_segments\n"
    assert done.returncode == 1 and "Op type not registered 'IO>AudioDecode" in done.stderr


@pytest.mark.slow
def test_files_that_are_refused_are_not_compared(exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = np.zeros(1, np.float32)
    whole = encoded(ending="wav", rate_hz=44_100, channels=1, duration_s=1.0)
    clips = [
        ReferenceClip("a", samples, 44_100),
        *(ReferenceClip("b", samples, 44_100, data) for data in (b"OggS", whole)),
    ]
    found = run_saved_model_bytes(str(exported / "saved_model_bytes"), clips, labels=LABELS).outputs
    assert [one is None for one in found] == [True, True, False]
    refused = {"probabilities": np.full((1, 3), np.nan), "embeddings": np.full((1, 2), np.nan)}
    monkeypatch.setattr(checks, "_run_script", lambda *_, **__: {**refused, "errors": np.array(["encoded is no mp3"])})
    with pytest.raises(RunFailedError, match="encoded files refuses all of them: encoded is no mp3$"):
        run_saved_model_bytes("", clips[1:2], labels=LABELS)


@pytest.mark.slow
def test_real_files_are_decoded_as_by_libsndfile(real_music: Path) -> None:
    needs_tensorflow_io()
    inputs = [tf.TensorSpec((), tf.string), tf.TensorSpec((), tf.int32)]
    decode = tf.function(served_bytes.decode, input_signature=inputs, autograph=False)
    for path in sorted(real_music.glob("*/*.mp3"))[::9]:
        expected, expected_hz = soundfile.read(path, dtype="float32", always_2d=True)
        samples, rate_hz = decode(path.read_bytes(), 0)
        assert rate_hz == expected_hz
        np.testing.assert_allclose(samples, expected.mean(axis=1), rtol=0, atol=1e-5, err_msg=path.name)


def test_a_library_that_does_not_load_is_a_reason_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> Any:
        raise NotImplementedError("unable to open file: libtensorflow_io.so, from paths: []\ncaused by: []")

    monkeypatch.setattr(served_bytes, "import_module", fail)
    assert served_bytes.why_not_decoded() == (
        f"tensorflow-io does not load with TensorFlow {tf.__version__} (unable to open file: libtensorflow_io.so, from "
        "paths: [])"
    )
