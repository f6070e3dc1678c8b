"""Downloads YAMNet's weights, which Google publishes, to the cache folder."""

import math
import os

from beam_pipelines.common.cache import CACHE_VARIABLE
from beam_pipelines.common.errors import RunFailedError, UserError
from beam_pipelines.common.lease import holding
from beam_pipelines.download.download_progress import DownloadProgress
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
    folder, name = os.path.split(path)
    with (
        holding(folder, key=CACHE_VARIABLE, name=f"{name}.lock", wait_s=math.inf),
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
