"""Downloads YAMNet's weights, which Google publishes, to the cache folder."""

import os

from beam_pipelines.common.errors import RunFailedError, UserError
from beam_pipelines.download.disk import writing
from beam_pipelines.download.download_progress import DownloadProgress
from beam_pipelines.download.file_lock import locked
from beam_pipelines.download.http_download import DEFAULT_POLICY, RetryPolicy, download_file

YAMNET_WEIGHTS_URL = "https://storage.googleapis.com/audioset/yamnet.h5"

_ESTIMATED_BYTES = 15 * 2**20
_MAX_BYTES = 2 * _ESTIMATED_BYTES


def fetch_yamnet_weights(path: str, *, url: str = YAMNET_WEIGHTS_URL, policy: RetryPolicy = DEFAULT_POLICY) -> None:
    """Downloads the weights unless the file exists. Processes that need them at the same time wait for the first one.

    Google publishes no checksum. `beam_pipelines/features/yamnet.py` checks the layers' shapes and predictions instead.

    Args:
        path: The file to create; its folder is created too.
        url: The address.
        policy: When to retry and when to give up.

    Raises:
        UserError: The address is wrong, or the folder cannot be written.
        RunFailedError: The server cannot be reached.
    """
    if os.path.isfile(path):
        return
    folder = os.path.dirname(path)
    with writing(folder):
        os.makedirs(folder, exist_ok=True)
    with (
        locked(f"{path}.lock", wait=True),
        DownloadProgress("YAMNet's weights", estimated_bytes=_ESTIMATED_BYTES) as progress,
    ):
        try:
            download_file(
                url,
                path,
                sha1=None,
                max_bytes=_MAX_BYTES,
                progress=progress,
                policy=policy,
            )
        except (UserError, RunFailedError) as error:
            raise type(error)(f"{error}; or download the file in another way and put it at {path}") from error
