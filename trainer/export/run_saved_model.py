"""Runs a saved model on clips, as software without beamtune does: this file is started in a process of its own.

    python run_saved_model.py SAVED_MODEL CLIPS.npz RESULTS.npz

CLIPS holds the samples of clip i as array `i`, and all rates as array `rates_hz`; without rates, the arrays are the
bytes of encoded files. RESULTS has a row for each clip: probabilities (clips, genres), embeddings (clips, values),
is_silent (clips,) and ms (clips,); where the graph refuses a clip, numbers are NaN and the entry of `errors` is its
message. `labels` and `load_s` are of the model.
"""

import sys
import time

# None makes every import of these fail, wherever they are installed.
for _name in ("beamtune", "beam_pipelines", "configs", "trainer"):
    sys.modules[_name] = None  # type: ignore[assignment]

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402


def main(saved_model: str, clips_path: str, results_path: str) -> None:
    """Runs the signature `serving_default` on samples, or `serve_bytes` on encoded files."""
    with np.load(clips_path, allow_pickle=False) as content:
        clips = dict(content)
    rates_hz = clips.pop("rates_hz", None)
    if rates_hz is None:
        from tensorflow_io.python.ops import core_ops

        _ = core_ops.io_audio_decode_mp3  # loads the operations
    started_s = time.perf_counter()
    model = tf.saved_model.load(saved_model)
    predict = model.signatures["serve_bytes" if rates_hz is None else "serving_default"]
    load_s = time.perf_counter() - started_s
    num_genres, num_values = (predict.structured_outputs[name].shape[1] for name in ("probabilities", "embedding"))
    rows: list[tuple[object, object, bool, float, str]] = []
    labels: list[bytes] = []
    for index in range(len(clips)):
        clip = clips[str(index)]
        if rates_hz is None:
            inputs = {"encoded": tf.constant([clip.tobytes()])}
        else:
            inputs = {
                "waveform": tf.constant(clip[None]),
                "sample_rate_hz": tf.constant(int(rates_hz[index]), tf.int32),
            }
        started_s = time.perf_counter()
        try:
            found = predict(**inputs)
        except tf.errors.InvalidArgumentError as error:
            of_ours = (line for line in error.message.splitlines() if "assertion failed" in line)
            message = next(of_ours, " ".join(error.message.split()))
            rows.append((np.full(num_genres, np.nan), np.full(num_values, np.nan), False, np.nan, message))
            continue
        ms = 1000 * (time.perf_counter() - started_s)
        labels = found["labels"].numpy()[0].tolist()
        row = (found[name].numpy()[0] for name in ("probabilities", "embedding", "is_silent"))
        rows.append((*row, ms, ""))
    probabilities, embeddings, is_silent, times_ms, errors = zip(*rows, strict=True)
    np.savez(
        results_path,
        probabilities=np.stack(probabilities),
        embeddings=np.stack(embeddings),
        is_silent=np.array(is_silent),
        ms=np.array(times_ms),
        errors=np.array(errors),
        labels=np.array([label.decode() for label in labels]),
        load_s=np.array(load_s),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
