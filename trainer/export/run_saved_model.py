"""Runs a saved model on clips, as software without beamtune does: this file is started in a process of its own.

    python run_saved_model.py SAVED_MODEL CLIPS.npz RESULTS.npz

CLIPS holds the samples of clip i as array `i`, and all rates as array `rates_hz`. RESULTS has a row for each clip:
probabilities (clips, genres), embeddings (clips, values), is_silent (clips,) and ms (clips,). `labels` and `load_s` are
of the model.
"""

import sys
import time
from typing import Any

# None makes every import of these fail, wherever they are installed.
for _name in ("beamtune", "beam_pipelines", "configs", "trainer"):
    sys.modules[_name] = None  # type: ignore[assignment]

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402


def main(saved_model: str, clips_path: str, results_path: str) -> None:
    """Runs the signature `serving_default`."""
    started_s = time.perf_counter()
    model = tf.saved_model.load(saved_model)
    predict = model.signatures["serving_default"]
    load_s = time.perf_counter() - started_s
    found: list[dict[str, Any]] = []
    times_ms: list[float] = []
    with np.load(clips_path, allow_pickle=False) as clips:
        for index, rate_hz in enumerate(clips["rates_hz"]):
            started_s = time.perf_counter()
            outputs = predict(
                waveform=tf.constant(clips[str(index)][None]), sample_rate_hz=tf.constant(int(rate_hz), tf.int32)
            )
            found.append({name: values.numpy()[0] for name, values in outputs.items()})
            times_ms.append(1000 * (time.perf_counter() - started_s))
    np.savez(
        results_path,
        probabilities=np.stack([one["probabilities"] for one in found]),
        embeddings=np.stack([one["embedding"] for one in found]),
        is_silent=np.stack([one["is_silent"] for one in found]),
        ms=np.array(times_ms),
        labels=np.array([label.decode() for label in found[0]["labels"]]),
        load_s=np.array(load_s),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
