"""Learners against direct use of scikit-learn; the test split never affects them."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, log_loss
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits

from beam_pipelines.common.errors import UserError
from trainer.baselines.config import LEARNERS as NAMES
from trainer.baselines.config import VectorConfig
from trainer.baselines.fitting import decision_values, fit, fit_best, fit_temperature, with_equal_priors
from trainer.baselines.learners import LEARNERS
from trainer.baselines.vectors import Vectors

NUM_CLASSES = 3
CONFIG = VectorConfig(data_dir="data")
SCALES = np.array([1.0, 100.0, 1e-3, 1.0, 1.0, 1.0, 1.0, 1.0])

BY_HAND = {
    "naive_bayes": lambda: GaussianNB(priors=[1 / 3] * 3, var_smoothing=0.01),
    "knn": lambda: KNeighborsClassifier(n_neighbors=15, weights="distance"),
    "logistic_regression": lambda: LogisticRegression(C=0.01, class_weight="balanced", max_iter=1000),
    "svm": lambda: SVC(C=1.0, class_weight="balanced"),
    "mlp": lambda: MLPClassifier((128,), alpha=0.1, max_iter=1000, random_state=0),
    "gradient_boosting": lambda: HistGradientBoostingClassifier(
        max_leaf_nodes=15, max_bins=63, class_weight="balanced", early_stopping=False, random_state=0
    ),
}


def make_vectors(num_examples=90, *, seed=0, labels=(0, 0, 1, 2)):
    rng = np.random.default_rng(seed)
    chosen = np.array([labels[index % len(labels)] for index in range(num_examples)])
    values = (rng.normal(size=(num_examples, 8)) + 1.5 * np.eye(8)[chosen]) * SCALES
    return Vectors(
        values=values.astype(np.float32),
        labels=chosen,
        track_ids=tuple(f"track {index // 3}" for index in range(num_examples)),
        starts_s=np.zeros(num_examples, np.float32),
    )


@pytest.fixture(scope="module")
def train():
    return make_vectors()


@pytest.fixture(scope="module")
def validation():
    return make_vectors(40, seed=1)


@pytest.fixture(scope="module")
def other_values():
    return make_vectors(50, seed=2).values


def fitted_to(name, train, validation, *, hyperparameters=None, **changes):
    learner = LEARNERS[name]
    config = replace(CONFIG, **changes)
    return fit(learner, hyperparameters or learner.preset, train, validation, config=config, num_classes=NUM_CLASSES)


def balanced_by_hand(probabilities, shares):
    rows = [[p / s for p, s in zip(row, shares, strict=True)] for row in probabilities]
    return np.array([[value / sum(row) for value in row] for row in rows])


def test_there_is_a_learner_for_every_name():
    assert tuple(LEARNERS) == NAMES == tuple(BY_HAND)
    for learner in LEARNERS.values():
        assert learner.preset in learner.grid


@pytest.mark.parametrize(("pca", "whiten"), [(None, False), (5, False), (5, True)])
@pytest.mark.parametrize("name", [name for name in NAMES if name != "svm"])
def test_probabilities_are_those_of_scikit_learn(name, pca, whiten, train, validation, other_values):
    scaler = StandardScaler().fit(train.values)
    known, asked = scaler.transform(train.values), scaler.transform(other_values)
    with threadpool_limits(1):
        if pca is not None:
            axes = PCA(pca, whiten=whiten, svd_solver="full")
            known, asked = axes.fit_transform(known), axes.transform(asked)
        expected = BY_HAND[name]().fit(known, train.labels).predict_proba(asked).astype(np.float64)
    if name in ("knn", "mlp"):
        shares = np.bincount(train.labels) / len(train.labels)
        expected = balanced_by_hand(expected, shares)
        np.testing.assert_allclose(shares, [46 / 90, 22 / 90, 22 / 90])
    found = fitted_to(name, train, validation, pca=pca, whiten=whiten).probabilities(other_values)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(found.sum(axis=1), 1.0, rtol=1e-5)


@pytest.mark.parametrize("name", ["knn", "mlp", "naive_bayes", "logistic_regression", "gradient_boosting"])
def test_without_weighting_frequent_genres_are_likelier(name, train, validation, other_values):
    balanced = fitted_to(name, train, validation).probabilities(other_values)
    plain = fitted_to(name, train, validation, class_weighting="none").probabilities(other_values)
    assert plain[:, 0].mean() > balanced[:, 0].mean() + 0.005


def test_the_svm_ranks_as_scikit_learns_does_and_is_calibrated_on_the_validation_split(train, validation, other_values):
    scaler = StandardScaler().fit(train.values)
    svm = BY_HAND["svm"]().fit(scaler.transform(train.values), train.labels)
    fitted = fitted_to("svm", train, validation)
    found = fitted.probabilities(other_values)
    decisions = svm.decision_function(scaler.transform(other_values))
    np.testing.assert_array_equal(found.argmax(axis=1), decisions.argmax(axis=1))

    of_validation = svm.decision_function(scaler.transform(validation.values))

    def loss(log_temperature):
        scaled = np.exp(of_validation / np.exp(log_temperature[0]))
        return log_loss(validation.labels, scaled / scaled.sum(axis=1, keepdims=True), labels=[0, 1, 2])

    best = minimize(loss, [0.0], method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-12})
    assert fitted.temperature == pytest.approx(np.exp(best.x[0]), rel=1e-3)
    scaled = np.exp(decisions / fitted.temperature)
    np.testing.assert_allclose(found, scaled / scaled.sum(axis=1, keepdims=True), rtol=1e-9)


def test_two_genres_have_decision_values_too(other_values, validation):
    train = make_vectors(labels=(0, 2))
    fitted = fitted_to("svm", train, validation)
    decisions = decision_values(fitted.pipeline, other_values)
    assert decisions.shape == (50, 2)
    np.testing.assert_array_equal(decisions.argmax(axis=1) * 2, fitted.pipeline.predict(other_values))
    found = fitted.probabilities(other_values)
    assert found.shape == (50, 3)
    assert (found[:, 1] == 0).all()
    np.testing.assert_allclose(found[:, 2], 1 / (1 + np.exp(-decisions[:, 1] / fitted.temperature)))


@pytest.mark.parametrize("name", NAMES)
def test_a_genre_that_the_train_split_lacks_has_probability_0(name, validation, other_values):
    found = fitted_to(name, make_vectors(labels=(0, 2, 2)), validation).probabilities(other_values)
    assert found.shape == (50, 3)
    assert (found[:, 1] == 0).all()
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found.sum(axis=1), 1.0, rtol=1e-5)


@pytest.mark.parametrize("pca", [None, 0.9])
@pytest.mark.parametrize("name", NAMES)
def test_fitting_depends_on_the_train_split_only(name, pca, train, validation, other_values):
    """Scaling or components fitted on the other segments would change with them."""
    fitted = fitted_to(name, train, validation, pca=pca)
    alone = fitted.probabilities(other_values[:1])
    strange = np.concatenate([other_values[:1], other_values[1:] * 1e6 + 1e9]).astype(np.float32)
    np.testing.assert_allclose(fitted.probabilities(strange)[:1], alone, rtol=1e-4, atol=1e-12)

    scaler = fitted.pipeline[0]
    np.testing.assert_allclose(scaler.mean_, train.values.astype(np.float64).mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(scaler.scale_, train.values.astype(np.float64).std(axis=0), rtol=1e-6)
    if name != "svm":
        moved = replace(validation, values=validation.values * 100 + 7)
        np.testing.assert_array_equal(
            fitted_to(name, train, moved, pca=pca).probabilities(other_values), fitted.probabilities(other_values)
        )


@pytest.mark.parametrize("name", NAMES)
def test_results_do_not_depend_on_threads_bit_for_bit(name, train, validation, other_values):
    first = fitted_to(name, train, validation).probabilities(other_values)
    for num_threads in (1, 2, 3):
        with threadpool_limits(num_threads):
            np.testing.assert_array_equal(fitted_to(name, train, validation).probabilities(other_values), first)


def test_the_seed_changes_learners_that_use_random_numbers(train, validation, other_values):
    first, second = (fitted_to("mlp", train, validation, seed=seed).probabilities(other_values) for seed in (0, 1))
    assert (first != second).any()


def test_tuning_chooses_the_best_on_the_validation_split(train, validation, other_values):
    scaler = StandardScaler().fit(train.values)
    known, asked = scaler.transform(train.values), scaler.transform(validation.values)
    scores = {}
    for regularisation in (0.0001, 0.001, 0.01, 0.1, 1.0):
        model = LogisticRegression(C=regularisation, class_weight="balanced", max_iter=1000).fit(known, train.labels)
        scores[regularisation] = (
            balanced_accuracy_score(validation.labels, model.predict(asked)),
            -log_loss(validation.labels, model.predict_proba(asked)),
        )
    best = max(scores, key=lambda regularisation: scores[regularisation])
    worst = min(scores, key=lambda regularisation: scores[regularisation])
    assert best != worst
    tuned = fit_best(
        "logistic_regression", train, validation, config=replace(CONFIG, tune=True), num_classes=NUM_CLASSES
    )
    assert tuned.hyperparameters == {"C": best}
    np.testing.assert_array_equal(
        tuned.probabilities(other_values),
        fitted_to("logistic_regression", train, validation, hyperparameters={"C": best}).probabilities(other_values),
    )


def test_without_tuning_the_preset_is_used(train, validation):
    found = fit_best("knn", train, validation, config=CONFIG, num_classes=NUM_CLASSES)
    assert found.hyperparameters == {"n_neighbors": 15}
    assert found.train_duration_s > 0


def test_tuning_chooses_the_first_of_equals(validation):
    # One neighbour and all of them say the same where all examples of a genre are at one place.
    places = np.repeat(np.eye(3, dtype=np.float32) * 100, 20, axis=0)
    labels = np.repeat(np.arange(3), 20)
    vectors = Vectors(places, labels, tuple("t" * 60), np.zeros(60, np.float32))
    found = fit_best("knn", vectors, vectors, config=replace(CONFIG, tune=True), num_classes=NUM_CLASSES)
    assert found.hyperparameters == {"n_neighbors": 1}


def test_fewer_examples_than_neighbours():
    train = make_vectors(4)
    found = fitted_to("knn", train, train, class_weighting="none").probabilities(train.values)
    np.testing.assert_array_equal(found, np.eye(3)[train.labels])  # each is at no distance from itself


@pytest.mark.parametrize("name", NAMES)
def test_a_handful_of_examples_is_enough(name):
    train = make_vectors(4)
    found = fitted_to(name, train, train).probabilities(make_vectors(3, seed=5).values)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found.sum(axis=1), 1.0, rtol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_constant_values_have_no_effect(name, train, validation, other_values):
    def with_constants(values, constant):
        return np.concatenate([values, np.full((len(values), 2), constant, np.float32)], axis=1)

    wide, wide_validation = (
        replace(vectors, values=with_constants(vectors.values, 3.0)) for vectors in (train, validation)
    )
    found = fitted_to(name, wide, wide_validation).probabilities(with_constants(other_values, 3.0))
    assert np.isfinite(found).all()
    if name not in ("mlp", "svm"):  # of more values these make other weights at the start, and another kernel width
        np.testing.assert_allclose(
            found, fitted_to(name, train, validation).probabilities(other_values), rtol=1e-3, atol=1e-6
        )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("scale", [1e30, 1e-30])
def test_values_near_the_limits_of_float32_give_finite_probabilities(name, scale, train, validation, other_values):
    huge, huge_validation = (
        replace(vectors, values=(vectors.values * scale).astype(np.float32)) for vectors in (train, validation)
    )
    found = fitted_to(name, huge, huge_validation).probabilities((other_values * scale).astype(np.float32))
    assert np.isfinite(found).all()


def test_too_many_components_are_an_error(train, validation):
    with pytest.raises(UserError) as caught:
        fitted_to("knn", train, validation, pca=9)
    assert str(caught.value) == (
        "pca=9: expected at most 8 components, because the train split has 90 segments of 8 values"
    )
    assert fitted_to("knn", train, validation, pca=8).pipeline["pca"].n_components_ == 8


def test_whitening_does_not_scale_rounding_errors(train, validation):
    twice, twice_validation = (
        replace(vectors, values=np.concatenate([vectors.values, vectors.values[:, :3]], axis=1))
        for vectors in (train, validation)
    )
    with pytest.raises(UserError) as caught:
        fitted_to("knn", twice, twice_validation, pca=9, whiten=True)
    assert str(caught.value) == (
        "pca=9: expected at most 8 components with whiten=true, because the vectors of the train split do not vary in "
        "others"
    )
    assert fitted_to("knn", twice, twice_validation, pca=8, whiten=True).pipeline["pca"].n_components_ == 8


def test_a_share_of_the_variance_chooses_the_components(train, validation):
    components = fitted_to("knn", train, validation, pca=0.6).pipeline["pca"]
    shares = components.explained_variance_ratio_
    assert shares.sum() >= 0.6 > shares[:-1].sum()


def test_parameters_are_counted(train, validation):
    counts = {name: fitted_to(name, train, validation).num_parameters for name in NAMES}
    assert counts == {
        "naive_bayes": 2 * 3 * 8,
        "knn": None,
        "logistic_regression": 3 * 8 + 3,
        "svm": None,
        "mlp": 8 * 128 + 128 + 128 * 3 + 3,
        "gradient_boosting": None,
    }


def test_missing_convergence_is_reported(train, validation):
    assert fitted_to("logistic_regression", train, validation).has_converged
    short = replace(LEARNERS["mlp"], make=lambda *_: MLPClassifier(max_iter=2, random_state=0))
    assert not fit(short, short.preset, train, validation, config=CONFIG, num_classes=NUM_CLASSES).has_converged


def test_temperature_without_known_labels_is_1():
    classes = np.array([0, 2])
    assert fit_temperature(np.zeros((4, 2)), np.array([1, 1, 1, 1]), classes=classes) == 1.0
    confident = np.array([[9.0, 0.0], [0.0, 9.0]])
    assert fit_temperature(confident, np.array([2, 0]), classes=classes) > 140  # always wrong: nothing is known
    assert fit_temperature(confident, np.array([0, 2]), classes=classes) < 0.5


def test_equal_priors():
    found = with_equal_priors(np.array([[0.6, 0.4], [1.0, 0.0]]), np.array([0.75, 0.25]))
    np.testing.assert_allclose(found, [[0.8 / 2.4, 1.6 / 2.4], [1.0, 0.0]])
