"""Fits a learner on the train split, and computes its probabilities for other segments."""

import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import ThreadpoolController

from beam_pipelines.common.checks import check
from trainer.baselines.config import VectorConfig
from trainer.baselines.learners import LEARNERS, FitContext, Hyperparameters, Learner, make_pipeline
from trainer.baselines.vectors import Vectors
from trainer.metrics import calibration
from trainer.metrics.metrics import classification_metrics, cross_entropy, softmax
from trainer.models.principal_components import count_directions


@dataclass(frozen=True)
class FittedLearner:
    """A fitted learner.

    Attributes:
        learner: The learner.
        hyperparameters: Its hyperparameters.
        pipeline: The fitted pipeline of scikit-learn: standardisation, principal components if set, the estimator.
        classes: (classes of the train split,) int64, ascending.
        class_shares: (classes of the train split,) float64, the share of each class in the train split.
        num_classes: The number of genres of the data set, which may be larger.
        is_balanced: Whether all genres are weighted equally.
        temperature: The divisor of decision values before the softmax; 1 for learners with probabilities.
        train_duration_s: The time to fit in seconds, for all hyperparameters that were tried.
        has_converged: Whether the estimator converged before its limit of iterations.
    """

    learner: Learner
    hyperparameters: Hyperparameters
    pipeline: Any
    classes: NDArray[np.int64]
    class_shares: NDArray[np.float64]
    num_classes: int
    is_balanced: bool
    temperature: float = 1.0
    train_duration_s: float = 0.0
    has_converged: bool = True

    @property
    def num_parameters(self) -> int | None:
        """The number of fitted parameters; None for estimators without a fixed number."""
        count = self.learner.count_parameters
        return None if count is None else count(self.pipeline[-1])

    def probabilities(self, values: NDArray[np.float32]) -> NDArray[np.float64]:
        """Returns probabilities, (examples, size) → (examples, genres); 0 for genres that the train split lacks."""
        # Values that overflow float32 in the standardisation are clipped after it.
        with _one_thread(), np.errstate(over="ignore"):
            if hasattr(self.pipeline, "predict_proba"):
                found = self.pipeline.predict_proba(values).astype(np.float64)
            else:
                found = softmax(decision_values(self.pipeline, values) / self.temperature)
        if self.is_balanced and not self.learner.weighs_classes:
            found = with_equal_priors(found, self.class_shares)
        probabilities = np.zeros((len(values), self.num_classes))
        probabilities[:, self.classes] = found
        return probabilities


def fit_best(
    name: str, train: Vectors, validation: Vectors, *, config: VectorConfig, num_classes: int
) -> FittedLearner:
    """Returns a learner fitted on the train split.

    With `config.tune`, the learner is fitted with each entry of its grid, and the one with the highest balanced
    accuracy on the segments of the validation split is returned: of equal ones that with the lower loss, and of those
    the first. The validation split is used for this choice and for the temperature of decision values only.

    Raises:
        UserError: `config.pca` is larger than the number of principal components.
    """
    learner = LEARNERS[name]
    started_s = time.monotonic()
    candidates = learner.grid if config.tune else (learner.preset,)
    best: FittedLearner | None = None
    best_rank = (-np.inf, -np.inf)
    for hyperparameters in candidates:
        fitted = fit(learner, hyperparameters, train, validation, config=config, num_classes=num_classes)
        if len(candidates) > 1:
            probabilities = fitted.probabilities(validation.values)
            rank = (
                classification_metrics(probabilities, validation.labels).balanced_accuracy,
                -cross_entropy(probabilities, validation.labels),
            )
            if best is not None and rank <= best_rank:
                continue
            best_rank = rank
        best = fitted
    assert best is not None
    return replace(best, train_duration_s=time.monotonic() - started_s)


def fit(
    learner: Learner,
    hyperparameters: Hyperparameters,
    train: Vectors,
    validation: Vectors,
    *,
    config: VectorConfig,
    num_classes: int,
) -> FittedLearner:
    """Returns a learner fitted on the train split with these hyperparameters.

    Raises:
        UserError: `config.pca` is larger than the number of principal components, or, with `config.whiten`, than the
            number of those in which the vectors vary.
    """
    classes, counts = np.unique(train.labels, return_counts=True)
    is_balanced = config.class_weighting == "balanced"
    context = FitContext(
        num_examples=len(train.labels), num_classes=len(classes), is_balanced=is_balanced, seed=config.seed
    )
    most_components = min(train.values.shape)
    check(
        config.pca is None or config.pca <= most_components,
        key="pca",
        value=config.pca,
        expected=f"at most {most_components} components, because the train split has {len(train.labels)} "
        f"{config.unit}s of {train.values.shape[1]} values",
    )
    pipeline = make_pipeline(learner, hyperparameters, context=context, config=config)
    with _one_thread(), _convergence_warnings() as problems:
        pipeline.fit(train.values, train.labels)
    if config.whiten:
        _check_directions(pipeline["pca"].explained_variance_, config=config)
    fitted = FittedLearner(
        learner=learner,
        hyperparameters=hyperparameters,
        pipeline=pipeline,
        classes=classes,
        class_shares=counts / counts.sum(),
        num_classes=num_classes,
        is_balanced=is_balanced,
        has_converged=not problems,
    )
    if hasattr(pipeline, "predict_proba"):
        return fitted
    with _one_thread():
        decisions = decision_values(pipeline, validation.values)
    return replace(fitted, temperature=fit_temperature(decisions, validation.labels, classes=classes))


def _check_directions(variances: NDArray[Any], *, config: VectorConfig) -> None:
    """Raises a UserError if whitening would divide by a standard deviation that is nothing but rounding errors."""
    num_directions = count_directions(variances)
    check(
        num_directions == len(variances),
        key="pca",
        value=config.pca,
        expected=f"at most {num_directions} components with whiten=true, because the vectors of the train split do not "
        "vary in others",
    )


def decision_values(pipeline: Any, values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Returns decision values, (examples, size) → (examples, classes of the train split).

    For two classes, scikit-learn returns one value, that of the second class; the first class gets 0.
    """
    decisions = np.asarray(pipeline.decision_function(values), dtype=np.float64)
    return decisions if decisions.ndim == 2 else np.stack([np.zeros(len(decisions)), decisions], axis=1)


def fit_temperature(decisions: NDArray[np.float64], labels: NDArray[np.int64], *, classes: NDArray[np.int64]) -> float:
    """Returns the divisor of decision values whose softmax has the lowest cross-entropy (temperature scaling).

    It does not change the order of the genres. See C. Guo et al., "On Calibration of Modern Neural Networks", 2017,
    section 4.2.

    Args:
        decisions: (examples, classes of the train split).
        labels: (examples,); examples of classes that the train split lacks are ignored.
        classes: (classes of the train split,), ascending.

    Returns:
        A number from 1/150 to 150; 1 if all examples are ignored.
    """
    is_known = np.isin(labels, classes)
    return calibration.fit_temperature(decisions[is_known], np.searchsorted(classes, labels[is_known]))


def with_equal_priors(probabilities: NDArray[np.float64], class_shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the posterior probabilities under equal class priors, by Bayes' rule.

    See M. Saerens, P. Latinne and C. Decaestecker, "Adjusting the outputs of a classifier to new a priori
    probabilities", Neural Computation 14, 2002, equation 2.4.

    Args:
        probabilities: (examples, classes), rows that add up to 1.
        class_shares: (classes,), above 0: the share of each class in the train split.
    """
    weighted = probabilities / class_shares
    return np.asarray(weighted / weighted.sum(axis=1, keepdims=True))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Limits BLAS and OpenMP to one thread while the body runs.

    With several, the order of additions depends on the machine; and when other processes use its cores too, the threads
    of OpenMP wait for one another: gradient boosting then took four to seven times as long with two as with one.
    """
    with _thread_pools().limit(limits=1):
        yield


@cache
def _thread_pools() -> ThreadpoolController:
    """Returns the thread pools of the libraries that are loaded; to find them takes longer than a small fit."""
    return ThreadpoolController()


@contextmanager
def _convergence_warnings() -> Iterator[Sequence[Any]]:
    """Yields a list that collects the convergence warnings of estimators while the body runs."""
    with warnings.catch_warnings(record=True) as problems:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", ConvergenceWarning)
        yield problems
