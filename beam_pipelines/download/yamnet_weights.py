"""YAMNet's weights, from where Google publishes them to the cache folder."""

import os

from beam_pipelines.common.errors import RunFailedError, UserError
from beam_pipelines.download.disk import writing
from beam_pipelines.download.http_file import DEFAULT_POLICY, RetryPolicy, download_file
from beam_pipelines.download.lock import locked
from beam_pipelines.download.progress import PhasedProgress

YAMNET_WEIGHTS_URL = "https://storage.googleapis.com/audioset/yamnet.h5"

_ESTIMATED_BYTES = 15 * 2**20
_MAX_BYTES = 2 * _ESTIMATED_BYTES


def fetch_yamnet_weights(path: str, *, url: str = YAMNET_WEIGHTS_URL, policy: RetryPolicy = DEFAULT_POLICY) -> None:
    """Downloads the weights unless they are there. They are there whole or not at all.

    Google publishes no checksum of them. What decides is how they load: layer by layer, each of its shape, and then by
    what the network hears (`beam_pipelines/features/yamnet.py`).

    Args:
        path: Where they go; the folder is made.
        url: Where they are.
        policy: How often to try, and how long to wait.

    Raises:
        UserError: The address is wrong, the folder cannot be written, or another process is downloading them.
        RunFailedError: The server cannot be reached.
    """
    if os.path.isfile(path):
        return
    folder = os.path.dirname(path)
    with writing(folder):
        os.makedirs(folder, exist_ok=True)
    with locked(f"{path}.lock"), PhasedProgress("YAMNet's weights", estimated_bytes=_ESTIMATED_BYTES) as progress:
        try:
            download_file(
                url,
                path,
                sha1=None,
                max_bytes=_MAX_BYTES,
                on_progress=progress.update,
                on_retry=progress.log,
                policy=policy,
            )
        except (UserError, RunFailedError) as error:
            raise type(error)(f"{error}; or get the file in another way and put it at {path}") from error
