"""The classical learners: estimators of scikit-learn, their default hyperparameters, and the grids for tuning.

The defaults are usual for a few thousand standardised vectors, and were not chosen on a test split.
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

from trainer.baselines.config import VectorConfig

Hyperparameters = Mapping[str, float]

_MOST_ITERATIONS = 1000
_MOST_DEVIATIONS = 1e6


@dataclass(frozen=True)
class FitContext:
    """What an estimator depends on besides its hyperparameters.

    Attributes:
        num_examples: The number of training examples.
        num_classes: The number of genres among them.
        is_balanced: Whether all genres are weighted equally.
        seed: The seed of estimators that use random numbers.
    """

    num_examples: int
    num_classes: int
    is_balanced: bool
    seed: int

    @property
    def class_weight(self) -> str | None:
        """The `class_weight` of scikit-learn."""
        return "balanced" if self.is_balanced else None


@dataclass(frozen=True)
class Learner:
    """A classical learner.

    Attributes:
        make: Returns an estimator of scikit-learn that is not fitted.
        preset: The hyperparameters without tuning.
        grid: The hyperparameters to try when tuning.
        weighs_classes: Whether the estimator can weight classes; if not, its probabilities are corrected.
        count_parameters: Returns the number of parameters of a fitted estimator; None for learners that store examples
            or trees.
    """

    make: Callable[[Hyperparameters, FitContext], Any]
    preset: Hyperparameters
    grid: Sequence[Hyperparameters]
    weighs_classes: bool = True
    count_parameters: Callable[[Any], int] | None = None


def make_pipeline(
    learner: Learner, hyperparameters: Hyperparameters, *, context: FitContext, config: VectorConfig
) -> Any:
    """Returns a pipeline of standardisation, principal components if set, and the learner, none of them fitted.

    Standardised values are clipped at a million standard deviations, so that sums of squares cannot overflow for a
    segment far outside of the train split.

    Args:
        learner: The learner.
        hyperparameters: Its hyperparameters.
        context: The properties of the train split.
        config: The settings; its `pca` and `whiten` are used.
    """
    steps = [("standardise", StandardScaler()), ("clip", FunctionTransformer(_clip))]
    if config.pca is not None:
        num_components = config.pca if config.pca < 1 else int(config.pca)
        # The default solver depends on the size, and the randomised one is not exact.
        steps.append(("pca", PCA(n_components=num_components, whiten=config.whiten, svd_solver="full")))
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
    # `probability=True` would calibrate on random folds of segments, which put segments of a track on both sides.
    return SVC(C=hyperparameters["C"], kernel="rbf", gamma="scale", class_weight=context.class_weight, cache_size=500)


def _mlp(hyperparameters: Hyperparameters, context: FitContext) -> Any:
    # `early_stopping=True` would validate on random segments whose tracks are also trained on.
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
        max_bins=63,  # with 255, the histograms of an embedding are larger than the data, and take most of the time
        early_stopping=False,  # as with the MLP
        class_weight=context.class_weight,
        random_state=context.seed,
    )


def _clip(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.clip(values, -_MOST_DEVIATIONS, _MOST_DEVIATIONS)


def _size(*arrays: Any) -> int:
    return sum(int(np.size(array)) for array in arrays)


def _values(name: str, *values: float) -> tuple[Hyperparameters, ...]:
    return tuple({name: value} for value in values)


LEARNERS: Mapping[str, Learner] = {
    "naive_bayes": Learner(
        make=_naive_bayes,
        # A share of the largest variance: without it, a value that is constant within a genre decides alone.
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
