import csv

import pytest

from beam_pipelines.common.errors import UserError
from beam_pipelines.datasets.config import FmaDatasetConfig
from beam_pipelines.datasets.registry import list_tracks

ROWS = [
    {"number": 2, "genre": "Hip-Hop", "artist": 1, "album": 10},
    {"number": 5, "genre": "Hip-Hop", "artist": 1, "album": 11, "split": "validation"},
    {"number": 1_040, "genre": "Rock", "artist": 54, "album": "", "split": "test"},
    {"number": 155_066, "genre": "Rock", "artist": "", "album": 12},
]


def tracks_of(root, **config):
    return list_tracks(FmaDatasetConfig(root=str(root), **config)).tracks


def notes_of(root, **config):
    return list_tracks(FmaDatasetConfig(root=str(root), **config)).notes


def edit(root, change):
    """Rewrites tracks.csv as a list of rows of cells."""
    path = root / "fma_metadata" / "tracks.csv"
    default_limit = csv.field_size_limit(2**25)
    with open(path, encoding="utf-8", newline="") as file:
        rows = change(list(csv.reader(file)))
    csv.field_size_limit(default_limit)
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)


def test_rows_become_tracks(make_fma, tmp_path):
    tracks = tracks_of(make_fma(tmp_path, ROWS))
    assert [(track.track_id, track.label, track.group, track.split) for track in tracks] == [
        ("000002", "Hip-Hop", "artist 1", "train"),
        ("000005", "Hip-Hop", "artist 1", "validation"),
        ("001040", "Rock", "artist 54", "test"),
        ("155066", "Rock", "155066", "train"),
    ]
    assert [track.uri for track in tracks[:3:2]] == [
        f"{tmp_path}/fma_small/000/000002.mp3",
        f"{tmp_path}/fma_small/001/001040.mp3",
    ]
    assert tracks[0].size_bytes == (tmp_path / "fma_small" / "000" / "000002.mp3").stat().st_size
    assert notes_of(tmp_path) == []


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ("album", ["album 10", "album 11", "001040", "album 12"]),
        ("track", ["000002", "000005", "001040", "155066"]),
    ],
)
def test_groups_may_be_albums_or_tracks(make_fma, tmp_path, group, expected):
    assert [track.group for track in tracks_of(make_fma(tmp_path, ROWS), group=group)] == expected


@pytest.mark.parametrize(
    ("subset", "expected"),
    [
        ("small", ["000001", "000002"]),
        ("medium", ["000001", "000002", "000003"]),
        ("large", ["000001", "000002", "000003", "000004"]),
        ("full", ["000001", "000002", "000003", "000004"]),
    ],
)
def test_a_larger_subset_holds_the_smaller_ones(make_fma, tmp_path, subset, expected):
    rows = [
        {"number": 1, "genre": "Rock", "subset": "small"},
        {"number": 2, "genre": "Pop", "subset": "small"},
        {"number": 3, "genre": "Jazz", "subset": "medium"},
        {"number": 4, "genre": "Rock", "subset": "large"},
        {"number": 5, "genre": "", "subset": "large"},
    ]
    root = make_fma(tmp_path, rows, subset=subset)
    assert [track.track_id for track in tracks_of(root, subset=subset)] == expected


def test_missing_files_unlisted_files_and_rows_without_a_genre_are_noted(make_fma, tmp_path):
    rows = [
        *ROWS,
        {"number": 7, "genre": "Rock", "duration_s": None},
        {"number": 8, "genre": ""},
        {"number": 9, "genre": "Jazz", "subset": "medium"},
    ]
    root = make_fma(tmp_path, rows)
    (root / "fma_small" / "000" / "000010.mp3").write_bytes(b"x")
    (root / "fma_small" / "README.txt").write_bytes(b"x")
    tracks = tracks_of(root)
    assert {track.track_id: track.size_bytes for track in tracks if track.track_id == "000007"} == {"000007": 0}
    assert {"000008", "000009", "000010"}.isdisjoint({track.track_id for track in tracks})
    assert notes_of(root) == [
        "1 of 6 tracks left out: no top genre in tracks.csv",
        "2 files (000009.mp3, 000010.mp3) left out: no row of this subset in tracks.csv",
        "1 file (000007.mp3) rejected: in tracks.csv and not on disk",
    ]


def test_known_bad_clips_are_marked(make_fma, tmp_path):
    numbers = [98_565, 98_567, 98_569, 99_134, 108_925, 133_297]
    rows = [*ROWS, *({"number": number, "genre": "Rock"} for number in numbers)]
    known = {track.track_id: track.known_fault for track in tracks_of(make_fma(tmp_path, rows)) if track.known_fault}
    assert known == {
        "098565": "it is far shorter than 30 s (issue 44 of mdeff/fma)",
        "098567": "it is far shorter than 30 s (issue 44 of mdeff/fma)",
        "098569": "it is far shorter than 30 s (issue 44 of mdeff/fma)",
        "099134": "it has no audio (issue 8 of mdeff/fma)",
        "108925": "it has no audio (issue 8 of mdeff/fma)",
        "133297": "it has no audio (issue 8 of mdeff/fma)",
    }


def test_genres_may_be_chosen_among_those_of_the_subset(make_fma, tmp_path):
    rows = [*ROWS, {"number": 6, "genre": "Folk"}]
    root = make_fma(tmp_path, rows)
    assert {track.label for track in tracks_of(root, genres=["Rock", "Folk"])} == {"Rock", "Folk"}
    with pytest.raises(
        UserError, match="small subset has no 'Hiphop'; did you mean Hip-Hop. It has Folk, Hip-Hop, Rock"
    ):
        tracks_of(root, genres=["Rock", "Hiphop"])


def test_two_rows_of_one_id_are_refused(make_fma, tmp_path):
    with pytest.raises(UserError, match="names the track '000002' 2 times"):
        tracks_of(make_fma(tmp_path, [*ROWS, ROWS[0]]))


def without_column(pair):
    def change(rows):
        place = [*zip(rows[0], rows[1], strict=True)].index(pair)
        return [row[:place] + row[place + 1 :] for row in rows]

    return change


def with_cell(pair, value):
    def change(rows):
        place = [*zip(rows[0], rows[1], strict=True)].index(pair)
        rows[3][place] = value
        return rows

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows[1:], "does not have two header rows and then a row that begins with track_id"),
        (lambda rows: rows[2:], "does not have two header rows"),
        (lambda rows: [], "does not have two header rows"),
        (without_column(("track", "genre_top")), r"has no column \('track', 'genre_top'\)"),
        (lambda rows: [*rows, ["77", "x"]], "line 12 has 2 cells, too few for the header"),
        (lambda rows: [*rows, ["abc", *rows[-1][1:]]], "the track is 'abc': expected a number of up to six digits"),
        (lambda rows: [*rows, ["-1", *rows[-1][1:]]], "the track is '-1'"),
        (with_cell(("set", "split"), "dev"), "the split is 'dev': expected one of training, validation, test"),
        (with_cell(("set", "subset"), "huge"), "the subset is 'huge': expected small, medium or large"),
    ],
)
def test_a_table_of_another_layout_is_refused_with_the_source_of_the_right_one(make_fma, tmp_path, change, message):
    root = make_fma(tmp_path, ROWS)
    edit(root, change)
    with pytest.raises(UserError, match=message):
        tracks_of(root)


def test_a_cell_may_be_long_and_a_table_may_be_no_text(make_fma, tmp_path):
    root = make_fma(tmp_path, ROWS)
    edit(root, with_cell(("artist", "bio"), "x" * 200_000))
    assert len(tracks_of(root)) == 4
    edit(root, with_cell(("artist", "bio"), "x" * (2**24 + 1)))
    with pytest.raises(UserError, match=r"is not CSV \(field larger than field limit"):
        tracks_of(root)
    (root / "fma_metadata" / "tracks.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="is not UTF-8 text: expected the tracks.csv of fma_metadata.zip"):
        tracks_of(root)


def test_missing_files_are_named_with_the_command_that_downloads_them(make_fma, tmp_path):
    with pytest.raises(UserError, match=r"tracks\.csv cannot be read.*`beamtune download fma_metadata` downloads it"):
        tracks_of(tmp_path)
    make_fma(tmp_path, ROWS)
    with pytest.raises(UserError, match="fma_medium holds no mp3 files: `beamtune download fma_medium root="):
        tracks_of(tmp_path, subset="medium")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"subset": "tiny"}, "dataset.subset=tiny: expected one of small, medium, large, full"),
        ({"group": "artists"}, "did you mean artist"),
        ({"genres": ["Rock"]}, "expected two genres or more"),
        ({"root": ""}, "dataset.root=: expected a path"),
    ],
)
def test_settings_that_mean_nothing_are_refused(values, message):
    with pytest.raises(UserError, match=message):
        FmaDatasetConfig(**values)
