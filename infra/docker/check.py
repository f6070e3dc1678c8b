"""Ends the build of an image with another Python or another Beam than its boot program is for."""

import sys
from importlib.metadata import version

expected_python, expected_beam = sys.argv[1:]
found_python = f"{sys.version_info.major}.{sys.version_info.minor}"
for name, expected, found in (
    ("PYTHON_VERSION", expected_python, found_python),
    ("BEAM_VERSION", expected_beam, version("apache-beam")),
):
    if expected != found:
        sys.exit(f"{name}={expected}: expected {found}, which the image has")
