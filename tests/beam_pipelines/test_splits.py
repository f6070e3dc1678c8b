from collections import Counter, defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from beam_pipelines.config import SplitConfig
from beam_pipelines.errors import UserError
from beam_pipelines.splits import assign_splits, keyed_order
from beam_pipelines.tracks import Track


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


def test_shares_come_out_exactly_where_groups_allow_it():
    tracks = tracks_of({label: {f"{label}{n}": 1 for n in range(20)} for label in ("rock", "pop")})
    splits = assign_splits(tracks, SplitConfig(validation_fraction=0.15, test_fraction=0.25), seed=0)
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
    assert assign_splits(tracks, config, seed=1) != first
    assert assign_splits(list(reversed(tracks)), config, seed=0) == first


def test_the_order_key_is_the_same_on_every_machine():
    assert keyed_order("röck/1.mp3", seed=7).hex() == "6ec6a9d6ab0d4c35"


def test_every_split_gets_a_group_of_a_genre_with_three_groups():
    tracks = tracks_of({"rock": {"a": 10, "b": 1, "c": 1}, "pop": {"d": 1, "e": 1, "f": 1}})
    splits = assign_splits(tracks, SplitConfig(), seed=0)
    for label in ("rock", "pop"):
        assert {splits[item.track_id] for item in tracks if item.label == label} == {"train", "validation", "test"}


def test_a_genre_with_too_few_groups_is_named():
    tracks = tracks_of({"rock": {"a": 5, "b": 5}, "pop": {"d": 1, "e": 1, "f": 1}})
    with pytest.raises(UserError, match=r"the genre 'rock' has 2 group\(s\).*none is left for validation") as caught:
        assign_splits(tracks, SplitConfig(), seed=0)
    assert "split.test_fraction=0" in str(caught.value)
    splits = assign_splits(tracks, SplitConfig(test_fraction=0.0), seed=0)
    assert set(splits.values()) == {"train", "validation"}


def test_official_splits_are_taken_as_they_are():
    tracks = [track("1", split="train"), track("2", split="test"), track("3", label="pop", split="train")]
    assert assign_splits(tracks, SplitConfig(), seed=0) == {"1": "train", "2": "test", "3": "train"}


def test_official_splits_that_tear_a_group_apart_are_refused():
    tracks = [track("1", group="x", split="train"), track("2", group="x", split="test")]
    with pytest.raises(UserError, match="the group 'x' in both train and test"):
        assign_splits(tracks, SplitConfig(), seed=0)


def test_asking_for_official_splits_that_are_not_there_names_a_track():
    tracks = [track("1", split="train"), track("2")]
    with pytest.raises(UserError, match=r"names no split for '2' \(1 such tracks\); split\.source=group makes splits"):
        assign_splits(tracks, SplitConfig(source="official"), seed=0)


@given(
    groups=st.dictionaries(
        st.integers(0, 40),
        st.dictionaries(st.sampled_from(["rock", "pop", "jazz"]), st.integers(1, 5), min_size=1),
        min_size=1,
        max_size=40,
    ),
    seed=st.integers(0, 1000),
)
@settings(max_examples=200, deadline=None)
def test_no_group_is_ever_on_two_sides_and_every_track_is_placed_once(groups, seed):
    tracks = [
        track(f"{group}/{label}/{index}", label=label, group=str(group))
        for group, labels in groups.items()
        for label, count in labels.items()
        for index in range(count)
    ]
    try:
        splits = assign_splits(tracks, SplitConfig(), seed=seed)
    except UserError as error:
        assert "too few" in str(error)
        return
    assert splits.keys() == {item.track_id for item in tracks}
    sides = defaultdict(set)
    for item in tracks:
        sides[item.group].add(splits[item.track_id])
    assert all(len(side) == 1 for side in sides.values())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"test_fraction": 1.0}, "split.test_fraction=1.0: expected a fraction"),
        ({"validation_fraction": -0.1}, "split.validation_fraction=-0.1"),
        ({"validation_fraction": 0.5, "test_fraction": 0.5}, "a sum below 1"),
        ({"source": "offical"}, "did you mean official"),
    ],
)
def test_values_out_of_range_are_named(values, message):
    with pytest.raises(UserError, match=message):
        SplitConfig(**values)
