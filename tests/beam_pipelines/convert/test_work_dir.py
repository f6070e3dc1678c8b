import pytest

from beam_pipelines.common import storage
from beam_pipelines.convert.work_dir import relative_path


@pytest.mark.parametrize("folder", ["in", "in/", "gs://bucket/in", "/"])
def test_relative_paths(folder):
    assert relative_path(storage.join(folder, "a/b.mp3"), folder) == "a/b.mp3"
