"""Names the finished runs near the working folder, for the message of a command that lacks one."""

import glob
import os

from beam_pipelines.common.output_streams import shown_names

# Where the examples of the documentation put them: those of train, of quick and of the demo.
_PLACES = ("runs/*", "*/runs/*", "*/*/run")


def nearby_runs() -> str:
    """Returns the end of a message, such as "; runs here: runs/b, runs/a", the latest first; "" without runs."""
    found = [
        os.path.dirname(path)
        for place in _PLACES
        for path in glob.glob(os.path.join(place, "_SUCCESS"))
        if os.path.isfile(os.path.join(os.path.dirname(path), "config.yaml"))
    ]
    latest = sorted(sorted(found), key=os.path.getmtime, reverse=True)
    return f"; runs here: {shown_names(latest)}" if latest else ""
