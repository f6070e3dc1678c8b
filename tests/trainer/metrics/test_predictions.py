"""From the logits of segments to the predictions for the tracks of a split."""

from dataclasses import replace

import numpy as np
import pytest

from beam_pipelines.common.errors import RunFailedError
from trainer.data import parsing
from trainer.data.parsing import hash_track_ids
from trainer.metrics.level_metrics import LEVELS, SEGMENT, TRACK, TRACK_VOTE
from trainer.metrics.levels import evaluated_levels, evaluated_tracks, metrics_by_level
from trainer.metrics.metrics import softmax
from trainer.metrics.predictions import Predictions, SegmentScores, make_predictions, predictions_of_scores

LABELS = ("blues", "funk", "waltz")
GROUPS = {f"track {number}.mp3": f"artist {number // 2}" for number in range(6)}


@pytest.fixture
def scores() -> SegmentScores:
    """Logits of 18 segments of 6 tracks, in random order."""
    rng = np.random.default_rng(0)
    tracks = rng.permutation(np.repeat(np.arange(6), 3))
    names = [f"track {track}.mp3" for track in tracks]
    return SegmentScores(
        logits=rng.normal(size=(18, 3)).astype(np.float32),
        labels=tracks % 3,
        track_keys=hash_track_ids(names),
        starts_s=rng.permutation(18).astype(np.float32),
    )


def permuted(scores: SegmentScores, *, seed: int) -> SegmentScores:
    order = np.random.default_rng(seed).permutation(len(scores.labels))
    return SegmentScores(*(column[order] for column in scores))


def assert_equal(predictions: Predictions, expected: Predictions) -> None:
    for name in Predictions.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(predictions, name), getattr(expected, name), err_msg=name)


def test_scores_become_predictions_of_named_tracks(scores: SegmentScores) -> None:
    found = predictions_of_scores(scores, group_of_track={**GROUPS, "of another split.mp3": "someone"})
    assert found.track_ids == tuple(f"track {number}.mp3" for number in range(6))
    assert found.groups == ("artist 0", "artist 0", "artist 1", "artist 1", "artist 2", "artist 2")
    assert found.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert found.segment_tracks.tolist() == np.repeat(np.arange(6), 3).tolist()
    assert found.segment_labels.tolist() == np.repeat([0, 1, 2, 0, 1, 2], 3).tolist()
    for row, (track, start_s) in enumerate(zip(found.segment_tracks, found.segment_starts_s, strict=True)):
        [source] = np.flatnonzero(scores.starts_s == start_s)
        assert scores.track_keys[source] == hash_track_ids([f"track {track}.mp3"])[0]
        np.testing.assert_array_equal(found.segment_probabilities[row], softmax(scores.logits[source]))
        assert row % 3 == 0 or found.segment_starts_s[row - 1] < start_s


def test_the_order_of_segments_does_not_matter(scores: SegmentScores) -> None:
    expected = predictions_of_scores(scores, group_of_track=GROUPS)
    for seed in range(3):
        assert_equal(predictions_of_scores(permuted(scores, seed=seed), group_of_track=GROUPS), expected)


def test_levels_of_predictions_are_those_of_the_scores(scores: SegmentScores) -> None:
    expected = metrics_by_level(scores)
    found = evaluated_levels(predictions_of_scores(scores, group_of_track=GROUPS), num_resamples=50)
    assert tuple(found) == tuple(expected) == LEVELS
    for level in LEVELS:
        assert found[level].intervals is not None
        for name in ("loss", "expected_calibration_error"):
            value = getattr(expected[level], name)
            assert (value is None) == (level == TRACK_VOTE)
            assert getattr(found[level], name) == (None if value is None else pytest.approx(value))
        same = {name: getattr(expected[level], name) for name in ("loss", "expected_calibration_error")}
        assert found[level].num_groups == len(set(GROUPS.values()))
        assert replace(found[level], intervals=None, num_groups=None, **same) == expected[level]
    assert (found[SEGMENT].num_examples, found[TRACK].num_examples, found[TRACK_VOTE].num_examples) == (18, 6, 6)


def test_levels_differ_where_segments_of_a_track_disagree() -> None:
    logits = np.log([[0.9, 0.1], [0.4, 0.6], [0.4, 0.6], [0.1, 0.9], [0.6, 0.4], [0.1, 0.9]]).astype(np.float32)
    scores = SegmentScores(
        logits=logits,
        labels=np.array([0, 0, 0, 1, 1, 1]),
        track_keys=np.array([1, 1, 1, 2, 2, 2]),
        starts_s=np.arange(6, dtype=np.float32),
    )
    levels = metrics_by_level(scores)
    assert levels[SEGMENT].accuracy == 0.5
    assert levels[TRACK].accuracy == 1.0
    assert levels[TRACK_VOTE].accuracy == 0.5  # two of three segments outvote the one that is sure


def test_intervals_depend_on_the_groups(scores: SegmentScores) -> None:
    predictions = predictions_of_scores(scores, group_of_track=GROUPS)
    together = replace(predictions, groups=("the same",) * 6)
    apart = replace(predictions, groups=tuple(map(str, range(6))))
    assert all(metrics.intervals is None for metrics in evaluated_levels(together).values())
    by_group, by_track = (evaluated_levels(each, num_resamples=100) for each in (predictions, apart))
    assert by_group[SEGMENT].intervals != by_track[SEGMENT].intervals
    assert evaluated_tracks(predictions.by_track(), num_resamples=100) == by_group[TRACK]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_probabilities_that_are_not_finite_are_refused(value: float) -> None:
    probabilities = np.full((4, 2), 0.5)
    probabilities[2, 1] = value
    with pytest.raises(RunFailedError, match=r"the probabilities of a segment of b\.mp3 are not finite numbers"):
        make_predictions(
            probabilities,
            labels=np.zeros(4, dtype=np.int64),
            track_ids=["a.mp3", "a.mp3", "b.mp3", "a.mp3"],
            starts_s=np.arange(4.0),
            group_of_track={"a.mp3": "x", "b.mp3": "x"},
        )


def test_a_track_that_the_table_does_not_have(scores: SegmentScores) -> None:
    groups = {name: group for name, group in GROUPS.items() if name != "track 3.mp3"}
    with pytest.raises(RunFailedError, match=r"a shard has a track that tracks\.jsonl does not have"):
        predictions_of_scores(scores, group_of_track=groups)
    with pytest.raises(RunFailedError, match=r"a shard has the track b\.mp3, which tracks\.jsonl does not have"):
        make_predictions(
            np.ones((1, 1)),
            labels=np.zeros(1, dtype=np.int64),
            track_ids=["b.mp3"],
            starts_s=np.zeros(1),
            group_of_track=GROUPS,
        )


def test_tracks_with_the_same_key_are_refused(scores: SegmentScores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsing, "_NUM_TRACK_KEYS", 3)
    with pytest.raises(RunFailedError, match="the ids of two tracks have the same hash"):
        predictions_of_scores(scores, group_of_track=GROUPS)
