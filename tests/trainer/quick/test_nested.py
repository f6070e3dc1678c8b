"""Nested cross-validation against scikit-learn; the songs of a fold have no part in what predicts them."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

from beam_pipelines.common.errors import UserError
from trainer.baselines.config import VectorConfig
from trainer.quick.nested import DEFAULT_C, choose_c, find_folds, fit_c, nested_cross_validation

CONFIG = VectorConfig(data_dir="data")
C_VALUES = (0.0001, 1.0, 10_000.0)


def by_hand(c, songs, train, test):
    """The probabilities of scikit-learn for the segments of `test`, fitted on those of `train`."""
    scaler = StandardScaler().fit(songs.vectors.values[train])
    model = LogisticRegression(C=c, class_weight="balanced", max_iter=1000)
    model.fit(scaler.transform(songs.vectors.values[train]), songs.vectors.labels[train])
    return model.predict_proba(scaler.transform(songs.vectors.values[test]))


def rows_of(songs, names):
    return np.array([name in names for name in songs.vectors.track_ids])


def test_folds_keep_artists_apart_and_have_each_genre(songs):
    fold_of = find_folds(songs, most=4, seed=0)
    members = [[track for track in songs.tracks if fold_of[track.track_id] == fold] for fold in range(4)]
    assert [sorted({track.label for track in fold}) for fold in members] == [["blues", "funk", "waltz"]] * 4
    groups = [{track.group for track in fold} for fold in members]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 12


@pytest.mark.parametrize(("artists", "most", "expected"), [(4, 5, 4), (2, 5, 2), (4, 3, 3)])
def test_there_are_as_many_folds_as_artists_of_the_smallest_genre(make_songs, artists, most, expected):
    assert set(find_folds(make_songs(artists=artists), most=most, seed=0).values()) == set(range(expected))


def test_an_artist_who_is_a_whole_genre_cannot_be_divided(make_songs):
    with pytest.raises(UserError, match=r"^the group 'blues artist 0' holds all tracks of the genre 'blues'"):
        find_folds(make_songs(artists=1), most=5, seed=0)


def test_artists_who_share_a_recording_are_in_one_fold(songs):
    joined = {"blues artist 0": "blues artist 0", "blues artist 1": "blues artist 0"}
    fold_of = find_folds(replace(songs, joined=joined), most=5, seed=0)
    assert set(fold_of.values()) == {0, 1, 2}
    assert fold_of["blues/0/0.mp3"] == fold_of["blues/1/0.mp3"]


def test_c_has_the_lowest_loss_of_songs_that_were_not_fitted(songs):
    fold_of = find_folds(songs, most=4, seed=3)
    losses = []
    for c in C_VALUES:
        probabilities, labels = [], []
        for fold in range(4):
            test = [name for name, number in fold_of.items() if number == fold]
            is_test = rows_of(songs, test)
            found = by_hand(c, songs, ~is_test, is_test)
            names = np.array(songs.vectors.track_ids)[is_test]
            probabilities += [found[names == name].mean(axis=0) for name in test]
            labels += [songs.vectors.labels[is_test][names == name][0] for name in test]
        losses.append(log_loss(labels, probabilities))
    assert choose_c(songs, C_VALUES, most_folds=4, seed=3, config=CONFIG) == C_VALUES[int(np.argmin(losses))]
    backwards = choose_c(songs, C_VALUES[::-1], most_folds=4, seed=3, config=CONFIG)
    assert backwards == C_VALUES[int(np.argmin(losses))]  # whatever the order of the candidates


def test_without_folds_c_is_the_default(make_songs):
    assert choose_c(make_songs(artists=1), (5.0, 6.0), most_folds=5, seed=0, config=CONFIG) == DEFAULT_C


def test_a_fold_is_predicted_by_what_was_fitted_to_the_others(songs):
    fold_of = find_folds(songs, most=4, seed=0)
    results = nested_cross_validation(songs, C_VALUES, fold_of=fold_of, seed=0, config=CONFIG)
    assert [result.fold for result in results] == [0, 1, 2, 3]
    assert sorted(name for result in results for name in result.test.track_ids) == sorted(songs.vectors.track_ids)
    for result in results:
        is_test = rows_of(songs, {name for name, number in fold_of.items() if number == result.fold})
        assert result.test.track_ids == tuple(np.array(songs.vectors.track_ids)[is_test])
        np.testing.assert_allclose(result.probabilities, by_hand(result.c, songs, ~is_test, is_test), atol=1e-4)
        others = songs.only(set(fold_of) - set(result.test.track_ids))
        assert result.c == choose_c(others, C_VALUES, most_folds=4, seed=0, config=CONFIG)


def test_what_a_fold_holds_changes_nothing_of_its_prediction(songs):
    """Labels and values of the songs of fold 0 are replaced: C and the fitted model of that fold stay the same."""
    fold_of = find_folds(songs, most=4, seed=0)
    is_test = rows_of(songs, {name for name, number in fold_of.items() if number == 0})
    values, labels = songs.vectors.values.copy(), songs.vectors.labels.copy()
    values[is_test], labels[is_test] = 9.0, 0
    changed = replace(songs, vectors=replace(songs.vectors, values=values, labels=labels))
    [first, *_] = nested_cross_validation(songs, C_VALUES, fold_of=fold_of, seed=0, config=CONFIG)
    [other, *_] = nested_cross_validation(changed, C_VALUES, fold_of=fold_of, seed=0, config=CONFIG)
    assert (other.c, other.num_parameters) == (first.c, first.num_parameters)
    fitted = fit_c(other.c, songs.only(set(fold_of) - set(first.test.track_ids)), config=CONFIG)
    np.testing.assert_array_equal(other.probabilities, fitted.probabilities(values[is_test]))
    np.testing.assert_array_equal(first.probabilities, fitted.probabilities(songs.vectors.values[is_test]))


def test_each_fold_is_reported_when_it_is_done(songs):
    seen = []
    fold_of = find_folds(songs, most=2, seed=0)
    nested_cross_validation(
        songs, [0.01], fold_of=fold_of, seed=0, config=CONFIG, on_fold=lambda result: seen.append(result.fold)
    )
    assert seen == [0, 1]
