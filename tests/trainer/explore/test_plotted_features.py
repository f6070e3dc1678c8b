"""The features that are plotted, and the frequencies and frames of their bands."""

import numpy as np
import pytest
from librosa.filters import mel

from beam_pipelines.features.config import LogMelConfig, MfccConfig, MusicnnLogMelConfig, YamnetLogMelConfig
from beam_pipelines.records.schema import FeatureSpec
from trainer.explore.plotted_features import find_plotted_features
from trainer.explore.prepared_tables import read_tables


def preparation_with(make_track, write_data_set, configs):
    return read_tables(str(write_data_set([make_track("a")], configs=configs))).preparation


@pytest.mark.parametrize(
    ("specs", "bands", "vector"),
    [
        ({"log_mel": (94, 128), "mfcc": (94, 20)}, ["log_mel"], "log_mel"),
        ({"mfcc": (94, 20)}, ["mfcc"], "mfcc"),
        ({"embedding": (1024,)}, [], "embedding"),
        ({"waveform": (48_000,)}, [], None),
        ({"waveform": (48_000,), "mfcc": (94, 20)}, ["mfcc"], "mfcc"),
        ({"scalar": (1,)}, [], None),
        ({"yamnet_log_mel": (336, 64)}, ["yamnet_log_mel"], None),
        ({"yamnet_log_mel": (336, 64), "mfcc": (94, 20)}, ["yamnet_log_mel"], "mfcc"),
        ({"musicnn_log_mel": (187, 96), "yamnet_log_mel": (336, 64)}, ["yamnet_log_mel", "musicnn_log_mel"], None),
        ({"yamnet_log_mel": (336, 64), "log_mel": (94, 128)}, ["log_mel", "yamnet_log_mel"], "log_mel"),
    ],
    ids=str,
)
def test_features_are_chosen_by_their_settings_and_shapes(make_track, write_data_set, specs, bands, vector):
    configs = {
        "log_mel": LogMelConfig(n_fft=512, n_mels=16),
        "mfcc": MfccConfig(n_fft=512, n_mels=16, n_mfcc=13),
        "yamnet_log_mel": YamnetLogMelConfig(),
        "musicnn_log_mel": MusicnnLogMelConfig(),
    }
    preparation = preparation_with(make_track, write_data_set, configs)
    plotted = find_plotted_features(
        {name: FeatureSpec(name=name, shape=shape, dtype="float16") for name, shape in specs.items()}, preparation
    )
    assert [feature.spec.name for feature in plotted.bands] == bands
    assert (None if plotted.vector is None else plotted.vector.name) == vector


def test_spectral_statistics_and_spectrograms_are_not_embeddings(make_track, write_data_set):
    kinds = ("spectral_stats", "yamnet_log_mel", "yamnet")
    preparation = preparation_with(
        make_track, write_data_set, {kind: {"kind": kind, "dtype": "float32"} for kind in kinds}
    )
    specs = {
        name: FeatureSpec(name=name, shape=shape, dtype="float32")
        for name, shape in zip(kinds, [(100,), (336, 64), (6, 1024)], strict=True)
    }
    vector = find_plotted_features(specs, preparation).vector
    assert vector is not None and vector.name == "yamnet"
    del specs["yamnet"]
    assert find_plotted_features(specs, preparation).vector is None


def test_integer_samples_are_not_a_vector(make_track, write_data_set):
    preparation = preparation_with(make_track, write_data_set, {})
    assert (
        find_plotted_features({"pcm": FeatureSpec(name="pcm", shape=(800,), dtype="int16")}, preparation).vector is None
    )


def test_band_frequencies_are_the_peaks_of_the_filters(make_track, write_data_set):
    """The filters of librosa, at a high resolution, peak at these frequencies."""
    config = LogMelConfig(n_fft=16_384, n_mels=16, fmin_hz=100.0, fmax_hz=3000.0)
    preparation = preparation_with(make_track, write_data_set, {"log_mel": config})
    spec = FeatureSpec(name="log_mel", shape=(8, 16), dtype="float16")
    [feature] = find_plotted_features({"log_mel": spec}, preparation).bands
    filters = mel(sr=8000, n_fft=config.n_fft, n_mels=16, fmin=100.0, fmax=3000.0)
    peaks_hz = filters.argmax(axis=1) * 8000 / config.n_fft
    np.testing.assert_allclose(feature.frequencies_hz, peaks_hz, atol=8000 / config.n_fft)


def test_cepstra_have_no_frequencies(make_track, write_data_set):
    preparation = preparation_with(make_track, write_data_set, {"mfcc": MfccConfig(n_fft=512, n_mels=16, n_mfcc=13)})
    [feature] = find_plotted_features(
        {"mfcc": FeatureSpec(name="mfcc", shape=(8, 13), dtype="float16")}, preparation
    ).bands
    assert (feature.frequencies_hz, feature.num_frames, feature.unit) == (None, 8, None)


def test_yamnets_spectrogram_is_in_natural_logarithms_up_to_the_end_of_a_segment(make_track, write_data_set):
    preparation = preparation_with(
        make_track, write_data_set, {"mine": YamnetLogMelConfig(), "log_mel": LogMelConfig()}
    )
    specs = {
        "mine": FeatureSpec(name="mine", shape=(96, 64), dtype="float16"),
        "log_mel": FeatureSpec(name="log_mel", shape=(8, 128), dtype="float16"),
    }
    log_mel, yamnet = find_plotted_features(specs, preparation).bands
    assert (log_mel.spec.name, log_mel.num_frames, log_mel.unit) == ("log_mel", 8, "dB")
    # Segments of 0.5 s: the window of frame 47 ends at 0.495 s.
    assert (yamnet.spec.name, yamnet.num_frames, yamnet.unit) == ("mine", 48, "natural log")
    assert len(yamnet.frequencies_hz) == 64
    assert 125.0 < yamnet.frequencies_hz[0] < yamnet.frequencies_hz[-1] < 7500.0
