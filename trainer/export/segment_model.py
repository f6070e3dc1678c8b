"""One segment of audio → probabilities, as a saved model that the converters of other formats read."""

from typing import Any

import keras
import tensorflow as tf

from beam_pipelines.common.errors import UserError
from trainer.export.frozen import frozen
from trainer.export.graph_features import GraphFeatures

# The scope of the operations of the features.
FRONT_END = "front_end"


def segment_rate_hz(features: GraphFeatures) -> int:
    """Returns the rate of the samples that a segment consists of.

    Raises:
        UserError: The features of the model are computed from samples at several rates.
    """
    rates_hz = sorted(set(features.rate_hz_of.values()))
    if len(rates_hz) > 1:
        raise UserError(
            f"the model takes features of audio at {' and '.join(map(str, rates_hz))} Hz, and a segment has one rate: "
            "export it as saved_model, which resamples"
        )
    return rates_hz[0]


def write_segment_model(
    network: keras.Model, directory: str, *, features: GraphFeatures, temperature: float, batch: int | None
) -> None:
    """Writes a saved model with the signature `serving_default`, whose weights are constants.

    Its input is `waveform`, (batch, samples of a segment) float32, mono in [-1, 1] at `segment_rate_hz`; its output
    `probabilities`, (batch, genres) float32. It knows nothing of silence.

    Args:
        network: From {feature: (batch, *shape)} to logits (batch, genres).
        directory: A new local directory.
        features: The features that it takes.
        temperature: The divisor of the logits.
        batch: The number of segments; None for any.

    Raises:
        UserError: As for `segment_rate_hz`.
    """
    rate_hz, compute = segment_rate_hz(features), frozen(network)

    def probabilities(waveform: Any) -> dict[str, Any]:
        with tf.name_scope(FRONT_END):
            values = features({rate_hz: waveform})
        logits = tf.cast(compute(values), tf.float32)
        return {"probabilities": tf.nn.softmax(logits / temperature)}

    shape = (batch, features.num_samples_at[rate_hz])
    function = tf.function(
        probabilities, input_signature=[tf.TensorSpec(shape, tf.float32, "waveform")], autograph=False
    )
    tf.saved_model.save(tf.Module(), directory, signatures={"serving_default": function})
