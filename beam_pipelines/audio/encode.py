"""Encoding float samples as 16-bit PCM in WAV or FLAC files.

libsndfile writes the files, but `to_pcm16` converts the samples: libsndfile would scale them by 32768 or by 32767,
depending on its settings, and the hash of a track's content must not change when the track is written and read again.
"""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import soundfile

# The sizes in a WAV header have 32 bits and include a part of the header.
_WAV_MAX_BYTES = 2**32 - 4096
_FLAC_MAX_CHANNELS = 8
_FLAC_MAX_RATE_HZ = 655_350
# Above this the header of a FLAC frame has the rate in tens of Hz.
_FLAC_MAX_ODD_RATE_HZ = 65_535


def to_pcm16(samples: npt.NDArray[np.float32]) -> npt.NDArray[np.int16]:
    """Returns float samples as little-endian 16-bit ones of the same shape: rint(32768 x), clipped to 16 bits.

    libsndfile decodes a 16-bit sample s to s / 32768, so 16-bit audio is restored exactly.
    """
    scaled = samples * np.float32(32768.0)
    np.rint(scaled, out=scaled)
    # Clipping takes longer than checking whether it is needed.
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
    """Opens a file of 16-bit PCM; yields a function that writes a block of samples, (frames, channels) float32.

    Args:
        target: A file in memory, or the descriptor of an empty local file, which stays open. (Not a local file object:
            libsndfile would ignore an error in its `write`.)
        audio_format: wav or flac.
        sample_rate_hz: Frames per second.
        channels: Channels of every block.

    Raises:
        OSError: The file cannot be written, e.g. because the disk is full.
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


def format_problem(audio_format: str, *, sample_rate_hz: int, channels: int) -> str | None:
    """Returns why a format cannot hold audio of this rate and these channels, as a sentence; None if it can."""
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


def max_duration_s(audio_format: str, *, sample_rate_hz: int, channels: int) -> float:
    """Returns the length of audio that a file of a format can hold, in seconds."""
    return _WAV_MAX_BYTES / (2 * channels * sample_rate_hz) if audio_format == "wav" else float("inf")
