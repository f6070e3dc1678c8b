"""The entry point of the image `trainer`: Beam's boot program where Beam starts a worker, and `beamtune` otherwise.

`beamtune launch dataflow` gives one image both to the job that starts the pipeline and to the pipeline's workers. By
Beam's contract (https://s.apache.org/beam-fn-api-container-contract) a worker starts with `--id=…`, and a pool of them
with `--worker_pool`.
"""

import os
import sys

_BOOT = "/opt/apache/beam/boot"
_OPTIONS_OF_BEAM = ("id", "worker_pool", "setup_only")


def program(words: list[str]) -> str:
    """Returns the program that words are for."""
    options = {word.lstrip("-").partition("=")[0] for word in words if word.startswith("-")}
    return "beamtune" if options.isdisjoint(_OPTIONS_OF_BEAM) else _BOOT


if __name__ == "__main__":
    name = program(sys.argv[1:])
    os.execvp(name, [name, *sys.argv[1:]])  # noqa: S606
