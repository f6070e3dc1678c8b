"""The page of data sets with other features, and with many genres."""

import numpy as np
import pytest

from beam_pipelines.features.config import MfccConfig, YamnetLogMelConfig


def features_of(shape, *, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_a_data_set_of_one_vector_has_a_projection_and_no_spectra(explored_page_of, make_track):
    made = [make_track(f"{index}", features={"embedding": features_of((2, 12), seed=index)}) for index in range(5)]
    page = explored_page_of(made, configs={"embedding": {"kind": "of_a_later_version", "dtype": "float32"}})
    assert "the data set has neither a spectrogram nor MFCCs" in page.texts["sound"]
    assert "5 tracks of all splits, each the mean of embedding" in page.texts["sound"]


def test_a_data_set_of_mfccs_in_one_split_shows_their_means_and_one_column(explored_page_of, make_track):
    made = [
        make_track(f"{index}", split="test", features={"mfcc": features_of((2, 8, 13), seed=index)})
        for index in range(3)
    ]
    page = explored_page_of(made, configs={"mfcc": MfccConfig(n_fft=512, n_mels=16, n_mfcc=13, dtype="float32")})
    assert "figure-mfcc-means" in page.ids
    assert "Over all frames of the test split. Coefficient 0, the loudness, is left out." in page.texts["sound"]
    assert page.tables["table-genres"][0] == ["Genre", "test"]
    assert page.tables["table-genres"][-1] == ["all genres", "3", "6", "1.5"]


def test_two_tracks_of_yamnets_spectrogram_have_means_and_examples_and_no_projection(
    explored_page_of, make_track, write_audio, tmp_path
):
    uri = str(write_audio(tmp_path / "a.wav", sample_rate_hz=8000, duration_s=6.0))
    made = [
        make_track(f"{index}", features={"mine": features_of((2, 96, 64), seed=index)}, uri=uri) for index in (0, 1)
    ]
    page = explored_page_of(made, configs={"mine": YamnetLogMelConfig(dtype="float32")})
    assert "Frames that reach into the zero padding" in page.texts["figure-mine-means"]
    [example] = [description for description in page.charts if description.startswith("Waveform")]
    assert example.startswith("Waveform, log-mel spectrogram, mine and MFCC of 5.0 s of blues from ")
    assert "figure-projection" not in page.ids
    assert "There is no projection on principal components" in page.texts["sound"]


@pytest.mark.slow
def test_161_genres_have_a_row_each_and_a_map_and_the_largest_have_examples(explored_page_of, make_track):
    labels = [f"genre {index:03d}" for index in range(161)]
    made = [make_track(f"{label}/{split}", label=label, split=split) for label in labels for split in ("train", "test")]
    made += [make_track("more", label=labels[99])]
    page = explored_page_of(made, labels=labels, config={"example_genres": 1})
    assert [row[0] for row in page.tables["table-genres"][2:-1]] == labels
    assert "figure-log_mel-map" in page.ids
    assert "(the 40 largest of 161 genres)" in page.texts["figure-clips"]
    assert "of each genre (the 1 largest of 161 genres)" in page.texts["examples"]
    assert page.headings[page.headings.index("Examples") + 1] == labels[99]
    [missing] = page.missing
    assert "of the 3 tracks" in missing
