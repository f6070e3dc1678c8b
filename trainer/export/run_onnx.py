"""Runs an ONNX file on segments, as software without beamtune does: started in a process of its own.

    python run_onnx.py MODEL.onnx SEGMENTS.npz RESULTS.npz

The files are those of `run_tflite.py`.
"""

import sys
import time

# None makes every import of these fail, wherever they are installed.
for _name in ("beamtune", "beam_pipelines", "configs", "trainer", "tensorflow"):
    sys.modules[_name] = None  # type: ignore[assignment]

import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402


def main(model: str, segments_path: str, results_path: str) -> None:
    """Runs each segment."""
    started_s = time.process_time()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    load_s = time.process_time() - started_s
    rows, times_ms = [], []
    for segment in np.load(segments_path, allow_pickle=False)["segments"]:
        started_s = time.process_time()
        rows.append(session.run(["probabilities"], {"waveform": segment[None]})[0][0])
        times_ms.append(1000 * (time.process_time() - started_s))
    np.savez(results_path, probabilities=np.stack(rows), load_s=np.array(load_s), ms=np.array(times_ms))


if __name__ == "__main__":
    main(*sys.argv[1:])
