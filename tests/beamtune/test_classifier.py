"""The classifier, against `beamtune predict` and direct calls of Keras; and odd input."""

import gc
import json
import shutil
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import keras
import numpy as np
import pytest
import soundfile
from tones import Tones

import beamtune
from beam_pipelines.features.frontend import FrontEnd
from beamtune.classifier import Classifier
from configs.cli import main
from trainer.evaluation import inference
from trainer.evaluation.inference import Inference
from trainer.runs.run_dir import RunDir

RATE_HZ = 16_000


@pytest.fixture(scope="module")
def classifier(tones: Tones) -> Classifier:
    return beamtune.load(tones.run_dir)


@pytest.fixture(scope="module")
def samples(tones: Tones) -> np.ndarray:
    """The song's samples, (frames,) float32."""
    found, rate_hz = soundfile.read(tones.song, dtype="float32")
    assert rate_hz == RATE_HZ
    return found


def features_of(classifier: Classifier, tones: Tones) -> dict[str, np.ndarray]:
    clip = Inference(str(tones.run_dir), batch_size=1).read(str(tones.song))
    return {"log_mel": np.stack([segment.features["log_mel"] for segment in clip.segments])}


def test_a_prediction_is_that_of_the_command(
    classifier: Classifier, tones: Tones, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(tones.run_dir), str(tones.song), "--json", "top_k=2"]) == 0
    [printed] = json.loads(capsys.readouterr().out)
    found = classifier.predict(tones.song)
    assert {one["genre"]: one["probability"] for one in printed["genres"]} == found.probabilities
    assert (printed["genres"][0]["genre"], printed["file"]) == (found.label, found.path)
    assert (printed["num_segments"], printed["duration_s"]) == (len(found.segment_starts_s), found.duration_s)
    assert tuple(found.probabilities) == classifier.labels == ("genre0", "genre1")


def test_probabilities_and_embeddings_are_those_of_direct_calls_of_keras(classifier: Classifier, tones: Tones) -> None:
    features, model = features_of(classifier, tones), classifier.keras_model
    expected = keras.ops.convert_to_numpy(keras.ops.softmax(model(features)))
    found = classifier.predict(str(tones.song))
    temperatures = json.loads((tones.run_dir / "calibration.json").read_text())
    for probabilities, name, before in (
        (found.segment_probabilities, "segment", expected),
        (list(found.probabilities.values()), "track", expected.mean(axis=0)),
    ):
        after = keras.ops.softmax(np.log(before) / temperatures[name])
        np.testing.assert_allclose(probabilities, keras.ops.convert_to_numpy(after), rtol=1e-3)
    assert found.segment_starts_s.tolist() == [0.0, 1.0, 2.0, 3.0]
    assert (found.segment_duration_s, found.duration_s, found.expected_s) == (1.0, 4.0, 4.0)

    embedding = classifier.embed(tones.song)
    before_logits = keras.Model(model.input, model.layers[-1].input)(features).numpy()
    np.testing.assert_allclose(embedding.segment_embeddings, before_logits, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(embedding.vector, embedding.segment_embeddings.mean(axis=0))
    weights, bias = model.layers[-1].get_weights()
    np.testing.assert_allclose(embedding.segment_embeddings @ weights + bias, model(features), rtol=1e-3, atol=1e-4)
    assert embedding.segment_embeddings.dtype == np.float32
    assert (embedding.path, embedding.duration_s) == (str(tones.song), 4.0)
    np.testing.assert_array_equal(embedding.segment_starts_s, found.segment_starts_s)


@pytest.mark.parametrize(
    ("model", "names"), [(None, ["log_mel"]), ({"parallel": {"filters": [4, 4]}}, ["log_mel", "mfcc"])]
)
def test_the_features_of_the_model_alone_are_computed_with_the_same_result(
    tones: Tones, tmp_path: Path, model: dict[str, Any] | None, names: list[str]
) -> None:
    run_dir = tones.run_dir
    if model is not None:
        run_dir = tmp_path / "run"
        beamtune.train(data_dir=tones.data_dir, run_dir=run_dir, epochs=1, global_batch_size=8, model=model)
    classifier = beamtune.load(run_dir)
    assert [spec.name for spec in classifier._inference.front_end.specs] == names
    found = classifier.predict(tones.song)
    classifier._inference._of_thread.front_end = RunDir(str(run_dir)).prepare_yaml().front_end()
    assert [spec.name for spec in classifier._inference.front_end.specs] == ["log_mel", "mfcc"]
    of_all_features = classifier.predict(tones.song)
    assert found.segment_probabilities.tobytes() == of_all_features.segment_probabilities.tobytes()
    assert found.probabilities == of_all_features.probabilities


def test_a_label_below_the_least_confidence_is_unknown(classifier: Classifier, tones: Tones) -> None:
    [found] = classifier.predict_many([tones.song])
    [unknown] = classifier.predict_many([tones.song], min_confidence=1.0)
    assert isinstance(found, beamtune.Prediction) and isinstance(unknown, beamtune.Prediction)
    confidence = found.probabilities[found.label]
    assert (unknown.label, unknown.probabilities) == ("unknown", found.probabilities)
    assert classifier.predict(tones.song, min_confidence=confidence).label == found.label
    for call in (classifier.predict, classifier.predict_many):
        with pytest.raises(beamtune.UserError, match="min_confidence=2: expected a probability"):
            call([], min_confidence=2)  # type: ignore[operator]


def test_samples_are_predicted_as_their_file_is(classifier: Classifier, tones: Tones, samples: np.ndarray) -> None:
    expected = classifier.predict(tones.song)
    pcm = soundfile.read(tones.song, dtype="int16")[0]
    for given in (samples, samples[:, None], samples.astype(np.float64), pcm, np.stack([pcm, pcm], axis=1)):
        found = classifier.predict(given, sample_rate_hz=RATE_HZ)
        assert found.probabilities == expected.probabilities
        assert (found.path, found.duration_s) == (None, expected.duration_s)
    embedding = classifier.embed(samples, sample_rate_hz=float(RATE_HZ))
    np.testing.assert_array_equal(embedding.vector, classifier.embed(tones.song).vector)
    assert embedding.path is None


def test_samples_are_mixed_and_resampled_as_files_are(
    classifier: Classifier, samples: np.ndarray, tmp_path: Path
) -> None:
    stereo = np.stack([samples, samples[::-1]], axis=1)
    soundfile.write(tmp_path / "44100.wav", stereo, 44_100, subtype="FLOAT")
    found = classifier.predict(stereo, sample_rate_hz=44_100)
    expected = classifier.predict(tmp_path / "44100.wav")
    assert found.probabilities == expected.probabilities
    assert found.duration_s == expected.duration_s == pytest.approx(4 * RATE_HZ / 44_100, abs=1e-3)


def test_short_audio_is_padded(classifier: Classifier, samples: np.ndarray, tmp_path: Path) -> None:
    short = classifier.predict(samples[:800], sample_rate_hz=RATE_HZ)
    assert (short.segment_starts_s.tolist(), short.duration_s) == ([0.0], 0.05)
    assert sum(short.probabilities.values()) == pytest.approx(1.0)
    soundfile.write(tmp_path / "short.wav", samples[:800], RATE_HZ)
    assert classifier.predict(tmp_path / "short.wav").probabilities == short.probabilities


@pytest.mark.slow
def test_all_of_long_audio_is_used_as_by_the_command(
    classifier: Classifier, tones: Tones, samples: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = np.tile(samples, 151)
    soundfile.write(tmp_path / "long.wav", whole, RATE_HZ)
    assert main(["predict", str(tones.run_dir), str(tmp_path / "long.wav"), "--json"]) == 0
    [printed] = json.loads(capsys.readouterr().out)
    [of_many] = classifier.predict_many([tmp_path / "long.wav"])
    assert isinstance(of_many, beamtune.Prediction)
    for found in (
        classifier.predict(tmp_path / "long.wav"),
        of_many,
        classifier.predict(whole, sample_rate_hz=RATE_HZ),
    ):
        assert {one["genre"]: one["probability"] for one in printed["genres"]} == found.probabilities
        assert found.duration_s == printed["duration_s"] == 604.0
        np.testing.assert_allclose(found.segment_starts_s, np.arange(604.0))
        assert found.segment_probabilities.shape == (604, 2)
    song = classifier.predict(tones.song)
    np.testing.assert_allclose(found.segment_probabilities[-4:], song.segment_probabilities, atol=1e-3)
    embedding = classifier.embed(tmp_path / "long.wav")
    assert (len(embedding.segment_embeddings), embedding.duration_s) == (604, 604.0)
    late = np.concatenate([np.zeros(601 * RATE_HZ, dtype=np.float32), samples])
    np.testing.assert_allclose(
        classifier.predict(late, sample_rate_hz=RATE_HZ).segment_starts_s, [601.0, 602.0, 603.0, 604.0]
    )


def test_a_damaged_file_says_how_much_is_missing(classifier: Classifier, tones: Tones, tmp_path: Path) -> None:
    whole = tones.song.read_bytes()
    (tmp_path / "cut.wav").write_bytes(whole[: len(whole) // 2])
    found = classifier.predict(tmp_path / "cut.wav")
    assert (found.duration_s, found.expected_s) == (pytest.approx(2.0, abs=0.01), 4.0)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: path.write_bytes(b""), "empty_file"),
        (lambda path: path.write_text("no audio"), "undecodable"),
        (lambda path: soundfile.write(path, np.zeros(32_000), RATE_HZ), "silent"),
        (lambda path: soundfile.write(path, np.full(32_000, np.nan), RATE_HZ, subtype="FLOAT"), "not_finite"),
        (lambda path: soundfile.write(path, np.zeros(0), RATE_HZ), "no_audio"),
        (lambda path: None, "unreadable"),
        (lambda path: path.mkdir(), "unreadable"),
    ],
)
def test_files_that_cannot_be_used_raise_an_audio_error_and_do_not_end_an_iteration(
    classifier: Classifier, tones: Tones, tmp_path: Path, make: Callable[[Path], object], reason: str
) -> None:
    bad = tmp_path / "bad.wav"
    make(bad)
    for method in (classifier.predict, classifier.embed):
        with pytest.raises(beamtune.AudioError) as caught:
            method(bad)
        assert caught.value.reason == reason
    first, failed, last = classifier.predict_many([tones.song, bad, tones.song])
    assert isinstance(first, beamtune.Prediction) and isinstance(last, beamtune.Prediction)
    assert first.probabilities == last.probabilities == classifier.predict(tones.song).probabilities
    assert isinstance(failed, beamtune.FailedPrediction)
    assert (failed.path, failed.error.reason, failed.error.message) == (str(bad), reason, caught.value.message)
    # Frames of a traceback would keep the content of the file in memory as long as the result.
    assert failed.error.__traceback__ is None and failed.error.__cause__ is None is failed.error.__context__


@pytest.mark.parametrize(
    ("function", "stage"),
    [("FrontEnd.process", "open"), ("Inference._run", "predict"), ("inference.open_audio", "open")],
)
def test_an_unexpected_exception_does_not_end_an_iteration(
    classifier: Classifier, tones: Tones, monkeypatch: pytest.MonkeyPatch, function: str, stage: str
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise MemoryError

    target = {"FrontEnd": FrontEnd, "Inference": Inference, "inference": inference}[function.split(".")[0]]
    with monkeypatch.context() as patch:
        patch.setattr(target, function.split(".")[1], fail)
        with pytest.raises(beamtune.AudioError, match=r"unexpected: MemoryError in test_classifier.py"):
            classifier.predict(tones.song)
        failed = list(classifier.predict_many([tones.song, tones.song]))
    assert all(isinstance(result, beamtune.FailedPrediction) for result in failed)
    assert {(result.error.reason, result.error.stage) for result in failed} == {("unexpected", stage)}
    assert isinstance(classifier.predict(tones.song), beamtune.Prediction)


def test_silent_samples_raise_an_audio_error(classifier: Classifier) -> None:
    with pytest.raises(beamtune.AudioError, match="silent"):
        classifier.predict(np.zeros(RATE_HZ), sample_rate_hz=RATE_HZ)


@pytest.mark.parametrize(
    ("audio", "arguments", "message"),
    [
        (np.zeros(8000), {}, "sample_rate_hz is not set"),
        (np.zeros(8000), {"sample_rate_hz": 0}, "sample_rate_hz=0: expected a whole number from 1000"),
        (np.full(8000, np.nan), {"sample_rate_hz": 8000}, "NaN"),
        (np.zeros((2, 8000)), {"sample_rate_hz": 8000}, "transpose (channels, frames) with samples.T"),
        ("song.mp3", {"sample_rate_hz": 8000}, "a file has its own rate"),
        (b"song.mp3", {}, "audio=b'song.mp3': expected a path"),
        (None, {}, "samples of dtype object"),
        (Path("gs://bucket/song.mp3"), {}, "pathlib joins the slashes of gs://"),
    ],
)
def test_mistakes_are_user_errors(classifier: Classifier, audio: Any, arguments: dict[str, Any], message: str) -> None:
    for method in (classifier.predict, classifier.embed):
        with pytest.raises(beamtune.UserError) as caught:
            method(audio, **arguments)
        assert message in str(caught.value)


def test_many_paths_are_read_one_after_the_other_and_no_clip_stays_in_memory(
    classifier: Classifier, tones: Tones, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips: list[weakref.ref[Any]] = []
    asked: list[int] = []
    read = Inference._read

    def recorded_read(self: Inference, open_source: Callable[[], BinaryIO]) -> Any:
        clip = read(self, open_source)
        clips.append(weakref.ref(clip))
        return clip

    def paths() -> Iterator[Path]:
        for number in range(4):
            asked.append(number)
            yield tones.song

    monkeypatch.setattr(Inference, "_read", recorded_read)
    results = classifier.predict_many(paths())
    assert not asked
    for number, result in enumerate(results):
        gc.collect()
        assert isinstance(result, beamtune.Prediction)
        assert asked == list(range(number + 1))
        assert [clip() for clip in clips] == [None] * (number + 1)


@pytest.mark.parametrize("paths", ["song.mp3", b"song.mp3", Path("song.mp3")])
def test_a_single_path_is_not_several(classifier: Classifier, paths: Any) -> None:
    with pytest.raises(beamtune.UserError, match="expected several paths"):
        classifier.predict_many(paths)


def test_what_is_not_a_path_ends_an_iteration(classifier: Classifier) -> None:
    with pytest.raises(beamtune.UserError, match="path=3: expected a path"):
        list(classifier.predict_many([3]))  # type: ignore[list-item]
    assert list(classifier.predict_many(())) == []


def test_a_scheme_that_does_not_exist_is_a_failed_prediction(classifier: Classifier) -> None:
    [failed] = classifier.predict_many(["nowhere://bucket/song.mp3"])
    assert isinstance(failed, beamtune.FailedPrediction)
    assert (failed.path, failed.error.stage) == ("nowhere://bucket/song.mp3", "open")


def test_several_threads_share_a_classifier(classifier: Classifier, tones: Tones) -> None:
    expected = classifier.predict(tones.song).probabilities
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(classifier.predict(tones.song))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one.probabilities for one in found] == [expected] * 4


def test_runs_that_cannot_be_loaded_are_named(tones: Tones, tmp_path: Path) -> None:
    with pytest.raises(beamtune.UserError, match="none does not exist: expected the run_dir of beamtune train"):
        beamtune.load(tmp_path / "none")
    with pytest.raises(beamtune.UserError, match="holds no training run"):
        beamtune.load(tones.data_dir)
    with pytest.raises(beamtune.UserError, match="run_dir=3: expected a path"):
        beamtune.load(3)  # type: ignore[arg-type]
    with pytest.raises(beamtune.UserError, match="batch_size=0: expected a whole number"):
        beamtune.load(tones.run_dir, batch_size=0)


def test_an_unfinished_run_is_loaded_with_a_warning(
    tones: Tones, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(tones.run_dir, tmp_path / "run")
    (tmp_path / "run" / "_SUCCESS").unlink()
    with pytest.warns(UserWarning, match="is not finished; its best weights so far are used"):
        classifier = beamtune.load(tmp_path / "run")
    assert repr(classifier) == f"<beamtune.Classifier {tmp_path}/run: genre0, genre1>"
    assert capsys.readouterr() == ("", "")
