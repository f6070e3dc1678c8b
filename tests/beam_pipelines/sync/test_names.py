import pytest

from beam_pipelines.sync.names import (
    file_problem,
    is_leftover,
    is_own,
    object_problem,
    part_name,
    temporary_name,
)
from beam_pipelines.sync.trees import TreeFile


@pytest.mark.parametrize(
    "name",
    [
        ".beamtune-lease",
        "runs/first/.beamtune-lease",
        ".beamtune-update-lease",
        ".fma_small.lock",
        "shards/0123.tmp",
        "fma_small.zip.partial",
        "fma_small.extracting/000/000002.mp3",
        "out/.0123.probe",
    ],
)
def test_leases_and_temporary_files_are_beamtunes_own(name):
    assert is_own(name)


@pytest.mark.parametrize(
    "name",
    ["a.mp3", "tmp", "tmp/a.mp3", "a.tmp.mp3", ".hidden", "uv.lock", "partial", "beamtune-lease", "x.tmp/a", "a.lock"],
)
def test_other_files_are_copied(name):
    assert not is_own(name)


def test_temporary_names_are_own_short_and_of_one_content_of_a_file():
    file = TreeFile("a/" + "x" * 255, 7, generation=3)
    name = temporary_name(file)
    assert name.rpartition("/")[0] == "a"
    assert len(name.rpartition("/")[2]) < 100
    others = [
        TreeFile(file.name, 8, generation=3),
        TreeFile(file.name, 7, generation=4),
        TreeFile(file.name, 7, generation=3, modified_ns=1),
        TreeFile("a/y", 7, generation=3),
    ]
    assert len({name, *map(temporary_name, others)}) == 5
    assert temporary_name(TreeFile(file.name, 7, generation=3)) == name
    for own in (name, part_name(file, 0), part_name(file, 31)):
        assert is_own(own) and is_leftover(own)
    assert "/" not in part_name(file, 0)
    assert not is_leftover("a/other.tmp")


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("a/b.mp3", None),
        ("ä/\U0001f3b5.mp3", None),
        ("tab\t\x1b[31m.mp3", None),
        ("a*[b]?#%2F.mp3", None),
        ("x" * 1024, "names of more than 1024 bytes, which no object has"),
        ("x" * 1022, None),
        ("\xe4" * 512, "names of more than 1024 bytes, which no object has"),
        ("two\nlines", "names with a line break, which no object has"),
        ("two\rlines", "names with a line break, which no object has"),
        ("latin1-\udce4", "names that are not UTF-8"),
    ],
)
def test_names_of_files_that_no_object_can_have(name, problem):
    assert object_problem(name, prefix="p/") == problem


@pytest.mark.parametrize(
    "name",
    ["..", "../x", "a/../x", "a/..", "/etc/passwd", "a//b", "a/", ".", "./a", "a/./b", "", "nul\0.mp3"],
)
def test_names_of_objects_that_are_no_paths_in_the_folder(name):
    assert file_problem(name, folder="/music") == "objects whose names cannot be paths in a folder"


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("a/b.mp3", None),
        ("...", None),
        ("..a/b..", None),
        (" ", None),
        ("back\\slash", None),
        ("x" * 255, None),
        ("\xe4" * 128, "objects with a part of the name of more than 255 bytes, which no file has"),
        ("a/" * 100 + "x", "objects more than 100 levels down"),
        ("a/" * 99 + "x", None),
    ],
)
def test_names_of_objects_that_are_too_long_for_a_disk(name, problem):
    assert file_problem(name, folder="/music") == problem


def test_a_path_that_is_too_long_for_a_disk():
    folder = "/" + "/".join(["x" * 250] * 16)
    assert file_problem("a" * 50, folder=folder) is None
    assert file_problem("a" * 150, folder=folder) == "objects whose path would have more than 4095 bytes"
    assert file_problem("a", folder=folder + "x" * 60) is not None  # the temporary name is longer
