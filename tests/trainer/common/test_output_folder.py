import pytest

from beam_pipelines.common.errors import UserError
from beam_pipelines.common.lease import LEASE_FILES
from trainer.common.output_folder import check_output_dir, write_texts


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


def test_texts_are_written(tmp_path):
    write_texts(str(tmp_path), {"index.html": "<p>\n", "genres.csv": "é\r\n"})
    assert (tmp_path / "index.html").read_bytes() == b"<p>\n"
    assert (tmp_path / "genres.csv").read_bytes() == "é\r\n".encode()


def test_a_file_that_cannot_be_written_is_an_error_of_the_user(tmp_path):
    (tmp_path / "index.html").mkdir()
    with pytest.raises(UserError, match=r"output_dir=\S+ cannot be written to: "):
        write_texts(str(tmp_path), {"index.html": "<p>"})
