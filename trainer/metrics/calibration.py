"""Calibration by temperature scaling: probabilities that agree with the share of correct predictions.

See C. Guo et al., "On Calibration of Modern Neural Networks", 2017, section 4.2. Segments have one temperature, and the
means over the segments of tracks another one, because a mean is less confident than the segments that agree on it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainer.metrics.predictions import Predictions

# Temperatures from 1/150 to 150.
_LOG_TEMPERATURE_BOUNDS = (-5.0, 5.0)
# Below 1 by more than what the division by a sum can round away.
_LARGEST_OTHER = 1 - 4 * np.finfo(np.float64).eps


@dataclass(frozen=True)
class Calibration:
    """The temperatures of a run.

    Attributes:
        segment: The temperature of the probabilities of segments.
        track: The temperature of the mean probabilities of tracks.
        num_tracks: Number of tracks that they were fitted to.
    """

    segment: float
    track: float
    num_tracks: int

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Calibration":
        """Inverse of `asdict`.

        Raises:
            ValueError, KeyError, TypeError: An entry is missing, or a temperature is not a number above 0.
        """
        calibration = cls(
            segment=float(content["segment"]), track=float(content["track"]), num_tracks=int(content["num_tracks"])
        )
        # NaN is not above 0.
        if not all(0 < temperature < math.inf for temperature in (calibration.segment, calibration.track)):
            raise ValueError("a temperature is not a number above 0")
        return calibration


def fit_calibration(predictions: Predictions) -> Calibration:
    """Returns the temperatures for predictions of examples that the model was not trained on."""
    tracks = predictions.by_track()
    num_tracks = len(tracks.labels)
    return Calibration(
        segment=fit_temperature(
            _logarithms(predictions.segment_probabilities), predictions.segment_labels, num_independent=num_tracks
        ),
        track=fit_temperature(_logarithms(tracks.probabilities), tracks.labels, num_independent=num_tracks),
        num_tracks=num_tracks,
    )


def calibrated(predictions: Predictions, calibration: Calibration | None) -> Predictions:
    """Returns predictions with calibrated probabilities; the same ones without a calibration."""
    if calibration is None:
        return predictions
    return replace(
        predictions,
        segment_probabilities=with_temperature(predictions.segment_probabilities, calibration.segment),
        track_probabilities=with_temperature(predictions.by_track().probabilities, calibration.track),
    )


def fit_temperature(logits: NDArray[Any], labels: NDArray[Any], *, num_independent: int | None = None) -> float:
    """Returns the divisor of logits whose softmax has the lowest cross-entropy.

    If all examples are classified correctly, the cross-entropy falls as long as the temperature does. With
    `num_independent`, n, the target of the true class is therefore (n + 1) / (n + 2) instead of 1, and the rest is
    divided among the other classes: the expected share of correct predictions after n correct ones, if all shares are
    equally likely before (J. Platt, "Probabilistic Outputs for Support Vector Machines", 1999, section 2.2).

    Args:
        logits: (examples, classes), finite; two classes or more.
        labels: (examples,), true classes.
        num_independent: The number of examples that are independent of each other, such as tracks; None for targets
            of 1.

    Returns:
        A number from 1/150 to 150; 1 without examples.
    """
    from scipy.optimize import minimize_scalar  # takes half a second, and predicting does not need it

    num_examples, num_classes = logits.shape
    if num_examples == 0:
        return 1.0
    share_of_others = 0.0 if num_independent is None else 1 / (num_independent + 2)
    targets = np.full(logits.shape, share_of_others / (num_classes - 1))
    targets[np.arange(num_examples), labels] = 1 - share_of_others
    found = minimize_scalar(
        lambda log_temperature: -(targets * _log_softmax(logits / np.exp(log_temperature))).sum() / num_examples,
        bounds=_LOG_TEMPERATURE_BOUNDS,
        method="bounded",
    )
    return float(np.exp(found.x))


def with_temperature(probabilities: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """Returns the softmax of logarithms of probabilities that are divided by a temperature.

    The order of the classes stays the same. The first of the most probable classes is the most probable one afterwards
    too, which rounding cannot change.

    Args:
        probabilities: (..., classes), whose largest value is above 0.
        temperature: Above 0. Probabilities come closer to each other above 1, and differ more below.
    """
    top = np.expand_dims(probabilities.argmax(axis=-1), -1)
    with np.errstate(divide="ignore"):  # the logarithm of 0, whose exponential is 0 again
        logarithms = np.log(probabilities / np.take_along_axis(probabilities, top, axis=-1))
    powers = np.minimum(np.exp(logarithms / temperature), _LARGEST_OTHER)
    np.put_along_axis(powers, top, 1.0, axis=-1)
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def _log_softmax(logits: NDArray[Any]) -> NDArray[Any]:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def _logarithms(probabilities: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.log(np.maximum(probabilities, np.finfo(np.float64).tiny)))
