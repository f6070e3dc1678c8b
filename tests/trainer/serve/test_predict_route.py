"""`POST /v1/predict`: the prediction of a file, and what is refused."""

import errno
import io
import json
import os
import re
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from audio_bytes import by_libsndfile, flac_with_total, mp3, music, with_bytes
from served_requests import RATE_HZ, RAW, error_of, held_predictions, noise_wav
from starlette.testclient import TestClient

from trainer.evaluation.confidence import label_of
from trainer.evaluation.inference import Inference
from trainer.serve.multipart_file import MultipartFile
from trainer.serve.served_model import ServedModel
from trainer.training.config import TrainConfig

MakeClient = Callable[..., TestClient]


@pytest.fixture(scope="session")
def inference(shared_config: TrainConfig) -> Inference:
    """The same run as `predict` opens it."""
    return Inference(shared_config.run_dir, batch_size=32)


@pytest.fixture
def uploads(tmp_path: Path) -> Callable[[], list[str]]:
    """Returns the names of the files in the folder of the service."""
    return lambda: [path.name for path in (tmp_path / "uploads").iterdir()]


@pytest.mark.parametrize("content", [noise_wav(2.7), mp3(music(3.3, channels=2))], ids=["wav", "mp3"])
def test_the_answer_has_the_probabilities_of_predict(
    make_client: MakeClient, inference: Inference, tmp_path: Path, uploads: Callable[[], list[str]], content: bytes
) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    scores = inference.score(str(path))
    client = make_client()
    for response in (
        client.post("/v1/predict", files={"file": ("song", content)}),
        client.post("/v1/predict", content=content, headers={"Content-Type": "audio/mpeg"}),
    ):
        assert response.status_code == 200
        found = response.json()
        order = np.argsort(-scores.mean, kind="stable")
        assert found["genres"] == [
            {"genre": inference.labels[index], "probability": float(scores.mean[index])} for index in order
        ]
        assert found["label"] == label_of(scores.mean, inference.labels, min_confidence=0)
        assert found["timeline"] == [
            {
                "start_s": float(start_s),
                "duration_s": 0.5,
                "genre": inference.labels[int(row.argmax())],
                "probability": float(row.max()),
            }
            for start_s, row in zip(scores.starts_s, scores.values, strict=True)
        ]
        assert found["num_segments"] == len(scores.values)
        assert (found["duration_s"], found["expected_duration_s"]) == (scores.duration_s, scores.expected_s)
        assert found["is_partial"] is False
    assert uploads() == []


def test_a_label_that_is_not_probable_enough_is_unknown(make_client: MakeClient) -> None:
    content = noise_wav(1.0)
    sure, unsure = (
        make_client(min_confidence=min_confidence).post("/v1/predict", content=content, headers=RAW).json()
        for min_confidence in (0.0, 1.0)
    )
    assert sure["label"] == sure["genres"][0]["genre"]
    assert unsure == {**sure, "label": "unknown"}


def test_a_damaged_file_is_predicted_from_what_can_be_decoded(make_client: MakeClient) -> None:
    content = mp3(music(10.0))
    found = make_client().post("/v1/predict", content=content[: len(content) // 2], headers=RAW).json()
    assert found["is_partial"] is True
    assert found["expected_duration_s"] == pytest.approx(10.0, abs=0.1)
    assert found["duration_s"] == pytest.approx(5.0, abs=0.2)


def zip_bomb() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("song.mp3", bytes(1 << 26))
    return content.getvalue()


SILENCE = by_libsndfile(np.zeros((RATE_HZ, 1), np.float32), "WAV", "PCM_16", rate_hz=RATE_HZ)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty_file"),
        (b"no audio", "undecodable"),
        (zip_bomb(), "undecodable"),
        (SILENCE, "silent"),
        (noise_wav(0.0), "no_audio"),
    ],
    ids=["empty", "text", "zip bomb", "silent", "no samples"],
)
def test_what_is_no_audio_is_422(
    make_client: MakeClient, uploads: Callable[[], list[str]], content: bytes, reason: str
) -> None:
    client = make_client()
    assert error_of(client.post("/v1/predict", content=content, headers=RAW)) == (422, reason)
    assert error_of(client.post("/v1/predict", files={"file": ("song.mp3", content)})) == (422, reason)
    assert uploads() == []


def test_headers_that_state_a_wrong_duration_do_not_decide(make_client: MakeClient) -> None:
    client = make_client(max_duration_s=10.0)
    flac = by_libsndfile(music(2.0), "FLAC", "PCM_16")
    for stated in (1 << 35, 1000):
        found = client.post("/v1/predict", content=flac_with_total(flac, stated), headers=RAW).json()
        assert found["duration_s"] == pytest.approx(2.0)
    wav = noise_wav(2.0)
    assert wav[36:40] == b"data"
    for size, is_partial in ((2 * 32_000, True), (0x7FFFFFF0, False)):  # the latter stands for "not known"
        content = with_bytes(wav, 40, size.to_bytes(4, "little"))
        found = client.post("/v1/predict", content=content, headers=RAW).json()
        assert (found["duration_s"], found["is_partial"]) == (2.0, is_partial)


@pytest.mark.parametrize("longest_s", [2.0, 650.0])
def test_audio_that_is_too_long_is_422(make_client: MakeClient, longest_s: float) -> None:
    """One limit is below the 600 s that are decoded at once, the other is above."""
    client = make_client(max_duration_s=longest_s)
    # A FLAC file of constants is a few kB long.
    samples = np.full((round((longest_s + 1) * RATE_HZ), 1), 0.25, np.float32)
    for content in (
        by_libsndfile(samples, "FLAC", "PCM_16", rate_hz=RATE_HZ),
        flac_with_total(by_libsndfile(samples, "FLAC", "PCM_16", rate_hz=RATE_HZ), 100),
    ):
        assert error_of(client.post("/v1/predict", content=content, headers=RAW)) == (422, "too_long")


@pytest.mark.parametrize("content_type", ["text/plain", "application/json", "", "video/x-matroska", "image/png"])
def test_other_content_types_are_415(make_client: MakeClient, content_type: str) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    response = make_client().post("/v1/predict", content=noise_wav(1.0), headers=headers)
    assert error_of(response) == (415, "content_type")


@pytest.mark.parametrize("extra", [0, 1])
def test_files_up_to_the_limit_are_taken(make_client: MakeClient, uploads: Callable[[], list[str]], extra: int) -> None:
    content = noise_wav(1.0)
    client = make_client(max_upload_bytes=len(content) - extra)

    def chunks() -> object:  # without Content-Length
        yield from (content[start : start + 100] for start in range(0, len(content), 100))

    for response in (
        client.post("/v1/predict", content=content, headers=RAW),
        client.post("/v1/predict", content=chunks(), headers=RAW),  # type: ignore[arg-type]
    ):
        assert response.status_code == (413 if extra else 200)
        assert not extra or error_of(response) == (413, "too_large")
    assert uploads() == []


def form(*parts: bytes, end: bytes = b"--x--\r\n") -> bytes:
    return b"".join(b"--x\r\n" + part + b"\r\n" for part in parts) + end


def field(name: bytes, content: bytes, *, filename: bytes | None = None) -> bytes:
    shown = b"" if filename is None else b'; filename="' + filename + b'"'
    return b'Content-Disposition: form-data; name="' + name + b'"' + shown + b"\r\n\r\n" + content


SONG = noise_wav(1.0)


FORMS: dict[str, tuple[bytes, tuple[int, str] | None]] = {
    "plain": (form(field(b"file", SONG)), None),
    "another field": (form(field(b"other", b"x"), field(b"file", SONG, filename=b"a.mp3")), None),
    "path as name": (form(field(b"file", SONG, filename=b"../../../../etc/passwd")), None),
    "absolute path and NUL": (form(field(b"file", SONG, filename=b"/etc/cron.d/x\0.mp3")), None),
    "bytes as name": (form(field(b"file", SONG, filename=b"\xff\xfe'; rm -rf ~")), None),
    "preamble": (b"preamble\r\n" + form(field(b"file", SONG)), (400, "malformed_form")),
    "other field alone": (form(field(b"music", SONG)), (400, "no_file")),
    "no field": (form(), (400, "no_file")),
    "empty": (b"", (400, "malformed_form")),
    "cut": (form(field(b"file", SONG), end=b""), (400, "malformed_form")),
    "two files": (form(field(b"file", SONG), field(b"file", SONG)), (400, "too_many_files")),
    "many fields": (form(*[field(b"f%d" % index, b"") for index in range(10_000)]), (400, "too_many_fields")),
    "field without name": (form(b"Content-Disposition: form-data\r\n\r\nx"), (400, "no_file")),
    "long header": (form(b"A: " + b"x" * 100_000 + b"\r\n\r\nx"), (400, "malformed_form")),
    "many headers": (
        form(b"".join(b"A%d: x\r\n" % index for index in range(1000)) + b"\r\nx"),
        (400, "malformed_form"),
    ),
    "binary": (b"\xff" * 1000, (400, "malformed_form")),
}


@pytest.mark.parametrize(("body", "expected"), FORMS.values(), ids=FORMS)
def test_forms(
    make_client: MakeClient, uploads: Callable[[], list[str]], body: bytes, expected: tuple[int, str] | None
) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    response = make_client().post("/v1/predict", content=body, headers=headers)
    if expected is None:
        assert response.status_code == 200
    else:
        assert error_of(response) == expected
    assert uploads() == []


@pytest.mark.parametrize("options", ["", "; boundary=", '; boundary="' + "x" * 10_000 + '"'])
def test_forms_without_a_usable_boundary_are_400(make_client: MakeClient, options: str) -> None:
    headers = {"Content-Type": f"multipart/form-data{options}"}
    response = make_client().post("/v1/predict", content=form(field(b"file", SONG)), headers=headers)
    assert error_of(response) == (400, "malformed_form")


def test_the_file_of_a_form_is_limited_too(make_client: MakeClient) -> None:
    client = make_client(max_upload_bytes=len(SONG) - 1)
    assert client.post("/v1/predict", files={"file": SONG}).status_code == 413


def test_requests_beyond_the_queue_are_503(make_client: MakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    client = make_client(num_threads=1, max_waiting=2)

    def predict() -> int:
        return client.post("/v1/predict", content=SONG, headers=RAW).status_code

    with held_predictions(monkeypatch) as (begun, go_on), ThreadPoolExecutor(3) as threads:
        waiting = [threads.submit(predict) for _ in range(3)]
        assert begun.acquire(timeout=300)
        while "beamtune_queue_length 2.0" not in client.get("/metrics").text:
            pass
        refused = client.post("/v1/predict", content=SONG, headers=RAW)
        assert error_of(refused) == (503, "queue_full")
        assert int(refused.headers["Retry-After"]) > 0
        go_on.set()
        assert [one.result() for one in waiting] == [200, 200, 200]
    assert client.post("/v1/predict", content=SONG, headers=RAW).status_code == 200
    text = client.get("/metrics").text
    assert 'beamtune_rejected_total{reason="queue_full"} 1.0' in text
    assert "beamtune_work_in_progress 0.0" in text


def test_a_service_that_loads_or_stops_refuses_work(
    make_client: MakeClient, make_service: Callable[..., object]
) -> None:
    service = make_service()
    client = make_client(service=service)
    model, service.model = service.model, None  # type: ignore[attr-defined]
    for path in ("/readyz", "/v1/model"):
        assert error_of(client.get(path)) == (503, "loading")
    refused = client.post("/v1/predict", content=SONG, headers=RAW)
    assert error_of(refused) == (503, "loading")
    assert int(refused.headers["Retry-After"]) > 0
    assert client.get("/healthz").json() == {"status": "alive"}
    service.model = model  # type: ignore[attr-defined]
    assert client.get("/readyz").json() == {"status": "ready"}
    service.is_stopping = True  # type: ignore[attr-defined]
    assert error_of(client.get("/readyz")) == (503, "stopping")
    assert error_of(client.post("/v1/predict", content=SONG, headers=RAW)) == (503, "stopping")


def test_the_model_is_described(make_client: MakeClient, shared_config: TrainConfig) -> None:
    assert make_client(max_upload_bytes=1000, max_duration_s=90.0).get("/v1/model").json() == {
        "name": Path(shared_config.run_dir).name,
        "kind": "run",
        "labels": ["blues", "funk", "waltz"],
        "segment_duration_s": 0.5,
        "limits": {"max_upload_bytes": 1000, "max_duration_s": 90.0},
        "min_confidence": 0.0,
        "beamtune_version": metadata.version("beamtune"),
    }


def test_an_unexpected_exception_is_500_in_the_same_form(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("secret")

    client = make_client()
    monkeypatch.setattr(ServedModel, "answer", fail)
    response = client.post("/v1/predict", content=SONG, headers=RAW)
    assert error_of(response) == (500, "internal")
    assert "secret" not in response.text
    logged = json.loads(capsys.readouterr().err)
    assert re.fullmatch(r"ZeroDivisionError in test_predict_route.py, line \d+", logged["error"])


def test_a_defect_is_no_fault_of_the_file(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise MemoryError("secret")

    client = make_client()
    monkeypatch.setattr(Inference, "_run", fail)
    response = client.post("/v1/predict", content=SONG, headers=RAW)
    assert error_of(response) == (500, "unexpected")
    assert response.json()["error"]["message"] == "The file cannot be predicted: the service failed."
    assert json.loads(capsys.readouterr().err)["error"].startswith("MemoryError in test_predict_route.py, line ")


@pytest.mark.parametrize(
    ("number", "reason"), [(errno.ENOSPC, "no_space"), (errno.EMFILE, "too_many_files"), (errno.EIO, None)]
)
def test_a_full_machine_is_503(
    make_client: MakeClient,
    uploads: Callable[[], list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    number: int,
    reason: str | None,
) -> None:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    client = make_client()
    monkeypatch.setattr(MultipartFile, "write", fail)
    response = client.post("/v1/predict", files={"file": SONG})
    assert error_of(response) == ((500, "internal") if reason is None else (503, reason))
    assert ("Retry-After" in response.headers) == (reason is not None)
    logged = json.loads(capsys.readouterr().err)
    assert logged["error"].startswith(f"{os.strerror(number)} in test_predict_route.py, line ")
    assert uploads() == []
