"""Fitting one learner to the train split, and the probabilities that it gives of other segments."""

import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from beam_pipelines.common.checks import check
from trainer.baselines.config import VectorConfig
from trainer.baselines.learners import LEARNERS, FitContext, Hyperparameters, Learner, make_pipeline
from trainer.baselines.vectors import Vectors
from trainer.metrics.metrics import classification_metrics, cross_entropy, softmax

# Temperatures from 1/150 to 150.
_LOG_TEMPERATURE_BOUNDS = (-5.0, 5.0)


@dataclass(frozen=True)
class FittedLearner:
    """A learner that has learned.

    Attributes:
        learner: Which.
        hyperparameters: Its settings.
        pipeline: Fitted: standardisation, principal components where asked for, and the estimator.
        classes: (classes of the train split,) int64, ascending.
        class_shares: (classes of the train split,) float64, the share of the train examples that each has.
        num_classes: Genres of the data set, which may be more.
        is_balanced: Whether all genres are to count as much as one another.
        temperature: What decision values are divided by; 1 for learners that have probabilities.
        train_duration_s: Seconds that it took, those of all the settings that were tried included.
        has_converged: Whether the estimator came to its end, and not to its greatest number of iterations.
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
        """How many numbers the estimator learned; None where they cannot be counted."""
        count = self.learner.count_parameters
        return None if count is None else count(self.pipeline[-1])

    def probabilities(self, values: NDArray[np.float32]) -> NDArray[np.float64]:
        """Returns probabilities, (examples, size) → (examples, genres); 0 for genres that the train split lacks."""
        # What is too large for float32 when it is standardised is cut behind that.
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
    """Returns a learner fitted to the train split.

    Where `config.tune` is set, each hyperparameter of its grid is fitted to the train split, and the one with the
    greatest balanced accuracy on the validation split's segments is kept: of equal ones that with the lower loss, and
    of those the first. Nothing of the validation split is learned from, but for the temperature of decision values.

    Raises:
        UserError: There are not as many principal components as are asked for.
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
    """Returns a learner of these hyperparameters fitted to the train split.

    Raises:
        UserError: There are not as many principal components as are asked for.
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
        expected=f"at most {most_components} components, for there are {len(train.labels)} {config.unit}s of "
        f"{train.values.shape[1]} values in the train split",
    )
    pipeline = make_pipeline(learner, hyperparameters, context=context, pca=config.pca)
    with _one_thread(), _convergence_warnings() as problems:
        pipeline.fit(train.values, train.labels)
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


def decision_values(pipeline: Any, values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Returns decision values, (examples, size) → (examples, classes of the train split), the highest for the winner.

    Where there are two classes, scikit-learn has one value for the second; the first then has 0.
    """
    decisions = np.asarray(pipeline.decision_function(values), dtype=np.float64)
    return decisions if decisions.ndim == 2 else np.stack([np.zeros(len(decisions)), decisions], axis=1)


def fit_temperature(decisions: NDArray[np.float64], labels: NDArray[np.int64], *, classes: NDArray[np.int64]) -> float:
    """Returns what decision values must be divided by for their softmax to have the lowest cross-entropy.

    One number leaves the order of the genres as it is (C. Guo et al., "On Calibration of Modern Neural Networks",
    2017, section 4.2).

    Args:
        decisions: (examples, classes of the train split).
        labels: (examples,); those that the train split lacks do not count.
        classes: (classes of the train split,), ascending.

    Returns:
        A number from 1/150 to 150; 1 where no example counts.
    """
    is_known = np.isin(labels, classes)
    if not is_known.any():
        return 1.0
    columns = np.searchsorted(classes, labels[is_known])
    found = minimize_scalar(
        lambda log_temperature: cross_entropy(softmax(decisions[is_known] / np.exp(log_temperature)), columns),
        bounds=_LOG_TEMPERATURE_BOUNDS,
        method="bounded",
    )
    return float(np.exp(found.x))


def with_equal_priors(probabilities: NDArray[np.float64], class_shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns what probabilities would be if all classes were as frequent, by Bayes' rule.

    See M. Saerens, P. Latinne and C. Decaestecker, "Adjusting the outputs of a classifier to new a priori
    probabilities", Neural Computation 14, 2002, equation 2.4.

    Args:
        probabilities: (examples, classes), rows that add up to 1.
        class_shares: (classes,), above 0: how frequent the classes were in what was learned from.
    """
    weighted = probabilities / class_shares
    return np.asarray(weighted / weighted.sum(axis=1, keepdims=True))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Has libraries compute in one thread.

    With several, the order of additions would depend on the machine; and where others use its cores too, OpenMP's
    threads wait for one another: gradient boosting then took four to seven times as long with two as with one.
    """
    with threadpool_limits(limits=1):
        yield


@contextmanager
def _convergence_warnings() -> Iterator[Sequence[Any]]:
    """Yields a list that at the end holds the warnings of estimators that came to their last iteration."""
    with warnings.catch_warnings(record=True) as problems:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", ConvergenceWarning)
        yield problems
