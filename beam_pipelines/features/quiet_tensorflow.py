"""What is set before TensorFlow is imported. Nothing here imports it."""

import os

from beam_pipelines.audio.quiet_decoders import silenced_decoders
from beam_pipelines.common.bucket_client import is_installed
from beam_pipelines.common.while_importing import while_importing

_FATAL = "3"


def set_up_tensorflow() -> None:
    """Chooses Keras' backend, and hides what TensorFlow logs, unless TF_CPP_MIN_LOG_LEVEL asks for it.

    Errors are raised as exceptions, and other messages, such as those on missing GPU libraries, would hide the output
    of the command.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"
    if not is_installed():
        # Then TensorFlow accesses buckets, and `common/retries.py` repeats its operations for longer than these 2 s.
        os.environ.setdefault("GCS_RETRY_CONFIG_MAX_RETRIES", "4")
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", _FATAL) == _FATAL:
        # From 2.18 on its libraries log before they read the level.
        while_importing("tensorflow", silenced_decoders)
