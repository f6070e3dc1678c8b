"""Runs a file of TensorFlow Lite on segments, as software without beamtune does: started in a process of its own.

    python run_tflite.py MODEL.tflite SEGMENTS.npz RESULTS.npz

SEGMENTS holds the array `segments`, (segments, samples) float32. RESULTS has `probabilities`, (segments, genres), and
`load_s` and `ms`, the seconds to load the model and the milliseconds of each segment, of the processor and on one
thread. LiteRT runs the model where it is installed, and TensorFlow elsewhere.
"""

import sys
import time

# None makes every import of these fail, wherever they are installed.
for _name in ("beamtune", "beam_pipelines", "configs", "trainer"):
    sys.modules[_name] = None  # type: ignore[assignment]

import numpy as np  # noqa: E402

try:
    from ai_edge_litert.interpreter import Interpreter
except ModuleNotFoundError:
    import tensorflow as tf

    Interpreter = tf.lite.Interpreter


def main(model: str, segments_path: str, results_path: str) -> None:
    """Runs each segment."""
    started_s = time.process_time()
    interpreter = Interpreter(model_path=model, num_threads=1)
    interpreter.allocate_tensors()
    [source], [found] = interpreter.get_input_details(), interpreter.get_output_details()
    load_s = time.process_time() - started_s
    rows, times_ms = [], []
    for segment in np.load(segments_path, allow_pickle=False)["segments"]:
        started_s = time.process_time()
        interpreter.set_tensor(source["index"], segment[None])
        interpreter.invoke()
        rows.append(interpreter.get_tensor(found["index"])[0])
        times_ms.append(1000 * (time.process_time() - started_s))
    np.savez(results_path, probabilities=np.stack(rows), load_s=np.array(load_s), ms=np.array(times_ms))


if __name__ == "__main__":
    main(*sys.argv[1:])
