import pytest

from beam_pipelines.common.errors import UserError
from beam_pipelines.datasets.track import Track, check_tracks, genre_names


def track(track_id, label):
    return Track(track_id=track_id, uri=track_id, label=label, group=track_id, size_bytes=1)


def test_genres_are_sorted_by_name():
    assert genre_names([track("1", "rock"), track("2", "blues"), track("3", "rock")]) == ["blues", "rock"]


def test_two_genres_are_enough():
    check_tracks([track("1", "rock"), track("2", "blues")], source="there")


@pytest.mark.parametrize(
    ("tracks", "message"),
    [
        ([], "there holds no audio files"),
        ([track("1", "rock")], "there holds one genre only, 'rock'"),
        ([track("1", "rock"), track("1", "pop")], "there names the track '1' 2 times"),
        (
            [track("1", "rock"), track("2", "pop\nfolk")],
            r"there has a genre named 'pop\\nfolk': a name must be one line",
        ),
        ([track("1", "rock"), track("2", "")], "there has a genre named ''"),
    ],
)
def test_what_nothing_can_be_learned_from_is_refused(tracks, message):
    with pytest.raises(UserError, match=message):
        check_tracks(tracks, source="there")
