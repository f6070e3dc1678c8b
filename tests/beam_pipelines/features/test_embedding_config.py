import os

import pytest

from beam_pipelines.common.checks import MISSING
from beam_pipelines.common.errors import UserError
from beam_pipelines.features.config import EmbeddingConfig

NEEDED = {"path": "networks/mine.onnx", "sample_rate_hz": 16_000, "window_s": 1.0}
MEL = {**NEEDED, "input": "log_mel", "hop_length": 160}


@pytest.mark.parametrize("name", NEEDED)
def test_what_is_needed_has_no_default(name):
    for value in (MISSING, None):
        with pytest.raises(
            UserError, match=rf"^features.embedding.{name} is not set: give features.embedding.{name}=…$"
        ):
            EmbeddingConfig(**{**NEEDED, name: value})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"path": " "}, "path= : expected a path"),
        ({"path": "https://x.org/a.onnx"}, "path=https://x.org/a.onnx: expected a local path or gs://…"),
        ({"sample_rate_hz": 10}, "sample_rate_hz=10: expected a rate from 1000"),
        ({"window_s": 0.0}, r"window_s=0.0: expected 0.01 to 60 s"),
        ({"window_s": float("nan")}, r"window_s=nan: expected 0.01 to 60 s"),
        ({"hop_s": 61.0}, r"hop_s=61.0: expected 0.01 to 60 s"),
        ({"input": "log_mels"}, "input=log_mels: expected one of waveform, log_mel; did you mean log_mel"),
        ({"pooling": "max"}, "pooling=max: expected one of none, mean"),
        ({"gain": 0.0}, "gain=0.0: expected a factor"),
        ({"gain": float("inf")}, "gain=inf: expected a factor"),
        ({"dtype": "int16"}, "dtype=int16: expected one of float16, float32"),
        ({"axes": ["samples", "batch"]}, r"axes=\[samples,batch\]: expected samples once each, batch in front"),
        ({"axes": ["batch", "frames"]}, r"axes=\[batch,frames\]: expected samples once"),
        ({"axes": ["batch", "batch", "samples"]}, "axes="),
        ({"axes": ["batch", "samples", "two"]}, "axes="),
        ({**MEL, "axes": ["batch", "frames"]}, "expected frames, bands once each"),
        ({**MEL, "hop_length": 0}, "hop_length=0: expected a hop"),
        ({**MEL, "window_s": 0.965}, r"window_s=0.965: expected a whole number of frames of hop_length=160 .* 0.96 s$"),
        ({**MEL, "hop_s": 0.005}, "hop_s=0.005: expected 0.01"),
        ({**MEL, "padding": "wrap"}, "padding=wrap: expected one of zeros, reflect"),
        ({**MEL, "log": "log2"}, "log=log2: expected one of"),
        ({**MEL, "log_factor": -1.0}, "log_factor=-1.0: expected a positive"),
        ({**MEL, "log_offset": 0.0}, "log_offset=0.0: expected a positive"),
    ],
    ids=str,
)
def test_values_out_of_range_are_named(values, message):
    with pytest.raises(UserError, match=message):
        EmbeddingConfig(**{**NEEDED, **values})


@pytest.mark.parametrize(
    ("path", "format_name", "libraries"),
    [
        ("a.onnx", "onnx", ("onnxruntime",)),
        ("gs://b/a.v1.keras", "keras", ("keras", "tensorflow")),
        ("gs://b/folder.d/", "saved_model", ("keras", "tensorflow")),
    ],
)
def test_the_format_is_that_of_the_name(path, format_name, libraries):
    config = EmbeddingConfig(**{**NEEDED, "path": path})
    assert (config.format, config.libraries()) == (format_name, libraries)
    assert config.filename == path.rstrip("/").rsplit("/", 1)[-1]


def test_the_path_is_recorded_beside_the_result_and_not_in_it():
    config = EmbeddingConfig(**NEEDED)
    assert "path" not in config.result_settings()
    assert config.recorded_paths() == {"path": os.path.join(os.getcwd(), "networks/mine.onnx")}
    assert EmbeddingConfig(**{**NEEDED, "path": "gs://b/x.onnx"}).recorded_paths() == {"path": "gs://b/x.onnx"}


def test_a_licence_is_a_text_or_a_file(tmp_path):
    assert EmbeddingConfig(**NEEDED).license_text() is None
    assert EmbeddingConfig(**NEEDED, license="CC BY-NC-SA 4.0").license_text() == "CC BY-NC-SA 4.0"
    file = tmp_path / "LICENSE"
    file.write_text("Non-commercial.\n§ 2\n", encoding="utf-8")
    config = EmbeddingConfig(**NEEDED, license=str(file))
    assert config.result_settings()["license"] == "Non-commercial.\n§ 2"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="license=.*LICENSE is no text in UTF-8"):
        config.license_text()
    file.write_bytes(b"x" * (64 * 2**10 + 1))
    with pytest.raises(UserError, match="expected a text of at most 64 KiB"):
        config.license_text()
