"""The libraries that read each audio format."""

import sys

import pytest

import beam_pipelines.audio.choose_decoder  # noqa: F401 (which imports both decoders)
from configs.doctor.decoders import FORMATS, decoders_of, find_decoders
from configs.doctor.findings import BROKEN, OK, Finding


@pytest.mark.parametrize("audio_format", FORMATS)
def test_each_library_decodes_the_formats_that_it_has(audio_format):
    expected = ["FFmpeg"] if audio_format == "m4a" else ["libsndfile", "FFmpeg"]
    assert decoders_of(audio_format) == expected


def without(monkeypatch, *modules):
    for name in modules:
        monkeypatch.setitem(sys.modules, name, None)
    for name in ("libsndfile", "ffmpeg"):
        monkeypatch.delitem(sys.modules, f"beam_pipelines.audio.{name}", raising=False)
        # The next import sets it: at the end it is the module again that other modules have imported.
        monkeypatch.delattr(f"beam_pipelines.audio.{name}")


@pytest.mark.parametrize("audio_format", FORMATS)
def test_without_libsndfile_ffmpeg_reads_everything(monkeypatch, audio_format):
    without(monkeypatch, "soundfile")
    assert decoders_of(audio_format) == ["FFmpeg"]


@pytest.mark.parametrize("audio_format", FORMATS)
def test_without_ffmpeg_libsndfile_reads_everything_but_m4a(monkeypatch, audio_format):
    without(monkeypatch, "av")
    assert decoders_of(audio_format) == ([] if audio_format == "m4a" else ["libsndfile"])


def test_findings():
    results = {name: {"decoders": ["libsndfile", "FFmpeg"]} for name in FORMATS}
    results["m4a"] = {"decoders": []}
    results["opus"] = {"error": "the process ends with SIGSEGV"}
    found = {one.name: one for one in find_decoders(results)}
    assert list(found) == ["wav", "mp3", "flac", "ogg", "opus", "m4a"]
    assert found["mp3"] == Finding("decoder", "mp3", OK, "libsndfile and FFmpeg")
    assert found["m4a"] == Finding(
        *("decoder", "m4a", BROKEN, "no library reads it"),
        expected="libsndfile or FFmpeg reads it",
        fix="pip install --force-reinstall --no-deps av soundfile soxr",
    )
    assert found["opus"].found == "the process ends with SIGSEGV"
