from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from beam_pipelines.common.errors import RunFailedError
from trainer.evaluation.inference import Inference
from trainer.export.checks import largest_difference, predict_clips, run_keras_file, run_saved_model
from trainer.export.reference_clips import ReferenceClip
from trainer.training.config import TrainConfig


def test_all_of_a_clip_is_compared_where_data_have_the_start_of_their_tracks(
    shared_config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inference = Inference(shared_config.run_dir, batch_size=4)
    monkeypatch.setattr(inference.front_end, "_audio", replace(inference.front_end._audio, max_duration_s=1.0))
    inference.model.save(tmp_path / "model.keras")
    samples = np.sin(2 * np.pi * 440 * np.arange(24_000) / 8000).astype(np.float32)
    samples[8000:] = np.random.default_rng(0).normal(0, 0.1, 16_000)
    clips = [ReferenceClip("sine, then noise", samples, 8000), ReferenceClip("silence", samples[:4000] * 0, 8000)]
    expected = predict_clips(inference, clips)
    found = run_keras_file(str(tmp_path / "model.keras"), clips, inference=inference)
    assert largest_difference(found.outputs, expected) < 1e-5
    start = predict_clips(inference, [ReferenceClip("sine", samples[:8000], 8000)])
    assert largest_difference(start, expected[:1]) > 0.01


@pytest.mark.slow  # a process of its own
def test_a_saved_model_that_fails_says_what_happened(tmp_path: Path) -> None:
    def predict(waveform: tf.Tensor, sample_rate_hz: tf.Tensor) -> dict[str, tf.Tensor]:
        probabilities = tf.reshape(waveform, [1, 3]) + tf.cast(sample_rate_hz, tf.float32)
        return {
            "probabilities": probabilities,
            "embedding": probabilities,
            "labels": tf.constant([["a", "b", "c"]]),
            "is_silent": tf.constant([False]),
        }

    inputs = [tf.TensorSpec((None, None), tf.float32, "waveform"), tf.TensorSpec((), tf.int32, "sample_rate_hz")]
    function = tf.function(predict, input_signature=inputs)
    tf.saved_model.save(tf.Module(), str(tmp_path / "model"), signatures={"serving_default": function})
    clips = [ReferenceClip(str(size), np.ones(size, np.float32), 8000) for size in (3, 3, 7)]
    with pytest.raises(
        RunFailedError, match=r"^the saved model refuses a reference clip: .*7 values.*shape has 3[^\n]*$"
    ):
        run_saved_model(str(tmp_path / "model"), clips, labels="abc")
