"""Tables of predictions: begun, interrupted, continued, in this process and by Beam."""

import csv
import errno
import json
import os
import pickle
import shutil
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np
import pytest
import soundfile

from beam_pipelines.common.errors import RunFailedError, UserError
from beam_pipelines.common.lease import holding
from beam_pipelines.runners.config import DirectRunnerConfig
from beam_pipelines.runners.run_parts import run_parts
from trainer.evaluation.config import PredictConfig
from trainer.evaluation.inference import Inference
from trainer.library import predict_library as module
from trainer.library.parts import Part, PartsDir
from trainer.library.predict_library import PredictPart, predict_library
from trainer.library.tables import JsonLinesTable
from trainer.training.config import TrainConfig

RATE_HZ = 8000
BEAM = partial(run_parts, config=DirectRunnerConfig(), job_name="test")


@pytest.fixture
def paths(tmp_path: Path) -> list[str]:
    """Six files of 1 s; the fifth holds no audio."""
    found = []
    for index in range(6):
        path = tmp_path / f"song{index}.wav"
        samples = np.random.default_rng(index).normal(0, 0.1, RATE_HZ)
        soundfile.write(path, samples, RATE_HZ)
        found.append(str(path))
    Path(found[4]).write_text("no audio")
    return found


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out" / "genres.jsonl"


def run(finished: TrainConfig, paths: Sequence[str], output: Path, *, beam: bool = False, **settings: object) -> int:
    runner = DirectRunnerConfig() if beam else None
    config = PredictConfig(output=str(output), runner=runner, **settings)  # type: ignore[arg-type]
    return predict_library(finished.run_dir, paths, config=config, run_parts=BEAM if beam else None)


def rows(output: Path) -> list[dict]:
    return [json.loads(line) for line in output.read_text().splitlines()]


def files_beside(output: Path) -> set[str]:
    return {entry.name for entry in output.parent.iterdir()} - {output.name}


def stop_after(monkeypatch: pytest.MonkeyPatch, num_files: int, error: BaseException) -> list[str]:
    """Raises an error when the next file is read; returns the list of the files that are read."""
    read, seen = Inference.read, []

    def read_or_stop(self: Inference, path: str) -> object:
        if len(seen) == num_files:
            raise error
        seen.append(path)
        return read(self, path)

    monkeypatch.setattr(Inference, "read", read_or_stop)
    return seen


@pytest.mark.parametrize("beam", [False, True])
def test_a_table_has_what_each_file_alone_has(
    finished: TrainConfig,
    paths: list[str],
    output: Path,
    capsys: pytest.CaptureFixture[str],
    beam: bool,
) -> None:
    assert run(finished, paths, output, beam=beam, timeline=True, embeddings=True, top_k=2) == 1
    assert capsys.readouterr().out == (
        f"6 files: 5 predicted, 1 failed: {output}\n"
        f"{output}.failed.jsonl has the reasons; the same command tries these files again\n"
    )
    found, model = rows(output), Inference(finished.run_dir, batch_size=32)
    assert [row["file"] for row in found] == [path for path in paths if path != paths[4]]
    for row in found:
        alone, embedding = model.score(row["file"]), model.embed(row["file"]).mean
        order = np.argsort(-alone.mean)[:2]
        assert [genre["genre"] for genre in row["genres"]] == [model.labels[index] for index in order]
        np.testing.assert_allclose([genre["probability"] for genre in row["genres"]], alone.mean[order], atol=1e-6)
        assert [segment["start_s"] for segment in row["timeline"]] == [0.0, 0.5]
        assert [segment["genre"] for segment in row["timeline"]] == [model.labels[i] for i in alone.values.argmax(1)]
        np.testing.assert_allclose(row["embedding"], embedding, atol=1e-5)
    [failure] = rows(Path(f"{output}.failed.jsonl"))
    assert failure["file"] == paths[4]
    assert set(failure["error"]) == {"reason", "message"}
    assert files_beside(output) == {"genres.jsonl.failed.jsonl", "genres.jsonl.settings.json"}


def test_an_interrupted_table_is_continued(
    finished: TrainConfig,
    paths: list[str],
    output: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with monkeypatch.context() as patch:
        stop_after(patch, 3, KeyboardInterrupt())
        patch.setattr(module, "_FILES_IN_PART", 1)
        with pytest.raises(KeyboardInterrupt):
            run(finished, paths, output, batch_size=2, num_threads=1)
    assert not output.exists()
    (output.parent / "genres.jsonl.parts" / "part-000009.jsonl.0.tmp").write_text("{")  # of a process that was killed
    kept = [json.loads(part.read_text())["file"] for part in sorted(output.parent.rglob("part-*.jsonl"))]
    assert kept == paths[: len(kept)] and len(kept) >= 1
    capsys.readouterr()
    with monkeypatch.context() as patch:
        seen = stop_after(patch, 100, KeyboardInterrupt())
        assert run(finished, paths, output) == 1
    assert set(seen) == set(paths[len(kept) :])
    captured = capsys.readouterr()
    assert f"kept from earlier: {len(kept)} of 6 files" in captured.err
    assert f"{6 - len(kept)} files: {5 - len(kept)} predicted, 1 failed, {len(kept)} kept from earlier" in captured.out
    assert [row["file"] for row in rows(output)] == [path for path in paths if path != paths[4]]
    assert not (output.parent / "genres.jsonl.parts").exists()


@pytest.mark.parametrize("beam", [False, True])
@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_new_files_are_added_and_failed_ones_tried_again(
    finished: TrainConfig, paths: list[str], tmp_path: Path, ending: str, beam: bool
) -> None:
    output = tmp_path / "out" / f"genres{ending}"
    assert run(finished, paths[3:5], output, beam=beam) == 1
    before = output.read_bytes()
    soundfile.write(paths[4], np.random.default_rng(9).normal(0, 0.1, RATE_HZ), RATE_HZ)
    assert run(finished, paths, output, beam=beam) == 0
    assert files_beside(output) == {f"genres{ending}.settings.json"}
    if ending == ".csv":
        assert output.read_bytes().startswith(before)
        with output.open(newline="") as source:
            found = list(dict.fromkeys(row["file"] for row in csv.DictReader(source)))
        assert found == [paths[3], *paths[:3], *paths[4:]]
    again = output.read_bytes()
    assert run(finished, paths, output, beam=beam) == 0
    if ending != ".parquet":  # whose row groups are written anew
        assert output.read_bytes() == again


def test_a_table_that_was_joined_just_before_a_kill_gets_no_rows_twice(
    finished: TrainConfig, paths: list[str], output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(PartsDir, "remove", lambda self: (_ for _ in ()).throw(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            run(finished, paths[:2], output)
    assert run(finished, paths[:3], output) == 0
    assert [row["file"] for row in rows(output)] == paths[:3]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")])
def test_nothing_is_left_of_a_table_whose_writing_ended(
    finished: TrainConfig, paths: list[str], output: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def write_half(self: object, predictions: object, sink: IO[bytes], *, before: object) -> None:
        sink.write(b"half of it")
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(JsonLinesTable, "write", write_half)
        expected, message = (
            (KeyboardInterrupt, None)
            if isinstance(error, KeyboardInterrupt)
            else (
                RunFailedError,
                f"output={output} cannot be written: No space left on device; finished parts are kept",
            )
        )
        with pytest.raises(expected, match=message):
            run(finished, paths[:2], output)
    assert not output.exists()
    assert len(list(output.parent.rglob("*.tmp"))) == 1
    assert run(finished, paths[:2], output) == 0
    assert [row["file"] for row in rows(output)] == paths[:2]
    assert files_beside(output) == {"genres.jsonl.settings.json"}


def test_other_settings_or_another_model_do_not_continue_a_table(
    finished: TrainConfig, paths: list[str], output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(finished, paths[:1], output)
    with pytest.raises(UserError, match=r"was begun with top_k=3 \(now 1\): choose another output"):
        run(finished, paths, output, top_k=1)
    monkeypatch.setattr(Inference, "weights_hash", lambda self: "other")
    with pytest.raises(UserError, match=r"was begun with model=[0-9a-f]{16} \(now other\)"):
        run(finished, paths, output)
    assert len(rows(output)) == 1


def test_parts_without_their_settings_are_not_continued(
    finished: TrainConfig, paths: list[str], output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(module, "_join", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt()))
        with pytest.raises(KeyboardInterrupt):
            run(finished, paths[:2], output)
    with pytest.raises(UserError, match=rf"top_k=3 \(now 1\): .*\.settings\.json and {output}\.parts, as far"):
        run(finished, paths[:2], output, top_k=1)
    Path(f"{output}.settings.json").unlink()
    with pytest.raises(UserError, match=rf"settings\.json is missing: delete the folder {output}\.parts,"):
        run(finished, paths[:2], output, top_k=1)
    shutil.rmtree(f"{output}.parts")
    assert run(finished, paths[:2], output, top_k=1) == 0
    assert [len(row["genres"]) for row in rows(output)] == [1, 1]


def test_a_file_of_another_program_is_not_continued(finished: TrainConfig, paths: list[str], output: Path) -> None:
    output.parent.mkdir()
    output.write_text("{}\n")
    with pytest.raises(UserError, match="exists and was not written by beamtune predict"):
        run(finished, paths, output)
    assert output.read_text() == "{}\n"


def test_two_at_once_do_not_write_to_one_table(finished: TrainConfig, paths: list[str], output: Path) -> None:
    with holding(PartsDir(str(output)).path, key="output"), pytest.raises(UserError, match="output="):
        run(finished, paths, output)
    assert run(finished, paths[:1], output) == 0


def test_names_that_are_not_utf_8_fail_and_the_others_do_not(
    finished: TrainConfig, paths: list[str], output: Path
) -> None:
    odd = os.fsdecode(os.fsencode(paths[0]) + b"\xe9.wav")
    os.link(paths[0], odd)
    assert run(finished, [odd, paths[0]], output) == 1
    assert [row["file"] for row in rows(output)] == [paths[0]]
    [failure] = rows(Path(f"{output}.failed.jsonl"))
    assert failure["error"]["reason"] == "name"


def test_a_worker_of_a_command_that_has_ended_writes_nothing(
    finished: TrainConfig, paths: list[str], output: Path
) -> None:
    config = PredictConfig(output=str(output), runner=DirectRunnerConfig())
    work = pickle.loads(pickle.dumps(PredictPart(finished.run_dir, config, lease_owner="ended")))  # noqa: S301
    with pytest.raises(RunFailedError, match="does not hold the lease"):
        work(Part(0, tuple(paths[:1])))
    assert not output.parent.exists() or not list(output.parent.rglob("part-*"))


def test_threads_of_a_worker_share_the_model(
    finished: TrainConfig, paths: list[str], output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    open_model: Callable[..., Inference] = module.open_model  # type: ignore[assignment]
    monkeypatch.setattr(module, "open_model", lambda run, **options: opened.append(run) or open_model(run, **options))
    module._cached_model.cache_clear()
    Path(PartsDir(str(output)).path).mkdir(parents=True)
    config = PredictConfig(output=str(output), embeddings=True)
    work = PredictPart(finished.run_dir, config, lease_owner=None)
    threads = [threading.Thread(target=work, args=(Part(index, (paths[index],)),)) for index in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert opened == [finished.run_dir]
    assert [row["file"] for row in PartsDir(str(output)).rows() if len(row["embedding"]) > 0] == paths[:3]


def test_the_first_embedding_may_be_that_of_another_thread(finished: TrainConfig, paths: list[str]) -> None:
    model = Inference(finished.run_dir, batch_size=4)
    segments = model.read(paths[0]).segments
    with ThreadPoolExecutor(1) as pool:
        values = pool.submit(model.compute, segments, with_embedding=True).result()
    np.testing.assert_array_equal(values, model.compute(segments, with_embedding=True))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"output": "a.txt"}, "output=a.txt: expected a name that ends with .csv, .jsonl, .parquet"),
        ({"output": "a.csv", "embeddings": True}, "embeddings=true: expected false with CSV"),
        ({"runner": DirectRunnerConfig()}, "runner is set, and output is not"),
        ({"num_threads": 0}, "num_threads=0: expected a whole number from 1 to 1024"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(settings: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        PredictConfig(**settings)
