import re
import subprocess

import pytest
from python_script import script_command

from beam_pipelines.download.catalog import ARCHIVES

# As their authors publish them.
SHA1 = {
    "fma_metadata": "f0df49ffe5f2a6008d7dc83c6915b31835dfe733",
    "fma_small": "ade154f733639d52e35e32f5593efe5be76c6d70",
    "fma_medium": "c67b69ea232021025fca9231fc1c7c1a063ab50b",
    "fma_large": "497109f4dd721066b5ce5e5f250ec604dc78939e",
    "fma_full": "0f0ace23fbe9ba30ecb7e95f763e435ea802b8ab",
}
GIB = {"fma_metadata": 342 / 1024, "fma_small": 7.2, "fma_medium": 22, "fma_large": 93, "fma_full": 879}


def test_the_archives_are_the_published_ones():
    assert {name: archive.sha1 for name, archive in ARCHIVES.items()} == SHA1
    assert {name: archive.size_bytes for name, archive in ARCHIVES.items()} == {
        name: round(gib * 2**30) for name, gib in GIB.items()
    }
    for name, archive in ARCHIVES.items():
        assert (archive.name, archive.filename) == (name, f"{name}.zip")
        assert re.fullmatch("[0-9a-f]{40}", archive.sha1)


def test_the_bounds_leave_a_tenth_for_audio():
    for name, archive in ARCHIVES.items():
        share = archive.max_extracted_bytes / archive.size_bytes
        assert 11 < share < 13 if name == "fma_metadata" else 1.09 < share <= 1.1


@pytest.mark.slow
def test_downloading_needs_neither_beam_nor_tensorflow():
    script = (
        "import sys, beam_pipelines.download.fetch\n"
        "print([name for name in ('apache_beam', 'tensorflow', 'keras', 'librosa') if name in sys.modules])\n"
    )
    done = subprocess.run(script_command(script), capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
