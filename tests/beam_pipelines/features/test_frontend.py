import io
import time

import librosa
import numpy as np
import pytest
import soundfile

from beam_pipelines.audio.config import AudioConfig, SegmentConfig
from beam_pipelines.features import frontend
from beam_pipelines.features.config import LogMelConfig
from beam_pipelines.features.frontend import AudioError, FrontEnd
from beam_pipelines.features.mel import MelSpectrogram

RATE_HZ = 8_000


def front_end(**changes):
    return FrontEnd(
        **{
            "audio": AudioConfig(sample_rate_hz=RATE_HZ),
            "segment": SegmentConfig(duration_s=1.0, hop_s=0.5),
            "features": {"log_mel": LogMelConfig(n_fft=256, hop_length=128, n_mels=16)},
            **changes,
        }
    )


def wav(samples):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, RATE_HZ, format="WAV", subtype="FLOAT")
    return buffer


def noise(duration_s):
    return np.random.default_rng(0).normal(0, 0.1, round(duration_s * RATE_HZ)).astype(np.float32)


def test_a_clip_becomes_the_features_of_its_segments():
    clip = front_end().process(wav(noise(2.2)))
    assert clip.audio.duration_s == 2.2
    assert [(segment.index, segment.start_s) for segment in clip.segments] == [(0, 0.0), (1, 0.5), (2, 1.0)]
    assert clip.num_silent_segments == 0
    assert not clip.audio.is_cut
    assert (clip.fitted.num_padded, clip.fitted.num_cut) == (0, 0)
    [spec] = front_end().specs
    assert spec.shape == (63, 16)
    for segment in clip.segments:
        assert segment.features["log_mel"].shape == spec.shape
        assert segment.features["log_mel"].dtype == spec.dtype


def test_a_segment_has_the_features_of_its_samples_alone():
    samples = noise(2.0)
    whole = front_end().process(wav(samples)).segments[1].features["log_mel"]
    alone = front_end().process(wav(samples[4000:12_000])).segments[0].features["log_mel"]
    np.testing.assert_array_equal(whole, alone)


@pytest.mark.parametrize("num_samples", [400, 7_999])
def test_short_audio_is_refused_unless_all_of_it_is_to_be_used(num_samples):
    samples = noise(1.0)[:num_samples]
    with pytest.raises(AudioError) as caught:
        front_end().process(wav(samples))
    assert (caught.value.reason, caught.value.stage) == ("too_short", "segment")
    padded = front_end().process(wav(samples), whole=True)
    by_hand = front_end().process(wav(np.concatenate([samples, np.zeros(8_000 - num_samples, np.float32)])))
    assert len(padded.segments) == 1
    np.testing.assert_array_equal(padded.segments[0].features["log_mel"], by_hand.segments[0].features["log_mel"])


@pytest.mark.parametrize("num_samples", [3 * RATE_HZ, 1], ids=["silence", "one sample"])
def test_silence_is_refused_padded_or_not(num_samples):
    with pytest.raises(AudioError) as caught:
        front_end().process(wav(np.zeros(num_samples, dtype=np.float32)), whole=True)
    assert (caught.value.reason, caught.value.stage) == ("silent", "segment")


@pytest.mark.parametrize(
    ("duration_s", "expected"),
    [
        (2.98, (160, 0)),
        (3.0, (0, 0)),
        (3.75, (0, 6_000)),
    ],
)
def test_clips_become_as_long_as_they_are_to_be(duration_s, expected):
    policy = {
        "audio": AudioConfig(sample_rate_hz=RATE_HZ, clip_duration_s=3.0),
        "segment": SegmentConfig(duration_s=1.0, hop_s=1.0),
    }
    samples = noise(duration_s)
    clip = front_end(**policy).process(wav(samples))
    assert [item.index for item in clip.segments] == [0, 1, 2]
    assert (clip.fitted.num_padded, clip.fitted.num_cut) == expected
    assert clip.audio.duration_s == duration_s
    by_hand = np.concatenate([samples, np.zeros(RATE_HZ, np.float32)])[: 3 * RATE_HZ]
    np.testing.assert_array_equal(clip.fitted.samples, by_hand)


@pytest.mark.parametrize(
    ("audio", "decoded_s"),
    [
        ({"clip_duration_s": 3.0}, 4.0),
        ({"clip_duration_s": 3.0, "min_duration_s": 5.0}, 6.0),
        ({"clip_duration_s": 3.0, "max_duration_s": 3.5}, 3.5),
        ({"clip_duration_s": 11.5}, 12.0),
        ({"max_duration_s": 7.0}, 7.0),
        ({}, 12.0),
    ],
)
def test_no_more_is_decoded_than_the_settings_ask_for(audio, decoded_s):
    config = AudioConfig(sample_rate_hz=RATE_HZ, **audio)
    clip = front_end(audio=config).process(wav(noise(12.0)))
    assert clip.audio.decoded_s == clip.audio.duration_s == decoded_s
    assert clip.audio.is_cut == (decoded_s < 12.0)
    whole = front_end(audio=config).process(wav(noise(12.0)), whole=True)
    assert whole.audio.decoded_s == min(config.max_duration_s, 12.0)


def test_a_clip_has_the_samples_of_the_whole_file():
    source = io.BytesIO()
    soundfile.write(source, np.random.default_rng(0).normal(0, 0.1, (20 * 44_100, 2)), 44_100, format="MP3")
    for clip_duration_s in (1.0, 5.0, 10.0):
        fitted = front_end(audio=AudioConfig(clip_duration_s=clip_duration_s)).process(source).fitted.samples
        whole = front_end(audio=AudioConfig()).process(source).audio.samples
        np.testing.assert_array_equal(fitted, whole[: len(fitted)])


def test_segments_that_are_padding_alone_are_left_out_as_silent():
    policy = {
        "audio": AudioConfig(sample_rate_hz=RATE_HZ, clip_duration_s=4.0),
        "segment": SegmentConfig(duration_s=1.0, hop_s=1.0),
    }
    clip = front_end(**policy).process(wav(noise(1.5)))
    assert [item.index for item in clip.segments] == [0, 1]
    assert clip.num_silent_segments == 2


@pytest.mark.parametrize(
    ("audio", "duration_s", "message"),
    [
        ({"min_duration_s": 2.0}, 1.99, "1.990 s of audio are less than audio.min_duration_s=2.0"),
        ({"min_duration_s": 2.0, "clip_duration_s": 5.0}, 1.99, "less than audio.min_duration_s=2.0"),
        ({"clip_duration_s": 5.0}, 0.99, "0.990 s of audio are shorter than a segment of 1.0 s"),
        ({"min_duration_s": 0.2}, 0.99, "0.990 s of audio are shorter than a segment of 1.0 s"),
    ],
)
def test_audio_that_is_too_short_is_not_made_long_enough_by_padding(audio, duration_s, message):
    with pytest.raises(AudioError, match=message) as caught:
        front_end(audio=AudioConfig(sample_rate_hz=RATE_HZ, **audio)).process(wav(noise(duration_s)))
    assert (caught.value.reason, caught.value.stage) == ("too_short", "segment")


def test_a_minimum_below_a_segment_lets_padding_fill_it():
    audio = AudioConfig(sample_rate_hz=RATE_HZ, min_duration_s=0.2, clip_duration_s=1.0)
    clip = front_end(audio=audio).process(wav(noise(0.5)))
    assert clip.fitted.num_padded == RATE_HZ // 2
    assert len(clip.segments) == 1


def test_prediction_takes_all_of_a_file_whatever_the_length_of_clips():
    clip = front_end(audio=AudioConfig(sample_rate_hz=RATE_HZ, clip_duration_s=1.0)).process(
        wav(noise(3.0)), whole=True
    )
    assert len(clip.segments) == 5


def test_features_of_other_rates_come_from_the_same_seconds_of_the_file():
    features = {
        "log_mel": LogMelConfig(n_fft=256, hop_length=128, n_mels=16),
        "fast": LogMelConfig(n_fft=512, hop_length=256, n_mels=16, sample_rate_hz=16_000),
    }
    samples = noise(2.98)
    audio = AudioConfig(sample_rate_hz=RATE_HZ, clip_duration_s=3.0)
    clip = front_end(features=features, audio=audio).process(wav(samples))
    resampled = np.append(librosa.resample(samples, orig_sr=RATE_HZ, target_sr=16_000), np.zeros(320, np.float32))
    mel = MelSpectrogram("f", features["fast"], sample_rate_hz=16_000, segment_num_samples=16_000)
    assert [segment.start_s for segment in clip.segments] == [0.0, 0.5, 1.0, 1.5, 2.0]
    for segment in clip.segments:
        start = round(16_000 * segment.start_s)
        by_hand = mel.decibels(resampled[start : start + 16_000].copy())
        np.testing.assert_array_equal(segment.features["fast"], by_hand.astype(np.float16))


def test_the_time_of_decoding_and_of_features_is_measured(monkeypatch):
    now_s = [100.0]

    def taking(duration_s, function):
        def slow(*arguments, **options):
            now_s[0] += duration_s
            return function(*arguments, **options)

        return slow

    monkeypatch.setattr(time, "perf_counter", lambda: now_s[0])
    for name, duration_s in (("load_audio_at_rates", 2.0), ("read_at_rates", 3.0), ("cut_segments", 0.5)):
        monkeypatch.setattr(frontend, name, taking(duration_s, getattr(frontend, name)))
    monkeypatch.setattr(frontend.FrontEnd, "_compute", taking(0.25, frontend.FrontEnd._compute))
    clip = front_end().process(wav(noise(2.2)))
    assert (len(clip.segments), clip.decode_s, clip.feature_s) == (3, 2.0, 1.25)
    clip = front_end().process_samples(noise(1.1)[:, None], sample_rate_hz=RATE_HZ)
    assert (len(clip.segments), clip.decode_s, clip.feature_s) == (1, 3.0, 0.75)
