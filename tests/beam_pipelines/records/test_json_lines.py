import json
from dataclasses import asdict

import pytest

from beam_pipelines.records.json_lines import TrackRecord, json_lines, tracks_from_json_lines

TRACK = TrackRecord(
    track_id="a.mp3",
    uri="/m/a.mp3",
    split="train",
    group="g",
    label="rock",
    content_hash="0",
    duration_s=29.9,
    padded_s=0.0,
    cut_s=0.0,
    is_truncated=True,
    rms_dbfs=-20.0,
    peak_dbfs=-1.0,
    num_segments=9,
    num_silent_segments=0,
    decoder="ffmpeg",
    decoded_s=29.9,
    expected_s=30.0,
)


def test_tracks_are_read_as_written():
    assert tracks_from_json_lines("".join(json_lines([TRACK]))) == [TRACK]


def test_tracks_share_the_names_that_repeat():
    first, second = tracks_from_json_lines("".join(json_lines([TRACK, TRACK])))
    for name in ("split", "group", "label", "decoder"):
        assert getattr(first, name) is getattr(second, name)


def test_tracks_of_before_are_read_without_what_was_not_recorded():
    row = asdict(TRACK)
    for name in ("decoder", "decoded_s", "expected_s"):
        del row[name]
    [track] = tracks_from_json_lines(json.dumps(row) + "\n")
    assert (track.decoder, track.decoded_s, track.expected_s, track.is_partial) == (None, None, None, False)
    assert track.is_truncated


@pytest.mark.parametrize(
    ("decoded_s", "expected_s", "is_truncated", "is_partial"),
    [(29.9, 30.0, True, True), (30.0, 30.0, True, False), (30.0, 30.0, False, False), (29.99, 30.0, False, False)],
)
def test_a_track_is_partial_where_less_was_decoded_than_it_should_hold(decoded_s, expected_s, is_truncated, is_partial):
    row = asdict(TRACK) | {"decoded_s": decoded_s, "expected_s": expected_s, "is_truncated": is_truncated}
    assert TrackRecord(**row).is_partial == is_partial
