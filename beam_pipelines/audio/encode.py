"""Encoding: float samples to 16-bit PCM, in WAV or FLAC files.

libsndfile writes the files, but the samples are made 16-bit here: it would scale them by 32768 or by 32767 as its
settings say, and the hash of a track's content must come out the same from a file that was written.
"""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import soundfile

# The sizes in a WAV header have 32 bits, and count a part of the header too.
_WAV_MAX_BYTES = 2**32 - 4096
_FLAC_MAX_CHANNELS = 8
_FLAC_MAX_RATE_HZ = 655_350
# Above this a FLAC frame has its rate in tens of Hz only.
_FLAC_MAX_ODD_RATE_HZ = 65_535

AUDIO_FORMATS = ("wav", "flac")


def to_pcm16(samples: npt.NDArray[np.float32]) -> npt.NDArray[np.int16]:
    """Returns float samples as little-endian 16-bit ones of the same shape: rint(32768 x), kept within 16 bits.

    libsndfile decodes a 16-bit sample s to s / 32768, so that what was 16-bit comes back to the bit.
    """
    scaled = samples * np.float32(32768.0)
    np.rint(scaled, out=scaled)
    # Clipping takes longer than looking whether there is anything to clip.
    if scaled.max(initial=0.0) > 32767 or scaled.min(initial=0.0) < -32768:
        np.clip(scaled, -32768, 32767, out=scaled)
    pcm: npt.NDArray[np.int16] = scaled.astype("<i2")
    return pcm


def encode_wav(samples: npt.NDArray[np.float32], *, sample_rate_hz: int) -> bytes:
    """Returns a WAV file of 16-bit PCM.

    Args:
        samples: (frames,) or (frames, channels) float32; full scale is [-1, 1].
        sample_rate_hz: Frames per second.
    """
    file = io.BytesIO()
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    with open_writer(file, audio_format="wav", sample_rate_hz=sample_rate_hz, channels=channels) as write:
        write(samples)
    return file.getvalue()


@contextmanager
def open_writer(
    target: BinaryIO | int, *, audio_format: str, sample_rate_hz: int, channels: int
) -> Iterator[Callable[[npt.NDArray[np.float32]], None]]:
    """Begins a file of 16-bit PCM and yields what writes a block of samples, (frames, channels) float32, to it.

    Args:
        target: Where the file goes: in memory, or the descriptor of an empty file on disk, which stays open.
            (A file object on disk is no target: an error in its `write` would not come back through libsndfile.)
        audio_format: wav or flac.
        sample_rate_hz: Frames per second.
        channels: Channels of every block.

    Raises:
        OSError: The file cannot be written, as when the disk is full.
    """
    try:
        with soundfile.SoundFile(
            target,
            "w",
            samplerate=sample_rate_hz,
            channels=channels,
            format=audio_format.upper(),
            subtype="PCM_16",
            closefd=False,
        ) as file:
            yield lambda samples: file.write(to_pcm16(samples))
    except soundfile.LibsndfileError as error:
        raise OSError(
            f"libsndfile cannot write the {audio_format} file, is the disk full? {error.error_string}"
        ) from error


def why_not_in_format(audio_format: str, *, sample_rate_hz: int, channels: int) -> str | None:
    """Returns why files of a format cannot hold such audio, for a person; None where they can."""
    if audio_format == "wav":
        return None
    if channels > _FLAC_MAX_CHANNELS:
        return f"a FLAC file holds 1 to {_FLAC_MAX_CHANNELS} channels and not {channels}"
    if sample_rate_hz > _FLAC_MAX_RATE_HZ or (sample_rate_hz > _FLAC_MAX_ODD_RATE_HZ and sample_rate_hz % 10 != 0):
        return (
            f"a FLAC file holds rates up to {_FLAC_MAX_ODD_RATE_HZ} Hz, and multiples of 10 up to {_FLAC_MAX_RATE_HZ} "
            f"Hz, and not {sample_rate_hz} Hz"
        )
    return None


def longest_duration_s(audio_format: str, *, sample_rate_hz: int, channels: int) -> float:
    """Returns how much audio a file of a format can hold, in seconds."""
    return _WAV_MAX_BYTES / (2 * channels * sample_rate_hz) if audio_format == "wav" else float("inf")
