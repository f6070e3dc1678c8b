"""A hash of the decoded samples of a file: equal before and after a change of its tags."""

import hashlib
from typing import BinaryIO

import numpy as np

from beam_pipelines.audio.choose_decoder import Limits, decode
from beam_pipelines.audio.decode import AudioStream
from beam_pipelines.audio.unexpected import unexpected_errors
from beam_pipelines.audio.windows import LONGEST_FILE_S


@unexpected_errors("decode")
def audio_hash(file: BinaryIO) -> str:
    """Returns the SHA-256, in hex, of rate, channels and all decoded samples, little-endian float32.

    Args:
        file: The file, open for reading and seeking.

    Raises:
        AudioError: The file cannot be decoded.
    """
    return decode(file, _hash, limits=Limits(max_duration_s=LONGEST_FILE_S)).result


def _hash(stream: AudioStream) -> str:
    digest = hashlib.sha256(f"{stream.sample_rate_hz} {stream.channels}\n".encode())
    for block in stream.blocks(max_duration_s=LONGEST_FILE_S):
        digest.update(np.ascontiguousarray(block, dtype="<f4").data)
    return digest.hexdigest()
