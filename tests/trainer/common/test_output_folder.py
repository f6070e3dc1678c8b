import pytest

from beam_pipelines.common.errors import UserError
from beam_pipelines.common.lease import LEASE_FILES
from trainer.common.output_folder import check_output_dir


def check_folder(path):
    check_output_dir(str(path), written="report.json", command="report")


def test_new_empty_and_own_folders_are_accepted(tmp_path):
    check_folder(tmp_path / "new")
    check_folder(tmp_path)
    (tmp_path / LEASE_FILES[0]).touch()
    check_folder(tmp_path)
    (tmp_path / "report.json").touch()
    (tmp_path / "notes.txt").touch()
    check_folder(tmp_path)


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UserError, match=r"a new or empty folder, or one that beamtune report has written"):
        check_folder(tmp_path)
