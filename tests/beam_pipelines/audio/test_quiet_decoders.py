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
def test_output_of_c_is_discarded_and_that_of_python_is_not():
    done = subprocess.run(script_command(SCRIPT), capture_output=True, text=True, check=True)
    assert done.stderr == "from Python\nfrom C again\nfrom Python again\n"


OVERLAPPING = """
import os, sys
from beam_pipelines.audio.quiet_decoders import silenced_decoders
first, second = silenced_decoders(), silenced_decoders()
first.__enter__()
second.__enter__()
first.__exit__(None, None, None)
os.write(2, b"from C\\n")
second.__exit__(None, None, None)
os.write(2, b"from C again\\n")
print("from Python again", file=sys.stderr)
"""


def test_bodies_that_overlap_as_in_two_threads_restore_the_descriptor_at_the_last_end():
    done = subprocess.run(script_command(OVERLAPPING), capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr == "from C again\nfrom Python again\n"


CLOSED = """
import os, sys
sys.stderr = None
for descriptor in sys.argv[1:]:
    os.close(int(descriptor))
from beam_pipelines.audio.quiet_decoders import silenced_decoders
with silenced_decoders():
    pass
print("done")
"""


@pytest.mark.parametrize("descriptors", [[], ["2"]])
def test_a_closed_standard_error_stays_closed(descriptors):
    done = subprocess.run(script_command(CLOSED) + descriptors, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "done\n"
