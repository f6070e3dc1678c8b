"""`beamtune predict` on a library, against a loop over its files, and its memory as the library grows.

    scripts/bench predict RUN [MUSIC] --json docs/benchmarks/predict.json     # then: scripts/bench tables

RUN is a finished run on log_mel. MUSIC, mp3 files in folders below it, is linked until there are enough files. The loop
is what notebooks have: `librosa.load`, a log-mel spectrogram of each segment by `librosa.feature.melspectrogram`, and
`model.predict` on the segments of the file, with the weights of the run.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from figures.model_tables import predict_table
from figures.record import describe_run, json_file, write_json

PACKAGES = ("tensorflow", "keras", "numpy", "librosa", "soundfile", "soxr")
REAL_MUSIC = Path(__file__).resolve().parents[3] / "shared" / "data" / "magnatune4"


def main() -> None:
    """Measures both, prints a table and optionally writes the figures to a file."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench predict", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="a finished run on log_mel")
    parser.add_argument("music", nargs="?", type=Path, default=REAL_MUSIC, help="mp3 files, in folders below it")
    parser.add_argument("--files", type=int, default=1000, help="files of the library")
    parser.add_argument("--loop-files", type=int, default=100, help="files of the library that the loop predicts")
    parser.add_argument("--sizes", type=int, nargs=2, default=[200, 2000], help="sizes of which memory is compared")
    parser.add_argument("--json", type=json_file, help="write the figures to this file too")
    parser.add_argument("--part", choices=("predict", "loop"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part == "predict":
        predict_all(str(arguments.run), str(arguments.music))
    elif arguments.part == "loop":
        predict_in_a_loop(str(arguments.run), str(arguments.music))
    else:
        content = {**describe_run(arguments, PACKAGES), **measure(arguments)}
        write_json(arguments.json, content)
        print(predict_table(content), end="")


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Returns the costs of both, how many top genres are the same, and the memory of two sizes."""
    run = str(arguments.run)
    with tempfile.TemporaryDirectory() as folder:
        libraries = {
            size: link_files(str(arguments.music), Path(folder) / str(size), size)
            for size in {arguments.files, arguments.loop_files, *arguments.sizes}
        }
        loop = run_part("loop", run, libraries[arguments.loop_files])
        library = run_part("predict", run, libraries[arguments.files])
        small, large = (run_part("predict", run, libraries[size]) for size in arguments.sizes)
    genres = list(zip(loop["genres"], library["genres"], strict=False))
    return {
        "loop": without_genres(loop),
        "predict": without_genres(library),
        "memory": [without_genres(small), without_genres(large)],
        "same_genres": sum(first == second for first, second in genres),
        "compared_genres": len(genres),
    }


def without_genres(found: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what a part has measured."""
    return {name: value for name, value in found.items() if name != "genres"}


def link_files(music: str, folder: Path, size: int) -> str:
    """Returns a folder with so many links to the files of another one."""
    folder.mkdir()
    paths = sorted(Path(music).rglob("*.mp3"))
    for index in range(size):
        (folder / f"{index:06d}.mp3").symlink_to(paths[index % len(paths)])
    return str(folder)


def run_part(part: str, run: str, music: str) -> dict[str, Any]:
    """Runs a part in a new process; returns what it prints as JSON."""
    command = [sys.executable, "-W", "ignore", __file__, run, music, "--part", part]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def report(started_s: float, genres: Sequence[str]) -> None:
    """Prints what a part has measured; start-up and loading the model are left out of the times."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    found = {
        "files": len(genres),
        "wall_s": time.perf_counter() - started_s,
        "cpu_s": time.process_time() - started_cpu_s,
        "peak_mib": usage.ru_maxrss / 1024,
        "genres": list(genres),
    }
    print(json.dumps(found))


started_cpu_s = 0.0


def start() -> float:
    global started_cpu_s
    started_cpu_s = time.process_time()
    return time.perf_counter()


def predict_all(run: str, music: str) -> None:
    from beam_pipelines.audio.quiet_decoders import silenced_decoders
    from trainer.evaluation.config import PredictConfig
    from trainer.evaluation.open_model import open_model
    from trainer.evaluation.predict import num_threads_of
    from trainer.evaluation.score_files import ScoredFile, score_files
    from trainer.library.inputs import list_inputs

    config = PredictConfig()
    model = open_model(run, batch_size=config.batch_size)
    paths = list_inputs([music]).paths
    list(score_files(paths[:2], model=model, num_threads=1))  # traces the graph
    with silenced_decoders():
        started_s = start()
        scored = score_files(paths, model=model, num_threads=num_threads_of(config))
        genres = [model.labels[one.scores.mean.argmax()] for one in scored if isinstance(one, ScoredFile)]
    report(started_s, genres)


def predict_in_a_loop(run: str, music: str) -> None:
    import librosa
    import numpy as np

    from trainer.evaluation.inference import Inference
    from trainer.runs.run_dir import RunDir

    inference, prepared = Inference(run, batch_size=32), RunDir(run).prepare_yaml()
    [spec] = inference.front_end.specs
    config: Any = prepared.features[spec.name]
    segment, rate_hz = prepared.segment, prepared.audio.sample_rate_hz
    length, hop = round(segment.duration_s * rate_hz), round(segment.hop_s * rate_hz)

    def log_mel(samples: np.ndarray) -> np.ndarray:
        power = librosa.feature.melspectrogram(
            y=samples, sr=rate_hz, n_fft=config.n_fft, hop_length=config.hop_length, n_mels=config.n_mels
        )
        decibels: np.ndarray = librosa.power_to_db(power).T[: spec.shape[0]]
        return decibels

    def predict_one(path: Path) -> str:
        samples, _ = librosa.load(path, sr=rate_hz)
        starts = range(0, len(samples) - length + 1, hop)
        segments = np.stack([log_mel(samples[start : start + length]) for start in starts])
        logits = inference.model.predict({spec.name: segments}, verbose=0)
        probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        return str(inference.labels[probabilities.mean(axis=0).argmax()])

    paths = sorted(Path(music).iterdir())
    predict_one(paths[0])  # traces the graph
    started_s = start()
    report(started_s, [predict_one(path) for path in paths])


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
