"""What TensorFlow's libraries log while they are loaded is hidden, and what Python writes is not."""

import os
import subprocess
from pathlib import Path

import pytest
from python_script import script_command

# In place of TensorFlow, whose own messages depend on its version and on the machine.
FAKE = 'import os, sys; os.write(2, b"from C\\n"); print("from Python", file=sys.stderr)'

IMPORT = """
import importlib.util, os, sys
sys.path.insert(0, sys.argv[1])
from beam_pipelines.features.quiet_tensorflow import set_up_tensorflow
set_up_tensorflow()
set_up_tensorflow()
importlib.util.find_spec("tensorflow")
import tensorflow, tensorflow.keras
os.write(2, f"{os.environ['TF_CPP_MIN_LOG_LEVEL']} {os.environ['KERAS_BACKEND']}\\n".encode())
"""


@pytest.mark.parametrize(
    ("level", "written"),
    [(None, "from Python\n3 tensorflow\n"), ("0", "from C\nfrom Python\n0 tensorflow\n")],
)
def test_messages_of_the_import_are_hidden_unless_the_level_asks_for_them(
    tmp_path: Path, level: str | None, written: str
) -> None:
    (tmp_path / "tensorflow").mkdir()
    (tmp_path / "tensorflow" / "__init__.py").write_text(FAKE)
    (tmp_path / "tensorflow" / "keras.py").write_text("")
    environment = {key: value for key, value in os.environ.items() if key != "TF_CPP_MIN_LOG_LEVEL"}
    environment |= {} if level is None else {"TF_CPP_MIN_LOG_LEVEL": level}
    command = [*script_command(IMPORT), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment, check=True)
    assert done.stderr == written


def test_a_missing_tensorflow_is_still_missing(tmp_path: Path) -> None:
    script = """
import sys
from beam_pipelines.features.quiet_tensorflow import set_up_tensorflow
set_up_tensorflow()
sys.path = [sys.argv[1]]
try:
    import tensorflow
except ModuleNotFoundError as error:
    print(error.name)
"""
    command = [*script_command(script), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "tensorflow\n"
