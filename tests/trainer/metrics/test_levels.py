"""Whether the groups of tracks are known, from metrics by level."""

import numpy as np
import pytest

from trainer.metrics.level_metrics import TRACK, tracks_have_groups
from trainer.metrics.levels import evaluated_tracks
from trainer.metrics.predictions import TrackPredictions


@pytest.mark.parametrize(
    ("groups", "leak", "expected"),
    [
        (("a", "b"), None, True),  # each artist has one track, and all artists are known
        (("a", "b"), "who made 2 of the 2 tracks is not known", False),
        (("a", "a"), "who made 1 of the 9 tracks is not known", True),
    ],
)
def test_groups_are_known_where_the_split_says_so_or_one_has_several_tracks(groups, leak, expected):
    tracks = TrackPredictions(("1", "2"), groups, np.array([0, 1]), np.eye(2))
    assert tracks_have_groups({TRACK: evaluated_tracks(tracks)}, split_leak=leak) is expected
