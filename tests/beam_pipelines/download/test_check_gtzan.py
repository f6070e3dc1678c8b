import os
import tarfile

import pytest

from beam_pipelines.common.errors import UserError
from beam_pipelines.download.check_gtzan import CLIPS_PER_GENRE, GENRES, check_gtzan

LAYOUTS = {"genres": "au", "Data/genres_original": "wav"}
ALL_OF_IT = [
    f"{'genre':<9}  clips  missing",
    *(f"{genre:<9}    100  -" for genre in GENRES),
    "jazz.00054 of the common .wav copy cannot be decoded: beamtune prepare skips it and reports it",
]


def names_in(layout, *, without=()):
    return [
        f"{layout}/{genre}/{genre}.{number:05d}.{LAYOUTS[layout]}"
        for genre in GENRES
        for number in range(CLIPS_PER_GENRE)
        if f"{genre}.{number:05d}" not in without
    ]


@pytest.fixture
def make_copy(tmp_path, make_zip, make_tar):
    """Writes empty files of these names: in a folder, a zip or a tar."""

    def make(kind, names):
        if kind == "zip":
            return make_zip(dict.fromkeys(names, b""), "genres.zip")
        if kind == "tar.gz":
            return make_tar(dict.fromkeys(names, b""), "genres.tar.gz")
        for name in names:
            path = tmp_path / "copy" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path / "copy"

    return make


@pytest.mark.parametrize("kind", ["folder", "zip", "tar.gz"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_complete_copy_is_counted_and_nothing_is_extracted(tmp_path, make_copy, capsys, kind, layout):
    beside = ["._genres", "genres/bextract_single.mf", "Data/images_original/blues/blues00000.png"]
    beside += ["__MACOSX/genres/blues/._blues.00000.au", "genres/blues/._blues.00000.au", "Data/features_30_sec.csv"]
    path = make_copy(kind, names_in(layout) + beside)
    before = os.listdir(tmp_path)
    check_gtzan(str(path))
    assert capsys.readouterr().out.splitlines() == [
        *ALL_OF_IT,
        f"next: beamtune prepare dataset=gtzan dataset.root={path}",
    ]
    assert os.listdir(tmp_path) == before


def test_the_folder_itself_may_hold_the_genres(make_copy, capsys):
    path = make_copy("folder", names_in("genres"))
    check_gtzan(f"{path}/genres/")
    assert capsys.readouterr().out.splitlines()[:-1] == ALL_OF_IT


def test_missing_clips_are_named(make_copy, capsys):
    without = ["jazz.00054", "rock.00000", "rock.00098", "rock.00099"]
    path = make_copy("zip", names_in("genres", without=without))
    with pytest.raises(UserError) as caught:
        check_gtzan(str(path))
    lines = capsys.readouterr().out.splitlines()
    assert lines[GENRES.index("jazz") + 1] == "jazz          99  00054"
    assert lines[GENRES.index("rock") + 1] == "rock          97  00000, 00098-00099"
    assert len(lines) == 11
    assert str(caught.value) == (
        f"{path}: 4 clips missing (jazz.00054, rock.00000, rock.00098, rock.00099): expected clips 00000 to 00099 "
        "of each genre once; fix the copy or get another"
    )


def test_a_missing_genre_is_a_range_and_named_in_part(make_copy, capsys):
    path = make_copy("tar.gz", [name for name in names_in("genres") if "/metal/" not in name])
    first = ", ".join(f"metal.{number:05d}" for number in range(10))
    with pytest.raises(UserError, match=rf"100 clips missing \({first} and 90 more\)"):
        check_gtzan(str(path))
    assert "metal          0  00000-00099" in capsys.readouterr().out.splitlines()


def test_doubled_clips_are_named(make_copy):
    names = [*names_in("genres"), "Data/genres_original/pop/pop.00007.wav", "genres/blues/blues.00001.wav"]
    with pytest.raises(UserError, match=r"2 clips present more than once \(blues.00001, pop.00007\): expected"):
        check_gtzan(str(make_copy("folder", names)))


def test_unknown_clips_are_named(make_copy):
    names = [*names_in("genres"), "genres/pop/pop.00100.au", "genres/pop/rock.00001.au"]
    with pytest.raises(UserError, match=r": 1 clip unknown \(pop.00100\): expected"):
        check_gtzan(str(make_copy("folder", names)))


@pytest.mark.parametrize("kind", ["folder", "zip", "tar.gz"])
def test_other_data_has_no_clips(make_copy, capsys, kind):
    with pytest.raises(UserError, match=r"has no clips of GTZAN: expected genres/<genre>/<genre>.00000.au or"):
        check_gtzan(str(make_copy(kind, ["rock/song.mp3"])))
    assert capsys.readouterr().out == ""


def test_without_a_path_the_error_explains_why_there_is_no_download():
    with pytest.raises(UserError) as caught:
        check_gtzan(None)
    for part in (
        "server is offline",
        "not cleared",
        "genres/<genre>/<genre>.00000.au",
        "genres_original",
        "gtzan_path=",
    ):
        assert part in str(caught.value)


def test_a_missing_path_is_named(tmp_path):
    with pytest.raises(UserError, match=f"^gtzan_path={tmp_path}/x: no such file or folder"):
        check_gtzan(f"{tmp_path}/x")


def test_a_file_that_is_not_an_archive_is_named(tmp_path):
    (tmp_path / "genres.zip").write_text("x")
    with pytest.raises(UserError, match=r"genres.zip starts with b'x': expected a .zip"):
        check_gtzan(str(tmp_path / "genres.zip"))


def test_a_truncated_archive_is_named(make_copy):
    path = make_copy("tar.gz", names_in("genres"))
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="is damaged or not supported"):
        check_gtzan(str(path))


def test_an_archive_with_a_huge_header_is_not_read(tmp_path):
    info = tarfile.TarInfo("genres/blues/blues.00000.au")
    info.size = 2**40
    (tmp_path / "genres.tar").write_bytes(info.tobuf())
    with pytest.raises(UserError, match="has a file of more than"):
        check_gtzan(str(tmp_path / "genres.tar"))
