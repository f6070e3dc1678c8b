"""`beamtune convert` on a folder that it has converted before, in whole or in part."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from conversions import OUTPUTS, config_for, contents, json_lines, read_pcm, written_ns

from beam_pipelines.common.errors import RunFailedError, UserError
from beam_pipelines.common.python_process import python_command
from beam_pipelines.convert.pipeline import convert


def test_a_second_run_changes_nothing(music, tmp_path, capsys):
    convert(config_for(music, tmp_path / "out"))
    before, before_ns = contents(tmp_path / "out"), written_ns(tmp_path / "out")
    capsys.readouterr()
    convert(config_for(music, tmp_path / "out"))
    assert contents(tmp_path / "out") == before
    assert written_ns(tmp_path / "out") == before_ns
    assert capsys.readouterr().out.splitlines()[0] == "0 files converted, 4 kept from earlier: 5 s of audio"


def test_what_is_new_newer_missing_or_of_another_size_is_converted_and_nothing_else(music, tmp_path, write_audio):
    out = tmp_path / "out"
    convert(config_for(music, out))
    before = written_ns(out)
    write_audio(music / "one.mp3", sample_rate_hz=44_100, channels=1, duration_s=1.0)
    later_s = time.time() + 100
    os.utime(music / "one.mp3", (later_s, later_s))
    other = write_audio(music / "a" / "two.flac", sample_rate_hz=22_050, duration_s=0.5)
    os.utime(other, (1, 1))  # older than what was made of the one before
    (out / "a" / "three.wav").unlink()
    write_audio(music / "new.wav", duration_s=0.5)

    convert(config_for(music, out))

    after = written_ns(out)
    assert {name for name in after if after[name] == before.get(name)} == {"a/b/four.wav"}
    assert after.keys() == OUTPUTS | {"new.wav"}
    durations = {record["output"]: record["duration_s"] for record in json_lines(out / "converted.jsonl")}
    assert durations["one.wav"] == pytest.approx(1.0, abs=0.1)
    assert durations["a/two.wav"] == 0.5
    convert(config_for(music, tmp_path / "fresh"))
    assert contents(out) == contents(tmp_path / "fresh")


def test_the_output_of_a_deleted_source_stays(music, tmp_path):
    convert(config_for(music, tmp_path / "out"))
    before = contents(tmp_path / "out")
    (music / "one.mp3").unlink()
    convert(config_for(music, tmp_path / "out"))
    assert contents(tmp_path / "out") == before


def test_a_source_that_has_become_bad_leaves_no_output(music, tmp_path):
    convert(config_for(music, tmp_path / "out"))
    (music / "one.mp3").write_text("no audio any more")
    convert(config_for(music, tmp_path / "out"))
    assert not (tmp_path / "out" / "one.wav").exists()
    assert [reject["path"] for reject in json_lines(tmp_path / "out" / "rejects.jsonl")] == ["one.mp3"]
    assert len(json_lines(tmp_path / "out" / "converted.jsonl")) == 3


def test_other_settings_do_not_replace_outputs_without_overwrite(music, tmp_path):
    out = tmp_path / "out"
    convert(config_for(music, out))
    before = contents(out)
    with pytest.raises(UserError, match=r"holds a conversion with format=wav \(now flac\): .*overwrite=true"):
        convert(config_for(music, out, format="flac"))
    assert contents(out) == before
    changes = {"format": "flac", "sample_rate_hz": 8_000}
    convert(config_for(music, out, overwrite=True, **changes))
    convert(config_for(music, tmp_path / "fresh", **changes))
    assert contents(out) == contents(tmp_path / "fresh")
    convert(config_for(music, out, overwrite=True, **{**changes, "sample_rate_hz": 16_000}))
    assert read_pcm(out / "one.flac")[1] == 16_000


def test_a_worker_that_fails_ends_the_run_with_its_reason_and_the_next_run_resumes(music, tmp_path):
    convert(config_for(music, tmp_path / "whole"))
    out = tmp_path / "out"
    convert(config_for(music, out))
    (out / "a" / "b" / "four.wav").unlink()
    (out / "a" / "b" / "four.wav").mkdir()  # where a file is to be written
    (out / "a" / "b" / "four.wav" / "x").mkdir()
    with pytest.raises(RunFailedError, match=r"a step of the pipeline failed: .*ConvertFiles"):
        convert(config_for(music, out))
    assert not (out / "converted.jsonl").exists()
    (out / "a" / "b" / "four.wav" / "x").rmdir()
    (out / "a" / "b" / "four.wav").rmdir()
    convert(config_for(music, out))
    assert contents(out) == contents(tmp_path / "whole")


def _start(music: Path, output_dir: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        python_command(
            "configs.cli:run",
            "convert",
            f"source={music}",
            f"output_dir={output_dir}",
            "format=flac",
            "sample_rate_hz=32000",
            "runner.num_workers=2",
        ),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


@pytest.mark.slow
def test_a_killed_run_resumes_and_ends_with_the_same_bytes(write_audio, tmp_path):
    music = tmp_path / "music"
    for index in range(12):
        write_audio(music / str(index % 3) / f"{index}.flac", duration_s=20.0, sample_rate_hz=44_100, channels=2)
    (music / "bad.mp3").write_text("no audio")
    assert _start(music, tmp_path / "undisturbed").wait(timeout=600) == 0

    out = tmp_path / "killed"
    process = _start(music, out)
    deadline_s = time.monotonic() + 600
    while len(written_ns(out, "flac")) < 3:
        assert process.poll() is None, "the run ended before it could be killed"
        assert time.monotonic() < deadline_s
        time.sleep(0.002)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=600)
    assert not (out / "converted.jsonl").exists()
    finished = written_ns(out, "flac")
    assert 3 <= len(finished) < 12
    with pytest.raises(UserError, match="overwrite=true"):
        convert(config_for(music, out, format="wav"))

    assert _start(music, out).wait(timeout=600) == 0

    assert contents(out) == contents(tmp_path / "undisturbed")
    after = written_ns(out, "flac")
    assert {name: after[name] for name in finished} == finished
