"""An export's model of encoded files: its decoders against libsndfile, and its probabilities against its run.

    scripts/bench encoded RUN EXPORT [MUSIC]

EXPORT is what `beamtune export RUN output_dir=EXPORT` has written in an environment with tensorflow-io. Times are
processor time of all cores; the first file, which traces the graph, is left out.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import soundfile
import tensorflow as tf

from trainer.evaluation.open_model import open_model
from trainer.export.served_bytes import decode

REAL_MUSIC = Path(__file__).resolve().parents[3] / "shared" / "data" / "magnatune4"
# Above what rounding explains.
EQUAL = 1e-5


def main() -> None:
    """Prints a line for the decoders, and one for the probabilities."""
    parser = argparse.ArgumentParser(
        prog="scripts/bench encoded", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", help="a finished run")
    parser.add_argument("export", help="an export of it")
    parser.add_argument(
        "music", nargs="?", default=str(REAL_MUSIC), help="mp3, FLAC and WAV files, in folders below it"
    )
    arguments = parser.parse_args()
    paths = [path for path in sorted(Path(arguments.music).rglob("*")) if path.suffix in (".mp3", ".flac", ".wav")]
    compare_decoders(paths)
    compare_probabilities(paths, arguments.run, str(Path(arguments.export) / "saved_model_bytes"))


def compare_decoders(paths: list[Path]) -> None:
    inputs = [tf.TensorSpec((), tf.string), tf.TensorSpec((), tf.int32)]
    graph = tf.function(decode, input_signature=inputs, autograph=False)
    lengths, differences, num_different, times_s = [], [], 0, {"serve_bytes": 0.0, "libsndfile": 0.0}
    for index, path in enumerate(paths):
        started_s = time.process_time()
        expected = soundfile.read(path, dtype="float32", always_2d=True)[0].mean(axis=1)
        decoded_s = time.process_time()
        found = graph(tf.constant(path.read_bytes()), index)[0].numpy()
        if index:
            times_s["libsndfile"] += decoded_s - started_s
            times_s["serve_bytes"] += time.process_time() - decoded_s
        lengths.append(abs(len(found) - len(expected)))
        shorter = min(len(found), len(expected))
        by_sample = np.abs(found[:shorter] - expected[:shorter])
        differences.append(by_sample.max())
        num_different += int((by_sample > EQUAL).sum())
    times = ", ".join(f"{1000 * time_s / (len(paths) - 1):.0f} ms a file by {name}" for name, time_s in times_s.items())
    print(
        f"{len(paths)} files: their lengths differ by {max(lengths)} samples at most, and {num_different} samples by "
        f"more than {EQUAL:.0e}; the largest difference of a sample is {max(differences):.1e}; {times}"
    )


def compare_probabilities(paths: list[Path], run: str, saved_model: str) -> None:
    model = open_model(run, batch_size=32)
    serve = tf.saved_model.load(saved_model).signatures["serve_bytes"]
    differences, num_same = [], 0
    for path in paths:
        expected = model.score(str(path)).mean
        found = serve(encoded=tf.constant([path.read_bytes()]))["probabilities"].numpy()[0]
        differences.append(np.abs(found - expected).max())
        num_same += int(found.argmax() == expected.argmax())
    print(
        f"{len(paths)} files: the largest difference of a probability is {max(differences):.1e}, its median "
        f"{np.median(differences):.1e}; the same top genre for {num_same}"
    )


if __name__ == "__main__":
    main()
