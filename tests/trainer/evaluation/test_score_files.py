"""Many files in batches across files, compared with each file by itself."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

from beam_pipelines.features.frontend import AudioError, Segment
from trainer.evaluation.inference import Inference
from trainer.evaluation.score_files import FailedFile, ScoredFile, score_files
from trainer.training.config import TrainConfig

RATE_HZ = 8000


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    """Files of 1, 2, 3, … segments, one of which is longer than a clip of the data, one silent, one no audio."""
    rng = np.random.default_rng(0)
    durations_s = [0.5, 1.0, 1.5, 601.0, 3.5, 0.5, 2.0]
    found = []
    for index, duration_s in enumerate(durations_s):
        path = tmp_path / f"{index}.wav"
        samples = rng.normal(0, 0.1, round(duration_s * RATE_HZ))
        samples[10 * RATE_HZ :] = 0  # silent segments are left out
        soundfile.write(path, samples, RATE_HZ)
        found.append(str(path))
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE_HZ), RATE_HZ)
    (tmp_path / "text.mp3").write_text("no audio")
    return [*found[:2], str(tmp_path / "silent.wav"), *found[2:], str(tmp_path / "text.mp3")]


@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_scores_are_those_of_each_file_by_itself(finished: TrainConfig, paths: list[str], batch_size: int) -> None:
    model = Inference(finished.run_dir, batch_size=batch_size)
    results = list(score_files(paths, model=model, num_threads=2, with_embedding=True))
    assert [result.path for result in results] == paths
    for result in results:
        if isinstance(result, FailedFile):
            with pytest.raises(AudioError) as raised:
                model.score(result.path)
            assert (result.error.reason, result.error.message) == (raised.value.reason, raised.value.message)
            continue
        alone, embedding = model.score(result.path), model.embed(result.path).mean
        np.testing.assert_allclose(result.scores.mean, alone.mean, atol=1e-6)
        np.testing.assert_allclose(result.scores.values, alone.values, atol=1e-6)
        np.testing.assert_array_equal(result.scores.starts_s, alone.starts_s)
        assert (result.scores.duration_s, result.scores.expected_s) == (alone.duration_s, alone.expected_s)
        assert result.embedding is not None and result.embedding.dtype == np.float32
        np.testing.assert_allclose(result.embedding, embedding, atol=1e-5)
    assert [Path(result.path).name for result in results if isinstance(result, FailedFile)] == [
        "silent.wav",
        "text.mp3",
    ]


def test_a_batch_is_filled_across_files(
    finished: TrainConfig, paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Inference(finished.run_dir, batch_size=4)
    compute, sizes = model.compute, []

    def count(segments: Sequence[Segment], *, with_embedding: bool) -> np.ndarray:
        sizes.append(len(segments))
        return compute(segments, with_embedding=with_embedding)

    monkeypatch.setattr(model, "compute", count)
    short = [path for path in paths if Path(path).name in ("0.wav", "1.wav", "2.wav", "4.wav")]  # 1, 2, 3, 7 segments
    results = list(score_files(short, model=model, num_threads=2))
    assert sizes == [4, 4, 4, 1]
    assert all(isinstance(result, ScoredFile) and result.embedding is None for result in results)


def test_a_batch_that_fails_fails_its_files_and_no_others(
    finished: TrainConfig, paths: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Inference(finished.run_dir, batch_size=4)
    compute, calls = model.compute, []

    def fail_the_second(segments: Sequence[Segment], *, with_embedding: bool) -> np.ndarray:
        calls.append(len(segments))
        if len(calls) == 2:
            raise AudioError("unexpected", "no memory", stage="predict")
        return compute(segments, with_embedding=with_embedding)

    monkeypatch.setattr(model, "compute", fail_the_second)
    short = [path for path in paths if Path(path).name in ("0.wav", "1.wav", "2.wav", "4.wav", "5.wav", "6.wav")]
    results = list(score_files(short, model=model, num_threads=2))  # segments 1, 2, 3, 7, 1, 4; the second batch: 4–7
    assert [isinstance(result, FailedFile) for result in results] == [False, False, True, True, False, False]
