"""The Keras model computes the probabilities of the scikit-learn pipeline whose weights it has."""

import keras
import numpy as np
import pytest

from beam_pipelines.records.schema import BandStats, FeatureSpec
from trainer.baselines.config import VectorConfig
from trainer.baselines.fitting import fit
from trainer.baselines.learners import LEARNERS
from trainer.baselines.vectors import Vectors
from trainer.models.architectures.linear import LinearConfig
from trainer.models.registry import build_model
from trainer.quick.linear_weights import linear_weights

SPECS = {
    "musicnn": FeatureSpec("musicnn", (1, 5), "float16"),
    "yamnet": FeatureSpec("yamnet", (4, 7), "float16"),
    "spectral_stats": FeatureSpec("spectral_stats", (3,), "float32"),
}


def make_values(spec, labels, rng):
    means = 5.0 + labels.reshape(-1, *[1] * len(spec.shape))
    return rng.normal(means, 3.0, (len(labels), *spec.shape)).astype(spec.dtype)


@pytest.mark.parametrize("num_classes", [2, 3])
@pytest.mark.parametrize("features", [["musicnn"], ["yamnet", "musicnn"], ["spectral_stats", "yamnet"]])
@pytest.mark.parametrize("has_floors", [False, True])
def test_probabilities_are_those_of_scikit_learn(features, num_classes, has_floors):
    rng = np.random.default_rng(0)
    labels = np.arange(60) % num_classes
    inputs = {name: make_values(SPECS[name], labels, rng) for name in features}
    means = [
        values.astype(np.float64).mean(axis=1) if values.ndim == 3 else values.astype(np.float64)
        for values in inputs.values()
    ]
    vectors = Vectors(
        values=np.concatenate(means, axis=1).astype(np.float32),
        labels=labels,
        track_ids=tuple(map(str, range(60))),
        starts_s=np.zeros(60, np.float32),
    )
    fitted = fit(
        LEARNERS["logistic_regression"],
        {"C": 0.1},
        vectors,
        vectors,
        config=VectorConfig(data_dir="data"),
        num_classes=num_classes,
    )
    # Statistics of other examples than those that were fitted, as those of a data set are.
    stats = {
        name: BandStats(
            num_frames=9,
            mean=tuple(rng.normal(5.0, 1.0, SPECS[name].shape[-1]).tolist()),
            std=(1e-3, *rng.uniform(2.0, 4.0, SPECS[name].shape[-1] - 1).tolist()),
            has_floors=has_floors,
        )
        for name in features
    }
    specs = {name: SPECS[name] for name in features}
    model = build_model(LinearConfig(features=features), specs=specs, stats=stats, num_classes=num_classes)
    kernel, bias = linear_weights(fitted, features=features, specs=specs, stats=stats)
    assert (kernel.dtype, bias.dtype) == (np.float32, np.float32)
    model.get_layer("logits").set_weights([kernel, bias])
    probabilities = np.array(keras.ops.softmax(model(inputs)))
    np.testing.assert_allclose(probabilities, fitted.probabilities(vectors.values), atol=1e-6)
