import hashlib
import json
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_pipelines.common.errors import UserError
from beam_pipelines.datasets.track import Track
from beam_pipelines.splits.assign import assign_splits, keyed_order
from beam_pipelines.splits.config import SplitConfig


def track(track_id, *, label="rock", group=None, split=None):
    return Track(
        track_id=track_id, uri=f"/music/{track_id}", label=label, group=group or track_id, size_bytes=1, split=split
    )


def tracks_of(groups_by_label):
    """{"rock": {"artist": 3}} → three tracks of rock by that artist, and so on."""
    return [
        track(f"{label}/{group}/{index}", label=label, group=group)
        for label, groups in groups_by_label.items()
        for group, count in groups.items()
        for index in range(count)
    ]


def test_shares_are_exact_where_groups_allow_it():
    tracks = tracks_of({label: {f"{label}{n}": 1 for n in range(20)} for label in ("rock", "pop")})
    splits = assign_splits(tracks, SplitConfig(validation_fraction=0.15, test_fraction=0.25), seed=0).split_of
    counts = Counter((item.label, splits[item.track_id]) for item in tracks)
    assert counts == {
        ("rock", "train"): 12,
        ("rock", "validation"): 3,
        ("rock", "test"): 5,
        ("pop", "train"): 12,
        ("pop", "validation"): 3,
        ("pop", "test"): 5,
    }


def test_another_seed_makes_another_split_and_the_same_seed_the_same():
    tracks = tracks_of({label: {f"{label}{n}": 1 for n in range(20)} for label in ("rock", "pop")})
    config = SplitConfig()
    first = assign_splits(tracks, config, seed=0)
    assert assign_splits(tracks, config, seed=1).split_of != first.split_of
    assert assign_splits(list(reversed(tracks)), config, seed=0) == first


def test_the_order_key_is_the_same_on_every_machine():
    assert keyed_order("röck/1.mp3", seed=7).hex() == "6ec6a9d6ab0d4c35"


def test_the_same_seed_makes_the_same_split_on_every_machine():
    tracks = tracks_of({label: {f"{label} {n}": 1 + n % 4 for n in range(20)} for label in ("röck", "pop", "jazz")})
    digests = [
        hashlib.sha256(json.dumps(sorted(assign_splits(tracks, config, seed=7).split_of.items())).encode()).hexdigest()
        for config in (SplitConfig(), SplitConfig(folds=5, fold=2), SplitConfig(source="random"))
    ]
    assert [digest[:16] for digest in digests] == ["f1197cc7b194ab04", "e9bd8aff8da9d156", "acf062e560e8fa69"]


def test_every_split_gets_a_group_of_a_genre_with_three_groups():
    tracks = tracks_of({"rock": {"a": 10, "b": 1, "c": 1}, "pop": {"d": 1, "e": 1, "f": 1}})
    split_of = assign_splits(tracks, SplitConfig(), seed=0).split_of
    for label in ("rock", "pop"):
        assert {split_of[item.track_id] for item in tracks if item.label == label} == {"train", "validation", "test"}


def test_a_genre_with_too_few_groups_is_named():
    tracks = tracks_of({"rock": {"a": 5, "b": 5}, "pop": {"d": 1, "e": 1, "f": 1}})
    with pytest.raises(UserError, match=r"the genre 'rock' has 2 groups.*none is left for validation") as caught:
        assign_splits(tracks, SplitConfig(), seed=0)
    assert "split.test_fraction=0" in str(caught.value)
    split_of = assign_splits(tracks, SplitConfig(test_fraction=0.0), seed=0).split_of
    assert set(split_of.values()) == {"train", "validation"}


@pytest.mark.parametrize("config", [SplitConfig(), SplitConfig(folds=3, fold=0)])
def test_a_group_that_holds_all_of_a_genre_is_named(config):
    tracks = tracks_of({"rock": {"Elvis": 50}, "pop": {"d": 1, "e": 1, "f": 1}})
    with pytest.raises(UserError, match="the group 'Elvis' holds all tracks of the genre 'rock'.*leave the genre out"):
        assign_splits(tracks, config, seed=0)


def test_official_splits_are_taken_as_they_are():
    tracks = [
        track("1", split="train"),
        track("2", split="test"),
        track("3", label="pop", split="train"),
        track("4", split="excluded"),
    ]
    assignment = assign_splits(tracks, SplitConfig(), seed=0)
    assert assignment.split_of == {"1": "train", "2": "test", "3": "train", "4": "excluded"}
    assert (assignment.source, assignment.leak, assignment.is_official) == ("official", None, True)


def test_official_splits_that_divide_groups_are_refused_and_all_are_named():
    tracks = [
        track("1", group="x", split="train"),
        track("2", group="x", split="test"),
        track("3", group="a", split="validation"),
        track("4", group="a", split="train"),
        track("5", group="fine", split="train"),
        track("6", group="fine", split="excluded"),
    ]
    with pytest.raises(
        UserError, match=r"the group 'a' in both train and validation \(2 such groups: a, x\)"
    ) as caught:
        assign_splits(tracks, SplitConfig(), seed=0)
    assert "split.source=group makes splits that keep groups apart" in str(caught.value)


def test_missing_official_splits_are_refused_with_a_track():
    tracks = [track("1", split="train"), track("2")]
    with pytest.raises(UserError, match=r"names no split for '2' \(1 such tracks\); split\.source=group makes splits"):
        assign_splits(tracks, SplitConfig(source="official"), seed=0)


def test_only_gtzan_is_fault_filtered():
    tracks = [track("1", split="train"), track("2", split="test")]
    with pytest.raises(UserError, match="fault_filtered is GTZAN's official split: set split.source=official"):
        assign_splits(tracks, SplitConfig(source="fault_filtered"), seed=0)
    with pytest.raises(UserError, match="split.source=fault_filtered: the data set names no split for '2'"):
        assign_splits([tracks[0], track("2")], SplitConfig(source="fault_filtered"), seed=0)
    for source in ("auto", "official", "fault_filtered"):
        config = SplitConfig(source=source)
        assert assign_splits(tracks, config, seed=0, official_split="fault_filtered").source == "fault_filtered"


def test_every_group_is_tested_on_in_one_fold_and_validated_on_in_another():
    tracks = tracks_of({label: {f"{label}{n}": 1 + n % 3 for n in range(15)} for label in ("rock", "pop")})
    folds = [assign_splits(tracks, SplitConfig(folds=5, fold=fold), seed=0) for fold in range(5)]
    for split in ("test", "validation"):
        places = [fold for item in tracks for fold in range(5) if folds[fold].split_of[item.track_id] == split]
        assert len(places) == len(tracks)
    for fold in range(5):
        in_test = {item.track_id for item in tracks if folds[fold].split_of[item.track_id] == "test"}
        before = {item.track_id for item in tracks if folds[fold - 1].split_of[item.track_id] == "validation"}
        assert in_test == before
        assert Counter(item.label for item in tracks if item.track_id in in_test) == {"rock": 6, "pop": 6}
    assert {fold.source for fold in folds} == {"folds"}


def test_fewer_groups_than_folds_are_named():
    tracks = tracks_of({"rock": {"a": 5, "b": 5, "c": 5, "d": 5}, "pop": {str(n): 1 for n in range(9)}})
    with pytest.raises(UserError, match=r"the genre 'rock' has 4 groups.*in each of split\.folds=5. Take fewer folds"):
        assign_splits(tracks, SplitConfig(folds=5, fold=0), seed=0)


def test_folds_are_made_by_group_even_where_there_is_an_official_split():
    tracks = [
        track(f"{label}{n}", label=label, group=f"{label} {n // 2}", split="train")
        for label in ("rock", "pop")
        for n in range(12)
    ]
    assignment = assign_splits(tracks, SplitConfig(folds=3, fold=1), seed=0)
    assert Counter(assignment.split_of.values()) == {"train": 8, "validation": 8, "test": 8}


def test_a_random_split_divides_groups_and_is_leaky():
    tracks = tracks_of({label: {f"{label}{n}": 10 for n in range(4)} for label in ("rock", "pop")})
    assignment = assign_splits(tracks, SplitConfig(source="random"), seed=0)
    assert Counter((item.label, assignment.split_of[item.track_id]) for item in tracks)[("rock", "test")] == 10
    sides = {(item.group, assignment.split_of[item.track_id]) for item in tracks}
    assert len(sides) > len({item.group for item in tracks})
    assert assignment.leak == (
        "tracks were split at random, so that an artist's tracks are in training and in the test"
    )


def test_a_split_by_unknown_groups_is_leaky():
    tracks = [track(f"{label}{n}", label=label) for label in ("rock", "pop") for n in range(10)]
    tracks += [track(f"known {n}", label="pop", group="someone") for n in range(3)]
    assignment = assign_splits(tracks, SplitConfig(), seed=0)
    assert assignment.leak is not None
    assert assignment.leak.startswith("who made 20 of the 23 tracks is not known")
    assert (
        assign_splits(
            tracks_of({"rock": dict.fromkeys("abc", 1), "pop": dict.fromkeys("def", 1)}), SplitConfig(), seed=0
        ).leak
        is None
    )


def test_joined_groups_go_to_one_split():
    tracks = tracks_of({label: {f"{label}{n}": 2 for n in range(12)} for label in ("rock", "pop")})
    apart = assign_splits(tracks, SplitConfig(), seed=0).split_of
    by_split = {split: item.group for item in tracks if item.label == "rock" for split in [apart[item.track_id]]}
    joined = dict.fromkeys(by_split.values(), by_split["train"])
    together = assign_splits(tracks, SplitConfig(), seed=0, joined=joined).split_of
    assert len({apart[item.track_id] for item in tracks if item.group in joined}) == 3
    assert len({together[item.track_id] for item in tracks if item.group in joined}) == 1


GENRES = st.sampled_from(["rock", "pop", "jazz"])
PURE_GROUPS = st.dictionaries(GENRES, st.integers(1, 8), min_size=1, max_size=1)
MIXED_GROUPS = st.dictionaries(GENRES, st.integers(1, 5), min_size=1)


@given(
    groups=st.lists(PURE_GROUPS, min_size=1, max_size=40) | st.lists(MIXED_GROUPS, min_size=1, max_size=40),
    folds=st.sampled_from([None, 3, 5]),
    seed=st.integers(0, 1000),
    order=st.randoms(use_true_random=False),
)
@settings(max_examples=400, deadline=None)
def test_no_group_is_in_two_splits_every_track_is_in_one_and_shares_are_near(groups, folds, seed, order):
    tracks = [
        track(f"{group}/{label}/{index}", label=label, group=str(group))
        for group, labels in enumerate(groups)
        for label, count in labels.items()
        for index in range(count)
    ]
    config = SplitConfig() if folds is None else SplitConfig(folds=folds, fold=seed % folds)
    try:
        split_of = assign_splits(tracks, config, seed=seed).split_of
    except UserError as error:
        groups_of = {label: sum(label in labels for labels in groups) for labels in groups for label in labels}
        is_pure = all(len(labels) == 1 for labels in groups)
        # Groups of several genres may make a split impossible; groups of one genre only if they are too few.
        assert min(groups_of.values()) < (folds or 3) or not is_pure
        assert "too few" in str(error) or "holds all tracks" in str(error)
        return

    shuffled = list(tracks)
    order.shuffle(shuffled)
    assert assign_splits(shuffled, config, seed=seed).split_of == split_of
    assert split_of.keys() == {item.track_id for item in tracks}
    sides = {(item.group, split_of[item.track_id]) for item in tracks}
    assert len(sides) == len(groups)

    counts = Counter((item.label, split_of[item.track_id]) for item in tracks)
    totals = Counter(item.label for item in tracks)
    shares = {"validation": 0.15, "test": 0.25} if folds is None else {"validation": 1 / folds, "test": 1 / folds}
    for label, total in totals.items():
        largest_group = max(labels.get(label, 0) for labels in groups)
        allowed = largest_group if all(len(labels) == 1 for labels in groups) else 2 * largest_group
        for split, share in {**shares, "train": 1 - sum(shares.values())}.items():
            assert counts[label, split] > 0
            # The three fifths that train are three folds, each of which may be off.
            num_parts = folds - 2 if folds is not None and split == "train" else 1
            assert abs(counts[label, split] - share * total) <= num_parts * allowed


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"test_fraction": 1.0}, "split.test_fraction=1.0: expected a fraction"),
        ({"validation_fraction": -0.1}, "split.validation_fraction=-0.1"),
        ({"validation_fraction": 0.5, "test_fraction": 0.5}, "a sum below 1"),
        ({"source": "offical"}, "did you mean official"),
        ({"folds": 5}, "split.fold=null: expected the number of the fold to test on, from 0 to 4"),
        ({"folds": 5, "fold": 5}, "split.fold=5: expected the number of the fold to test on, from 0 to 4"),
        ({"folds": 5, "fold": -1}, "split.fold=-1"),
        ({"folds": 2, "fold": 0}, "split.folds=2: expected 3 to 1000 folds"),
        ({"fold": 0}, r"split.fold=0: expected split.folds=… to be set too"),
        ({"folds": 5, "fold": 0, "source": "official"}, "because folds keep groups together, not official"),
        ({"folds": 5, "fold": 0, "source": "random"}, "folds keep groups together, not random"),
    ],
)
def test_values_out_of_range_are_named(values, message):
    with pytest.raises(UserError, match=message):
        SplitConfig(**values)
