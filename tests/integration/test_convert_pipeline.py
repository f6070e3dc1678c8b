"""`beamtune convert` as a whole, on small audio files made on the spot."""

import os
import pkgutil
from pathlib import Path

import av
import librosa
import numpy as np
import pytest
import soundfile
import soxr
import yaml
from conversions import OUTPUTS, config_for, contents, json_lines, read_pcm, written_ns
from lease_process import let_another_be_faster, let_another_take_over

from beam_pipelines.audio.encode import to_pcm16
from beam_pipelines.common.errors import RunFailedError, UserError
from beam_pipelines.convert import pipeline as convert_pipeline
from beam_pipelines.convert.pipeline import convert
from beam_pipelines.runners.config import DirectRunnerConfig


def write_m4a(path: Path, *, sample_rate_hz: int = 44_100) -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, (2, 2 * sample_rate_hz)).astype(np.float32)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=sample_rate_hz, layout="stereo")
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="stereo")
        frame.sample_rate = sample_rate_hz
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)


@pytest.mark.slow
def test_every_format_is_converted_to_what_librosa_loads_in_16_bits(music, tmp_path):
    write_m4a(music / "a" / "five.m4a")
    convert(config_for(music, tmp_path / "out"))
    records = json_lines(tmp_path / "out" / "converted.jsonl")
    assert [record["source"] for record in records] == [
        "a/b/four.WAV",
        "a/five.m4a",
        "a/three.ogg",
        "a/two.flac",
        "one.mp3",
    ]
    for record in records:
        pcm, sample_rate_hz = read_pcm(tmp_path / "out" / record["output"])
        assert record["duration_s"] == len(pcm) / sample_rate_hz
        assert (record["sample_rate_hz"], record["channels"]) == (sample_rate_hz, pcm.shape[1])
        assert record["source_bytes"] == (music / record["source"]).stat().st_size
        assert not record["is_cut"]
        if record["source"] != "a/five.m4a":  # which librosa does not load
            expected, expected_rate_hz = librosa.load(music / record["source"], sr=None, mono=False)
            assert sample_rate_hz == expected_rate_hz
            np.testing.assert_array_equal(pcm, to_pcm16(np.atleast_2d(expected).T))
    assert records[1]["channels"] == 2
    assert records[1]["duration_s"] == pytest.approx(2.0, abs=0.1)


def test_the_output_directory_holds_the_layout_the_settings_and_the_reports(music, tmp_path, capsys):
    convert(config_for(music, tmp_path / "out"))
    assert contents(tmp_path / "out").keys() == OUTPUTS | {"convert.yaml", "converted.jsonl", "rejects.jsonl"}
    assert yaml.safe_load((tmp_path / "out" / "convert.yaml").read_text()) == {
        "source": str(music),
        "format": "wav",
        "sample_rate_hz": None,
        "channels": None,
        "max_duration_s": 21_600.0,
    }
    assert (tmp_path / "out" / "rejects.jsonl").read_text() == ""
    assert capsys.readouterr().out.splitlines() == [
        "4 files converted, 0 kept from earlier: 5 s of audio",
        f"converted: {tmp_path / 'out'}",
    ]


@pytest.mark.slow
def test_flac_at_another_rate_mixed_down_equals_the_computation_by_hand(music, tmp_path):
    convert(config_for(music, tmp_path / "out", format="flac", sample_rate_hz=16_000, channels=1))
    for name, source in (("one.flac", "one.mp3"), ("a/b/four.flac", "a/b/four.WAV"), ("a/two.flac", "a/two.flac")):
        pcm, sample_rate_hz = read_pcm(tmp_path / "out" / name)
        samples, source_rate_hz = soundfile.read(music / source, dtype="float32", always_2d=True)
        mono = sum(samples[:, channel] for channel in range(samples.shape[1])) / np.float32(samples.shape[1])
        expected = soxr.resample(mono, source_rate_hz, 16_000, quality="HQ")
        assert sample_rate_hz == 16_000
        np.testing.assert_array_equal(pcm[:, 0], to_pcm16(expected))
        loaded, _ = librosa.load(music / source, sr=16_000)
        assert abs(len(loaded) - len(pcm)) <= 1
        assert np.abs(to_pcm16(loaded[: len(pcm)]).astype(int) - pcm[: len(loaded), 0]).max() <= 1


def test_real_music_equals_what_librosa_loads(real_music, tmp_path):
    path = sorted(real_music.glob("*/*.mp3"))[0]
    (tmp_path / "music").mkdir()
    (tmp_path / "music" / path.name).write_bytes(path.read_bytes())
    convert(config_for(tmp_path / "music", tmp_path / "out"))
    expected, rate = librosa.load(path, sr=None, mono=False)
    pcm, sample_rate_hz = read_pcm(tmp_path / "out" / f"{path.stem}.wav")
    assert sample_rate_hz == rate
    np.testing.assert_array_equal(pcm, to_pcm16(expected.T))


def test_files_of_the_same_stem_keep_their_endings_and_odd_names_are_no_trouble(write_audio, tmp_path):
    music = tmp_path / "music"
    for name in ("x/b.mp3", "x/b.flac", "x/[1] *?ü.mp3", "x/日本.ogg", "x/a=b, c'd.wav", "x/line\nbreak.wav"):
        write_audio(music / name, duration_s=0.5)
    no_utf_8 = os.fsencode(music) + b"/x/latin\xff.wav"
    Path(os.fsdecode(no_utf_8)).write_bytes((music / "x/a=b, c'd.wav").read_bytes())
    convert(config_for(music, tmp_path / "out"))
    outputs = {
        "x/b.mp3.wav",
        "x/b.flac.wav",
        "x/[1] *?ü.wav",
        "x/日本.wav",
        "x/a=b, c'd.wav",
        "x/line\nbreak.wav",
        os.fsdecode(b"x/latin\xff.wav"),
    }
    assert set(written_ns(tmp_path / "out")) == outputs
    assert {record["output"] for record in json_lines(tmp_path / "out" / "converted.jsonl")} == outputs
    before = written_ns(tmp_path / "out")
    convert(config_for(music, tmp_path / "out"))
    assert written_ns(tmp_path / "out") == before


@pytest.mark.parametrize(
    "runner",
    [
        DirectRunnerConfig(num_workers=1),
        DirectRunnerConfig(num_workers=1, mode="in_memory"),
        pytest.param(DirectRunnerConfig(num_workers=2, mode="multi_processing"), marks=pytest.mark.slow),
    ],
    ids=lambda runner: f"{runner.mode}-{runner.num_workers}",
)
def test_the_bytes_do_not_depend_on_the_runner(music, tmp_path, runner):
    changes = {"format": "flac", "sample_rate_hz": 16_000}
    convert(config_for(music, tmp_path / "first", **changes))
    convert(config_for(music, tmp_path / "again", runner=runner, **changes))
    assert contents(tmp_path / "again") == contents(tmp_path / "first")


def test_a_conversion_of_another_command_in_the_meantime_is_kept(music, tmp_path, monkeypatch):
    config = config_for(music, tmp_path / "out")
    other = config_for(music, tmp_path / "out", format="flac")
    let_another_be_faster(convert_pipeline, lambda: convert(other), monkeypatch=monkeypatch)
    with pytest.raises(UserError, match=r"holds a conversion with format=flac .now wav.: choose another output_dir"):
        convert(config)


def test_a_worker_whose_command_has_lost_the_lease_writes_no_file(music, tmp_path, monkeypatch):
    let_another_take_over(tmp_path / "out", monkeypatch=monkeypatch)
    with pytest.raises(RunFailedError, match="the command that started this worker does not hold the lease of .*out"):
        convert(config_for(music, tmp_path / "out"))
    assert not list((tmp_path / "out").rglob("*.wav")) and not list((tmp_path / "out/.convert/reports").iterdir())


def test_a_folder_with_other_things_in_it_is_refused(music, tmp_path):
    (tmp_path / "documents").mkdir()
    (tmp_path / "documents" / "thesis.txt").write_text("x")
    with pytest.raises(UserError, match="is not empty and does not hold a conversion"):
        convert(config_for(music, tmp_path / "documents", overwrite=True))
    assert contents(tmp_path / "documents") == {"thesis.txt": b"x"}
    (tmp_path / "documents" / "convert.yaml").write_text("[")
    with pytest.raises(UserError, match="convert.yaml does not hold the settings of a conversion"):
        convert(config_for(music, tmp_path / "documents", overwrite=True))


def test_output_and_source_may_not_contain_each_other(music, tmp_path):
    (tmp_path / "link").symlink_to(music)
    for source, output_dir in (
        (music, music),
        (music, music / "wav"),
        (music, tmp_path / "link" / "wav"),
        (music / "a", music),
    ):
        with pytest.raises(UserError, match="one lies in the other: choose another output_dir"):
            convert(config_for(source, output_dir))
    assert not (music / "wav").exists()


def test_a_source_that_is_missing_or_without_audio_is_refused_before_anything_is_made(tmp_path):
    with pytest.raises(UserError, match=r"source=.*absent: there is no such folder"):
        convert(config_for(tmp_path / "absent", tmp_path / "out"))
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("x")
    with pytest.raises(UserError, match=r"source=.*texts: there is no audio file in it \(\.mp3, "):
        convert(config_for(tmp_path / "texts", tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_bad_files_are_reported_and_the_good_ones_are_there(music, tmp_path, write_audio, capsys):
    bad = music / "bad"
    bad.mkdir()
    (bad / "empty.mp3").write_bytes(b"")
    (bad / "text.mp3").write_text("this is a text\n" * 100)
    (bad / "zeros.wav").write_bytes(bytes(10_000))
    write_audio(bad / "channels.wav", duration_s=0.1, channels=65)
    write_audio(bad / "one_sample.wav", duration_s=1 / 192_000, sample_rate_hz=192_000)
    write_audio(bad / "nine.wav", duration_s=0.1, channels=9)
    whole = write_audio(tmp_path / "whole.mp3", duration_s=4.0)
    (bad / "half.mp3").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    (bad / "most.mp3").write_bytes(whole.read_bytes()[: round(0.95 * whole.stat().st_size)])
    (bad / "damaged.flac").write_bytes((music / "a" / "two.flac").read_bytes()[:60])

    convert(config_for(music, tmp_path / "out", format="flac", sample_rate_hz=1_000))

    rejects = json_lines(tmp_path / "out" / "rejects.jsonl")
    assert [(reject["path"].removeprefix("bad/"), reject["stage"], reject["reason"]) for reject in rejects] == [
        ("channels.wav", "decode", "bad_header"),
        ("damaged.flac", "decode", "undecodable"),
        ("empty.mp3", "decode", "empty_file"),
        ("half.mp3", "decode", "damaged"),
        ("nine.wav", "encode", "not_in_format"),
        ("one_sample.wav", "resample", "no_audio"),
        ("text.mp3", "decode", "undecodable"),
        ("zeros.wav", "decode", "undecodable"),
    ]
    assert all(reject["message"] for reject in rejects)
    records = {record["output"]: record for record in json_lines(tmp_path / "out" / "converted.jsonl")}
    assert len(records) == 5
    most = records["bad/most.flac"]
    assert most["duration_s"] == pytest.approx(most["decoded_s"], abs=0.01) == pytest.approx(3.8, abs=0.1)
    assert (most["expected_s"], most["is_truncated"], most["decoder"]) == (4.0, True, "ffmpeg")
    assert not any(record["is_truncated"] for name, record in records.items() if name != "bad/most.flac")
    printed = capsys.readouterr().out
    assert "1 file decoded in part, because of damage or truncation: see " in printed
    reasons = "3 undecodable, 1 bad_header, 1 empty_file, 1 damaged, 1 not_in_format, 1 no_audio"
    assert f"8 files rejected ({reasons}): see " in printed


def test_a_folder_without_convertible_files_fails_with_the_reasons(tmp_path):
    for index in range(3):
        path = tmp_path / "music" / f"{index}.mp3"
        path.parent.mkdir(exist_ok=True)
        path.write_text("no audio")
    with pytest.raises(RunFailedError, match=r"no file can be converted \(3 undecodable; the first is 0.mp3: "):
        convert(config_for(tmp_path / "music", tmp_path / "out"))
    assert contents(tmp_path / "out").keys() == {"convert.yaml", "rejects.jsonl"}


@pytest.mark.parametrize(
    ("function", "stage"),
    [
        ("audio.choose_decoder.expected_length", "decode"),
        ("convert.transcode.to_mono", "mix"),
        ("convert.transcode.np.ascontiguousarray", "resample"),
    ],
)
def test_an_unexpected_exception_rejects_its_file_alone(write_audio, tmp_path, monkeypatch, function, stage):
    for name in "ab":
        write_audio(tmp_path / "in" / f"{name}.wav", channels=2)
    module, _, name = f"beam_pipelines.{function}".rpartition(".")
    original = pkgutil.resolve_name(f"{module}.{name}")
    calls = []

    def fail_once(*args, **kwargs):
        calls.append(args)
        if len(calls) == 1:
            raise MemoryError("no memory")
        return original(*args, **kwargs)

    monkeypatch.setattr(pkgutil.resolve_name(module), name, fail_once)
    convert(
        config_for(
            tmp_path / "in",
            tmp_path / "out",
            channels=1,
            sample_rate_hz=8_000,
            runner=DirectRunnerConfig(num_workers=1),
        )
    )
    [reject] = json_lines(tmp_path / "out" / "rejects.jsonl")
    assert (reject["stage"], reject["reason"]) == (stage, "unexpected")
    assert reject["message"].startswith("MemoryError in ") and reject["message"].endswith(": no memory")
    assert len(list((tmp_path / "out").glob("*.wav"))) == 1


@pytest.mark.slow
def test_the_command_line_converts_and_names_what_is_missing(beamtune, write_audio, tmp_path):
    write_audio(tmp_path / "music" / "a.mp3", duration_s=0.5)
    done = beamtune("convert", f"source={tmp_path / 'music'}", f"output_dir={tmp_path / 'out'}", "channels=2")
    assert (done.returncode, done.stdout.splitlines()[-2:]) == (
        0,
        [
            f"converted: {tmp_path / 'out'}",
            f"next: beamtune prepare dataset=folder dataset.root={tmp_path / 'out'} output_dir=prepared/out",
        ],
    )
    assert read_pcm(tmp_path / "out" / "a.wav")[0].shape[1] == 2
    failed = beamtune("convert", f"source={tmp_path / 'music'}")
    assert (failed.returncode, failed.stderr) == (
        2,
        "beamtune convert: output_dir is not set: give output_dir=…\n",
    )
