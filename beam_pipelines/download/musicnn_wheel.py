"""Gets the wheel that holds musicnn's weights from the Python package index, to the cache folder.

pip downloads it, with the index, the proxies and the certificates of the user's own configuration. The wheel is not
installed, and none of its code is run.
"""

import hashlib
import math
import os
import subprocess
import sys

from beam_pipelines.common.cache import CACHE_VARIABLE
from beam_pipelines.common.errors import RunFailedError, UserError
from beam_pipelines.common.lease import holding
from beam_pipelines.download.disk import remove_if_there, writing

_REQUIREMENT = "musicnn==0.1.0"
_SHA256 = "f38a4890c648c1ddbb141c5d96d2b0a8cfcd36746002d896989f7b88beb65cfa"
_NUM_BYTES = 29_292_476
_TIMEOUT_S = 1800.0


def fetch_musicnn_wheel(path: str) -> None:
    """Gets the wheel unless the file exists. Processes that need it at the same time wait for the first one.

    Args:
        path: The file to create, with the wheel's own name; its folder is created too.

    Raises:
        UserError: What the index has is not the published wheel, or the folder cannot be written.
        RunFailedError: pip is missing, or cannot reach the index.
    """
    if os.path.isfile(path):
        return
    folder, name = os.path.split(path)
    staging = f"{path}.partial"
    with holding(folder, key=CACHE_VARIABLE, name=f"{name}.lock", wait_s=math.inf):
        if os.path.isfile(path):
            return
        remove_if_there(staging)  # what a killed process left
        print(f"downloading musicnn's weights ({_NUM_BYTES / 2**20:.0f} MiB) by pip", file=sys.stderr, flush=True)
        try:
            with writing(staging):
                os.mkdir(staging)
            _download(staging, wheel=path)
            with writing(path):
                os.replace(os.path.join(staging, name), path)
        finally:
            remove_if_there(staging)


def _download(folder: str, *, wheel: str) -> None:
    command = [
        # Without -P, a folder `pip/` in the working folder would be run.
        *(sys.executable, "-P", "-m", "pip", "download"),
        *("--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check", "--quiet"),
        *("--dest", folder, _REQUIREMENT),
    ]
    hint = f"get the file in another way and put it at {wheel}, or name it in features.musicnn.weights_path"
    try:
        done = subprocess.run(  # noqa: S603 - this Python, and no input from outside
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise RunFailedError(f"pip has not got {_REQUIREMENT} in {_TIMEOUT_S:.0f} s: run again; or {hint}") from error
    if done.returncode != 0:
        raise RunFailedError(f"pip cannot get {_REQUIREMENT} ({_reason(done.stderr)}): run again; or {hint}")
    name = os.path.basename(wheel)
    found = sorted(os.listdir(folder))
    if found != [name]:
        raise UserError(f"pip got {', '.join(found) or 'nothing'} for {_REQUIREMENT}, expected {name}: {hint}")
    sha256 = _sha256(os.path.join(folder, name))
    if sha256 != _SHA256:
        raise UserError(
            f"{name} as pip got it has the SHA-256 {sha256}, expected {_SHA256}: the index has another file than the "
            f"published one; {hint}"
        )


def _sha256(path: str) -> str:
    """Returns the SHA-256 of a file, of no more than one byte above the size of the wheel."""
    with open(path, "rb") as file:
        return hashlib.sha256(file.read(_NUM_BYTES + 1)).hexdigest()


def _reason(output: str) -> str:
    """Returns the first error of pip's output, or its last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
    return (errors or lines[-1:] or ["no output"])[0]
