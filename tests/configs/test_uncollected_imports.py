"""A command's large libraries are not searched for garbage; its own objects are."""

import json
import subprocess
from pathlib import Path

import pytest
from python_script import script_command

SCRIPT = """
import gc, json
from configs import uncollected_imports
sys.path.insert(0, {folder!r})
for _ in range({times}):
    uncollected_imports.install()
{before}
try:
    import keras
except ValueError:
    pass
class Node: pass
node = Node()
node.itself = node
del node
found = [sys.modules["observed"].enabled, gc.isenabled(), gc.get_freeze_count() >= 1000, gc.collect() >= 1]
print(json.dumps(found))
"""
# In the place of the real one. A module of its own outlives a failed import.
KERAS = """
import gc, sys, types
sys.modules["observed"] = types.ModuleType("observed")
sys.modules["observed"].enabled = gc.isenabled()
sys.modules["observed"].objects = [[] for _ in range(1000)]
"""


@pytest.mark.parametrize(
    ("times", "before", "end", "expected"),
    [
        (0, "", "", [True, True, False, True]),
        (1, "", "", [False, True, True, True]),
        (2, "", "", [False, True, True, True]),
        (1, "gc.disable()", "", [False, False, True, True]),
        (1, "", "raise ValueError", [False, True, True, True]),
    ],
)
def test_a_large_library_is_imported_without_collection(
    times: int, before: str, end: str, expected: list[bool], tmp_path: Path
) -> None:
    (tmp_path / "keras.py").write_text(KERAS + end)
    script = SCRIPT.format(folder=str(tmp_path), times=times, before=before)
    done = subprocess.run(script_command(script), capture_output=True, text=True, check=True, timeout=300)
    assert json.loads(done.stdout) == expected
