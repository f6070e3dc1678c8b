import os

import pytest

from beam_pipelines.common.file_entry import FileEntry
from beam_pipelines.common.walk import BROKEN_LINK, LOOP, NO_FILE, TOO_DEEP, UNREADABLE, LeftOut, walk


def walked(root):
    """Returns the paths of the files, and the reasons by path, relative to the root."""
    found = list(walk(str(root)))
    files = [os.path.relpath(one.path, root) for one in found if isinstance(one, FileEntry)]
    return sorted(files), {os.path.relpath(one.path, root): one.reason for one in found if isinstance(one, LeftOut)}


@pytest.fixture
def music(tmp_path):
    for name in ("music/rock/a.mp3", "disk2/jazz/b.mp3", "disk2/jazz/live/c.mp3"):
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_text("x")
    return tmp_path / "music"


def test_a_linked_folder_is_followed(music):
    (music / "jazz").symlink_to("../disk2/jazz")
    assert walked(music) == (["jazz/b.mp3", "jazz/live/c.mp3", "rock/a.mp3"], {})


def test_folders_far_down_are_left_out(music):
    levels = ["d"] * 105
    music.joinpath(*levels).mkdir(parents=True)
    for name in (music.joinpath(*levels[:100], "in.mp3"), music.joinpath(*levels[:101], "out.mp3")):
        name.write_text("x")
    files, left_out = walked(music)
    assert files == ["/".join([*levels[:100], "in.mp3"]), "rock/a.mp3"]
    assert left_out == {"/".join(levels[:101]): TOO_DEEP}


def test_what_is_no_file_is_left_out(music):
    os.mkfifo(music / "rock" / "pipe.mp3")
    (music / "null.mp3").symlink_to(os.devnull)
    assert walked(music) == (["rock/a.mp3"], {"null.mp3": NO_FILE, "rock/pipe.mp3": NO_FILE})


def test_the_root_may_be_a_link(music, tmp_path):
    (tmp_path / "link").symlink_to("music")
    assert walked(tmp_path / "link") == (["rock/a.mp3"], {})


def test_each_folder_is_listed_once(music):
    (music / "again").symlink_to("rock")
    (music / "jazz").symlink_to("../disk2/jazz")
    (music / "jazz2").symlink_to("../disk2/jazz")
    (music / "live").symlink_to("../disk2/jazz/live")
    assert walked(music) == (
        ["jazz/b.mp3", "jazz/live/c.mp3", "rock/a.mp3"],
        {"again": LOOP, "jazz2": LOOP, "live": LOOP},
    )


def test_links_that_lead_in_a_circle_end(music, tmp_path):
    (music / "rock" / "up").symlink_to("..")
    (music / "rock" / "self").symlink_to(".")
    (music / "outside").symlink_to("../disk2")
    (tmp_path / "disk2" / "back").symlink_to("../music")
    (tmp_path / "disk2" / "parent").symlink_to("..")
    (music / "knot").symlink_to("knot")
    assert walked(music) == (
        ["outside/jazz/b.mp3", "outside/jazz/live/c.mp3", "rock/a.mp3"],
        {
            "rock/up": LOOP,
            "rock/self": LOOP,
            "outside/back": LOOP,
            "outside/parent": LOOP,
            "knot": BROKEN_LINK,
        },
    )


def test_broken_links_and_unreadable_folders_are_named(music, monkeypatch):
    (music / "gone").symlink_to("nowhere")
    (music / "rock" / "locked").mkdir()
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert walked(music) == (["rock/a.mp3"], {"gone": BROKEN_LINK, "rock/locked": UNREADABLE})


def test_linked_files_and_missing_folders(music, tmp_path):
    (music / "rock" / "linked.mp3").symlink_to("../../disk2/jazz/b.mp3")
    assert walked(music) == (["rock/a.mp3", "rock/linked.mp3"], {})
    assert walked(tmp_path / "absent") == ([], {})
