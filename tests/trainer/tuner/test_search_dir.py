"""Directories in which no search may be started."""

from pathlib import Path

import pytest

from beam_pipelines.common.errors import UserError
from trainer.tuner.search_dir import SearchDir


def test_a_file_and_a_folder_with_other_files_are_refused(tmp_path: Path) -> None:
    SearchDir(str(tmp_path / "new")).check_is_empty()
    (tmp_path / "song.mp3").write_text("")
    with pytest.raises(UserError, match="search_dir=.*song.mp3 is a file: choose a new or empty folder"):
        SearchDir(str(tmp_path / "song.mp3")).check_is_empty()
    with pytest.raises(UserError, match="is not empty and holds no search .song.mp3.: choose another search_dir"):
        SearchDir(str(tmp_path)).check_is_empty()
