import subprocess

import pytest
from python_script import script_command

SCRIPT = """
import os, sys
from beam_pipelines.audio.quiet_decoders import silenced_decoders
with silenced_decoders():
    os.write(2, b"from C\\n")
    print("from Python", file=sys.stderr)
    try:
        with silenced_decoders():
            raise ValueError
    except ValueError:
        pass
os.write(2, b"from C again\\n")
print("from Python again", file=sys.stderr)
"""


@pytest.mark.slow
def test_c_is_silent_and_python_is_heard():
    done = subprocess.run(script_command(SCRIPT), capture_output=True, text=True, check=True)
    assert done.stderr == "from Python\nfrom C again\nfrom Python again\n"
