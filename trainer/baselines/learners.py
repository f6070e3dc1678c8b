"""The classical learners: what each is, its settings, and those that may be tried instead of them.

Presets are what is usual for a few thousand standardised vectors, and were not chosen by any test split.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC

Hyperparameters = Mapping[str, float]

_MOST_ITERATIONS = 1000
_MOST_DEVIATIONS = 1e6


@dataclass(frozen=True)
class FitContext:
    """What an estimator depends on beside its hyperparameters.

    Attributes:
        num_examples: Rows to learn from.
        num_classes: Genres among them.
        is_balanced: Whether all genres are to count as much as one another.
        seed: Of what is drawn at random.
    """

    num_examples: int
    num_classes: int
    is_balanced: bool
    seed: int

    @property
    def class_weight(self) -> str | None:
        """What scikit-learn calls it."""
        return "balanced" if self.is_balanced else None


@dataclass(frozen=True)
class Learner:
    """A classical learner.

    Attributes:
        make: Returns an estimator of scikit-learn, not fitted yet.
        preset: Its hyperparameters where none are looked for.
        grid: Those that are tried where the best ones are looked for.
        weighs_classes: Whether the estimator itself has genres count alike; else its probabilities are corrected.
        count_parameters: Returns how many numbers a fitted estimator learned; None for learners that keep examples or
            grow trees instead.
    """

    make: Callable[[Hyperparameters, FitContext], Any]
    preset: Hyperparameters
    grid: Sequence[Hyperparameters]
    weighs_classes: bool = True
    count_parameters: Callable[[Any], int] | None = None


def make_pipeline(learner: Learner, hyperparameters: Hyperparameters, *, context: FitContext, pca: float | None) -> Any:
    """Returns standardisation, principal components where they are asked for, and the learner, none of them fitted.

    Standardised values are cut at a million deviations, so that learners can square and add up even the values of a
    segment that is like none in the train split.

    Args:
        learner: The learner.
        hyperparameters: Its settings.
        context: What it will learn from.
        pca: How many components, or, below 1, the share of variance that they explain; None for none.
    """
    steps = [("standardise", StandardScaler()), ("cut", FunctionTransformer(_cut))]
    if pca is not None:
        # The full decomposition: other solvers are chosen by size, and the randomised one is not exact.
        steps.append(("pca", PCA(n_components=pca if pca < 1 else int(pca), svd_solver="full")))
    return Pipeline([*steps, ("learner", learner.make(hyperparameters, context))])


def _naive_bayes(hyperparameters: Hyperparameters, context: FitContext) -> Any:
    priors = [1.0 / context.num_classes] * context.num_classes if context.is_balanced else None
    return GaussianNB(priors=priors, var_smoothing=hyperparameters["var_smoothing"])


def _knn(hyperparameters: Hyperparameters, context: FitContext) -> Any:
    k = min(int(hyperparameters["n_neighbors"]), context.num_examples)
    return KNeighborsClassifier(n_neighbors=k, weights="distance", n_jobs=1)


def _logistic_regression(hyperparameters: Hyperparameters, context: FitContext) -> Any:
    return LogisticRegression(C=hyperparameters["C"], class_weight=context.class_weight, max_iter=_MOST_ITERATIONS)


def _svm(hyperparameters: Hyperparameters, context: FitContext) -> Any:
    # `probability=True` would calibrate by folds of segments, in which a track is on both sides.
    return SVC(C=hyperparameters["C"], kernel="rbf", gamma="scale", class_weight=context.class_weight, cache_size=500)


def _mlp(hyperparameters: Hyperparameters, context: FitContext) -> Any:
    # `early_stopping=True` would stop by a random part of the segments, whose tracks are learned from.
    return MLPClassifier(
        hidden_layer_sizes=(128,),
        alpha=hyperparameters["alpha"],
        max_iter=_MOST_ITERATIONS,
        random_state=context.seed,
    )


def _gradient_boosting(hyperparameters: Hyperparameters, context: FitContext) -> Any:
    return HistGradientBoostingClassifier(
        learning_rate=0.1,
        max_iter=100,
        max_leaf_nodes=int(hyperparameters["max_leaf_nodes"]),
        max_bins=63,  # with 255, an embedding's histograms are larger than what they count, and take most of the time
        early_stopping=False,  # as with the MLP
        class_weight=context.class_weight,
        random_state=context.seed,
    )


def _cut(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.clip(values, -_MOST_DEVIATIONS, _MOST_DEVIATIONS)


def _size(*arrays: Any) -> int:
    return sum(int(np.size(array)) for array in arrays)


def _values(name: str, *values: float) -> tuple[Hyperparameters, ...]:
    return tuple({name: value} for value in values)


LEARNERS: Mapping[str, Learner] = {
    "naive_bayes": Learner(
        make=_naive_bayes,
        # A share of the largest variance: genres in which a value never changes would decide alone without it.
        preset={"var_smoothing": 0.01},
        grid=_values("var_smoothing", 1e-4, 0.01, 0.1, 1.0),
        count_parameters=lambda fitted: _size(fitted.theta_, fitted.var_),
    ),
    "knn": Learner(
        make=_knn,
        preset={"n_neighbors": 15},
        grid=_values("n_neighbors", 1, 5, 15, 45),
        weighs_classes=False,
    ),
    "logistic_regression": Learner(
        make=_logistic_regression,
        preset={"C": 0.01},
        grid=_values("C", 0.0001, 0.001, 0.01, 0.1, 1.0),
        count_parameters=lambda fitted: _size(fitted.coef_, fitted.intercept_),
    ),
    "svm": Learner(
        make=_svm,
        preset={"C": 1.0},
        grid=_values("C", 0.1, 1.0, 10.0, 100.0),
    ),
    "mlp": Learner(
        make=_mlp,
        preset={"alpha": 0.1},
        grid=_values("alpha", 0.01, 0.1, 1.0, 10.0),
        weighs_classes=False,
        count_parameters=lambda fitted: _size(*fitted.coefs_, *fitted.intercepts_),
    ),
    "gradient_boosting": Learner(
        make=_gradient_boosting,
        preset={"max_leaf_nodes": 15},
        grid=_values("max_leaf_nodes", 4, 15, 31),
    ),
}
