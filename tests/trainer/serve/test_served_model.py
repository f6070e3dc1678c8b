"""The model behind the service: runs and exports, and files whose reading can be stopped."""

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from served_requests import noise_wav

from beam_pipelines.audio.decode import AudioError
from beam_pipelines.common.errors import UserError
from trainer.evaluation.exported_model import ExportedModel
from trainer.export import export as export_module
from trainer.export.checks import FormatRun, predict_clips
from trainer.export.config import ExportConfig
from trainer.export.export import export
from trainer.export.reference_clips import ReferenceClip
from trainer.export.source import ExportSource
from trainer.serve.served_model import ServedModel, StoppableFile
from trainer.serve.service import Service
from trainer.training.config import TrainConfig


@pytest.mark.slow
def test_an_export_answers_with_the_probabilities_of_predict(
    shared_config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_without_process(
        name: str, source: ExportSource, directory: str, clips: Sequence[ReferenceClip]
    ) -> FormatRun:
        return FormatRun(predict_clips(source.inference, clips))

    monkeypatch.setattr(export_module, "_run", run_without_process)
    with open(os.devnull, "w") as stream:
        export(shared_config.run_dir, ExportConfig(output_dir=str(tmp_path / "export")), stream=stream)
    path = tmp_path / "noise.wav"
    path.write_bytes(noise_wav(2.7))
    scores = ExportedModel(str(tmp_path / "export")).score(str(path))
    model = ServedModel(str(tmp_path / "export"), batch_size=32)
    model.warm_up()
    assert (model.kind, model.labels, model.segment_duration_s) == ("export", ("blues", "funk", "waltz"), 0.5)
    found = model.answer(str(path), min_confidence=0.0, max_duration_s=60.0, stop=threading.Event())
    order = np.argsort(-scores.mean, kind="stable")
    assert found["genres"] == [
        {"genre": model.labels[index], "probability": float(scores.mean[index])} for index in order
    ]
    assert [one["probability"] for one in found["timeline"]] == scores.values.max(axis=1).tolist()
    with pytest.raises(AudioError, match="too_long: the audio is longer than 2 s"):
        model.answer(str(path), min_confidence=0.0, max_duration_s=2.0, stop=threading.Event())


def test_reading_ends_when_it_is_stopped(loaded_model: ServedModel, tmp_path: Path) -> None:
    path = tmp_path / "noise.wav"
    path.write_bytes(noise_wav(2.0))
    stop = threading.Event()
    with StoppableFile(str(path), stop) as file:
        assert file.read(4) == b"RIFF"
        stop.set()
        with pytest.raises(AudioError, match="stopped"):
            file.read(4)
    with pytest.raises(AudioError, match="stopped"):
        loaded_model.answer(str(path), min_confidence=0.0, max_duration_s=60.0, stop=stop)


def test_a_service_loads_its_model_in_every_thread(
    make_service: Callable[..., Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = []
    monkeypatch.setattr(ServedModel, "warm_up", lambda self: threads.append(threading.current_thread().name))
    service = make_service(num_threads=3)
    service.model = None
    service.load()
    assert service.model is not None
    assert len(set(threads)) == 3


def test_threads_that_cannot_start_end_the_loading(
    make_service: Callable[..., Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    started = 0
    real_start = threading.Thread.start

    def start(self: threading.Thread) -> None:
        nonlocal started
        started += 1
        if started > 2:
            raise RuntimeError("can't start new thread")
        real_start(self)

    service = make_service(num_threads=3)
    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        service.queue.do_in_each_thread(lambda: None)
    service.queue.close()
    service.queue._pool.shutdown(wait=True)  # the two threads have ended


def test_a_confidence_that_the_genres_forbid_is_an_error(
    make_service: Callable[..., Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ServedModel, "labels", ("blues", "unknown"))
    service = make_service(min_confidence=0.5)
    with pytest.raises(UserError, match="a genre of the run is called unknown"):
        service.load()
