"""The settings of the classical learners are checked."""

import pytest

from configs.cli import main


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("learners=[knn,svn]", "learners=svn: expected one of naive_bayes, knn, logistic_regression, svm, mlp"),
        ("learners=[]", "learners=[]: expected at least one learner"),
        ("learners=[knn,knn]", "learners=['knn', 'knn']: expected each learner once"),
        ("pca=0", "pca=0.0: expected a whole number of components, a share"),
        ("pca=2.5", "pca=2.5: expected a whole number of components"),
        ("pca=nan", "pca=nan: expected a whole number of components"),
        ("pca=inf", "pca=inf: expected a whole number of components"),
        ("pooling=max", "pooling=max: expected one of mean, mean_std"),
        ("unit=artist", "unit=artist: expected one of segment, track"),
        ("class_weighting=some", "class_weighting=some: expected one of none, balanced"),
        ("seed=-1", "seed=-1: expected a whole number from 0"),
        ("max_matrix_mib=0", "max_matrix_mib=0: expected 1 to 16777216 MiB"),
        ("output_dir=", "output_dir=: expected a path"),
        ("data_dir=", "data_dir=: expected a path"),
        ("feture=mfcc", "did you mean feature?"),
    ],
)
def test_invalid_settings_are_errors(word, message, capsys):
    assert main(["baselines", "data_dir=x", "output_dir=y", word]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
