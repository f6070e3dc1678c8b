"""The independent source is the front end of `beamtune predict`, which resamples with soxr."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from prepare_settings import prepare_settings
from scipy.special import softmax

from beam_pipelines.audio.config import AudioConfig, SegmentConfig
from beam_pipelines.features.config import LogMelConfig, YamnetLogMelConfig
from beam_pipelines.features.frontend import FrontEnd
from trainer.export.graph_features import GraphFeatures
from trainer.export.served_model import ServedModel
from trainer.metrics.calibration import Calibration
from trainer.models.config import LOGITS

LABELS = ("blues", "funk", "waltz")
FROM_HZ = 48_000
AUDIO = AudioConfig(sample_rate_hz=22_050)
SEGMENT = SegmentConfig(duration_s=1.0, hop_s=0.6)
CALIBRATION = Calibration(segment=0.7, track=1.6, num_tracks=10)
FEATURES = {"loud": LogMelConfig(n_mels=32), "yamnet": YamnetLogMelConfig(dtype="float32")}


@pytest.fixture(scope="module")
def front_end():
    return FrontEnd(audio=AUDIO, segment=SEGMENT, features=FEATURES)


@pytest.fixture(scope="module")
def network(front_end):
    """Random weights on the means over frames of two features, which have different rates."""
    keras.utils.set_random_seed(1)
    inputs = {spec.name: keras.Input(spec.shape, dtype=spec.dtype, name=spec.name) for spec in front_end.specs}
    means = [keras.ops.mean(keras.ops.cast(value, "float32"), axis=1) * 0.01 for value in inputs.values()]
    hidden = keras.layers.Dense(7, activation="tanh")(keras.layers.Concatenate()(means))
    return keras.Model(inputs, keras.layers.Dense(len(LABELS), name=LOGITS, kernel_initializer="normal")(hidden * 30))


@pytest.fixture(scope="module")
def served(network, front_end):
    settings = prepare_settings(FEATURES, audio=AUDIO, segment=SEGMENT)
    features = GraphFeatures(settings, {spec.name: spec for spec in front_end.specs})
    return ServedModel(network, features=features, settings=settings, labels=LABELS, calibration=CALIBRATION)


@pytest.fixture(scope="module")
def predict(served):
    return tf.function(
        served.predict, input_signature=[tf.TensorSpec((None, None), tf.float32), tf.TensorSpec(None, tf.int32)]
    )


def tracks(num_samples):
    """Returns two tracks of rising tones in noise, the first with a silent part, (2, samples)."""
    rng = np.random.default_rng(3)
    times_s = np.arange(num_samples) / FROM_HZ
    tones = np.stack([np.sin(2 * np.pi * (400 + 300 * times_s) * times_s), np.sin(2 * np.pi * 90 * times_s**2)])
    found = 0.4 * tones + rng.normal(0, 0.05, tones.shape)
    found[0, round(1.7 * FROM_HZ) : round(3.4 * FROM_HZ)] = 0.0
    return found.astype(np.float32)


def expected_of(track, *, network, front_end):
    """Returns the probabilities of each segment, and where it starts."""
    clip = front_end.process_samples(track[:, None], sample_rate_hz=FROM_HZ)
    stacked = {name: np.stack([segment.features[name] for segment in clip.segments]) for name in network.input}
    logits = np.asarray(network.predict_on_batch(stacked), dtype=np.float64)
    return softmax(logits, axis=1), [segment.start_s for segment in clip.segments]


# Shorter than a segment; two segments; more segments than a block holds.
@pytest.mark.parametrize("duration_s", [0.31, 2.0, 21.37])
def test_probabilities_are_those_of_the_pipeline(duration_s, predict, network, front_end):
    batch = tracks(round(duration_s * FROM_HZ))
    found = predict(batch, FROM_HZ)
    means = [expected_of(track, network=network, front_end=front_end)[0].mean(axis=0) for track in batch]
    expected = softmax(np.log(means) / 1.6, axis=1)
    np.testing.assert_allclose(found["probabilities"], expected, atol=1e-4)
    assert np.ptp(expected) > 0.05  # otherwise any probabilities would do
    assert found["labels"].numpy().tolist() == [[label.encode() for label in LABELS]] * 2
    assert found["embedding"].shape == (2, 7)


def test_silent_segments_and_starts_are_those_of_the_pipeline(served, network, front_end):
    batch = tracks(6 * FROM_HZ)
    found = served.segments(tf.constant(batch), tf.constant(FROM_HZ))
    assert found.probabilities.shape == (2, 9, 3)
    for index, track in enumerate(batch):
        expected, starts_s = expected_of(track, network=network, front_end=front_end)
        is_used = found.is_used[index].numpy()
        np.testing.assert_allclose(found.starts_s.numpy()[is_used], starts_s, atol=1e-6)
        np.testing.assert_allclose(found.probabilities[index].numpy()[is_used], expected, atol=2e-4)
    assert found.is_used.numpy().sum(axis=1).tolist() == [7, 9]


def test_features_of_segments_give_the_same(served, network, front_end):
    clip = front_end.process_samples(tracks(2 * FROM_HZ)[1][:, None], sample_rate_hz=FROM_HZ)
    stacked = {name: np.stack([segment.features[name] for segment in clip.segments]) for name in network.input}
    found = served.predict_features({name: tf.constant(values, tf.float32) for name, values in stacked.items()})
    expected, _ = expected_of(tracks(2 * FROM_HZ)[1], network=network, front_end=front_end)
    np.testing.assert_allclose(found["probabilities"], softmax(np.log(expected) / 0.7, axis=1), atol=1e-6)


def test_one_rate_for_each_track_gives_the_same(predict):
    batch = tracks(FROM_HZ)
    expected = predict(batch, FROM_HZ)["probabilities"]
    np.testing.assert_array_equal(predict(batch, [FROM_HZ, FROM_HZ])["probabilities"], expected)


SAMPLES = np.full((2, 16_000), 0.5, np.float32)


@pytest.mark.parametrize(
    ("waveform", "rate", "message"),
    [
        (SAMPLES * 32768, 16_000, r"exceeds full scale: expected float32 in \[-1, 1\]; divide 16-bit .*16384"),
        (-SAMPLES * 32768, 16_000, "its largest is.*16384"),
        (np.where(np.arange(16_000) == 77, np.nan, SAMPLES), 16_000, "holds NaN or infinite values"),
        (np.where(np.arange(16_000) == 77, np.inf, SAMPLES), 16_000, "holds NaN or infinite values"),
        (SAMPLES[:, :0], 16_000, r"has no samples: .* its shape is.*\[2 0\]"),
        (SAMPLES[:0], 16_000, "has no samples"),
        (SAMPLES.T, 16_000, r"has more tracks than samples: .* not \(samples, channels\); its shape is.*\[16000 2\]"),
        (SAMPLES, 0, "is out of range: expected 1000 to 768000, not.*\\[0\\]"),
        (SAMPLES, 999, "is out of range"),
        (SAMPLES, 1_000_000, r"is out of range: .*\[1000000\]"),
        (SAMPLES, [16_000, 44_100], r"differs within the batch: .*\[16000 44100\]"),
        (SAMPLES, [], "sample_rate_hz has no value"),
    ],
)
def test_wrong_input_is_an_error_of_the_graph(waveform, rate, message, predict):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        predict(waveform.astype(np.float32), tf.constant(rate, tf.int32))


def test_a_silent_track_leaves_the_others_of_its_batch_as_they_are(predict):
    batch = tracks(2 * FROM_HZ)
    expected = predict(batch, FROM_HZ)
    assert expected["is_silent"].numpy().tolist() == [False, False]
    # Below the threshold of -60 dBFS, and nothing at all.
    found = predict(np.stack([batch[0], batch[1] * 1e-4, batch[1] * 0, batch[1]]), FROM_HZ)
    assert found["is_silent"].numpy().tolist() == [False, True, True, False]
    for name in ("probabilities", "embedding"):
        np.testing.assert_allclose(found[name][::3], expected[name], atol=1e-6)
        assert (found[name][1:3] == 0.0).numpy().all()
    alone = predict(batch[:1] * 0, FROM_HZ)
    assert alone["is_silent"].numpy().tolist() == [True]
    assert alone["probabilities"].numpy().tolist() == [[0.0] * 3]


def test_full_scale_may_be_exceeded_a_little(predict):
    assert predict(SAMPLES * 3, 16_000)["probabilities"].shape == (2, 3)
