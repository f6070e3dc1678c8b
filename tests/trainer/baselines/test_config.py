"""The settings of the classical learners are checked."""

import pytest

from configs.cli import main
from configs.compose import compose, to_dataclass
from trainer.baselines.config import BaselinesConfig


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("learners=[knn,svn]", "learners=svn: expected one of naive_bayes, knn, logistic_regression, svm, mlp"),
        ("learners=[]", "learners=[]: expected at least one learner"),
        ("learners=[knn,knn]", "learners=['knn', 'knn']: expected each learner once"),
        ("pca=0", "pca=0: expected a whole number of components, a share"),
        ("pca=2.5", "pca=2.5: expected a whole number of components"),
        ("pca=nan", "pca=nan: expected a whole number of components"),
        ("pca=inf", "pca=inf: expected a whole number of components"),
        ("whiten=true", "whiten=true: expected false without pca, whose components it scales"),
        ("feature=[]", "feature=[]: expected a name, or a list of names, each once"),
        ("feature=[yamnet,yamnet]", "feature=['yamnet', 'yamnet']: expected a name, or a list of names, each once"),
        ("feature=yamnet,musicnn", "feature=yamnet,musicnn: expected a name, or a list of names, each once"),
        ("feature=null", "feature=null: expected a name, or a list of names, each once"),
        ("feature=[1]", "feature=[1]: expected a name, or a list of names, each once"),
        ("feature={a: b}", "feature={'a': 'b'}: expected a name, or a list of names, each once"),
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


def test_a_number_of_components_is_a_whole_number():
    config = to_dataclass(compose("baselines", ["data_dir=x", "output_dir=y", "pca=5000"]))
    assert repr(config.pca) == "5000"


@pytest.mark.parametrize(
    ("word", "feature", "names"),
    [
        ("feature=yamnet", "yamnet", ("yamnet",)),
        ("feature=[yamnet]", "yamnet", ("yamnet",)),
        ("feature=[musicnn,yamnet]", ["musicnn", "yamnet"], ("musicnn", "yamnet")),
    ],
)
def test_a_feature_or_a_list_of_them(word, feature, names):
    config = to_dataclass(compose("baselines", ["data_dir=x", "output_dir=y", word]))
    assert isinstance(config, BaselinesConfig)
    assert (config.feature, config.feature_names) == (feature, names)


def test_cross_validation_takes_a_list_too():
    config = to_dataclass(
        compose("crossval", ["data_dir=x", "output_dir=y", "learner=baselines", "baselines.feature=[musicnn,yamnet]"])
    )
    assert config.baselines.feature_names == ("musicnn", "yamnet")
