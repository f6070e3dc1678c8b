"""The weights of the Keras model `linear` that compute what a fitted logistic regression computes."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from beam_pipelines.records.schema import BandStats, FeatureSpec
from trainer.baselines.fitting import FittedLearner
from trainer.models.layers import STD_FLOOR


def linear_weights(
    fitted: FittedLearner,
    *,
    features: Sequence[str],
    specs: Mapping[str, FeatureSpec],
    stats: Mapping[str, BandStats],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Returns the kernel, (values, classes), and the bias, (classes,), of the layer of logits.

    The model standardises a value x to u = (x − M) / S with the statistics of the data, and scikit-learn to
    z = (x − m) / s with those of its training examples, so that the logits W z + b are (W S / s) u + b + W (M − m) / s.

    Args:
        fitted: Logistic regression on the means of the features, in their order, fitted on all genres.
        features: The features.
        specs: Their shapes.
        stats: The statistics that the model standardises with.
    """
    scaler, estimator = fitted.pipeline[0], fitted.pipeline[-1]
    weights, bias = estimator.coef_.astype(np.float64), estimator.intercept_.astype(np.float64)
    if len(weights) == 1:  # of two classes, scikit-learn has the logit of the second, and the first has 0
        weights, bias = np.vstack([np.zeros_like(weights), weights]), np.concatenate([[0.0], bias])
    assert len(weights) == fitted.num_classes and all(len(specs[name].shape) in (1, 2) for name in features)
    mean = np.concatenate([stats[name].mean for name in features])
    std = np.concatenate(
        [np.maximum(stats[name].std, 0.0 if stats[name].has_floors else STD_FLOOR) for name in features]
    )
    kernel = weights * (std / scaler.scale_)
    shifted = bias + weights @ ((mean - scaler.mean_) / scaler.scale_)
    return kernel.T.astype(np.float32), shifted.astype(np.float32)
