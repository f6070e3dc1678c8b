"""What the decoders have in common: a stream of blocks of samples, and the errors."""

import math
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

# libsndfile accepts up to 1024 channels, which music does not have and which would need a block of memory each.
_MAX_CHANNELS = 64
# Samples in memory are resampled this many at a time.
_BLOCK_FRAMES = 1 << 16
_MIN_SOURCE_RATE_HZ = 1_000
_MAX_SOURCE_RATE_HZ = 768_000
# The largest scale in use is that of 32-bit integers as floats. The power of much larger samples overflows float32.
_LARGEST_SAMPLE = 2.0**31

# (frames, channels)
Block = npt.NDArray[np.float32]


class AudioError(Exception):
    """A clip that cannot be used.

    Attributes:
        reason: A short name of the kind of problem, e.g. "undecodable".
        message: The problem in a sentence.
        stage: The stage that failed, e.g. "decode".
    """

    def __init__(self, reason: str, message: str, *, stage: str = "decode") -> None:
        super().__init__(reason, message)
        self.reason = reason
        self.message = message
        self.stage = stage

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"


class DecoderError(AudioError):
    """A decoder cannot decode a file; another one may be able to."""


class AudioStream:
    """An open file that is decoded block by block, with all its channels.

    Attributes:
        decoder: "libsndfile" or "ffmpeg"; "samples" for samples in memory.
        sample_rate_hz: Frames per second of the file. (A frame is one sample of each channel.)
        channels: Channels of the file.
        num_stated: The number of frames according to the headers; None if the decoder does not know it.
        num_decoded: The number of frames that `blocks` has yielded.
        is_cut: Whether the file is longer than the `max_duration_s` of `blocks`; valid after the last block.
        lost_s: Seconds of audio in damaged packets that were skipped, as far as their duration is known.
        error: The error that ended decoding after some frames had been decoded; or None.
    """

    def __init__(
        self,
        *,
        decoder: str,
        sample_rate_hz: int,
        channels: int,
        num_stated: int | None,
        decode: Callable[[int], Iterator[Block]],
    ) -> None:
        """Starts at the beginning of the file.

        Args:
            decoder: The name of the decoder.
            sample_rate_hz: Frames per second.
            channels: Channels of the file.
            num_stated: The number of frames according to the headers.
            decode: Takes a number of frames; yields blocks until the file ends or they have at least that many frames.

        Raises:
            DecoderError: The rate or the number of channels is out of range.
        """
        check_form(channels=channels, sample_rate_hz=sample_rate_hz)
        self.decoder = decoder
        self.sample_rate_hz = sample_rate_hz
        self.channels = channels
        self.num_stated = num_stated
        self.num_decoded = 0
        self.is_cut = False
        self.lost_s = 0.0
        self.error: DecoderError | None = None
        self._decode = decode

    @property
    def decoded_s(self) -> float:
        """Seconds of audio in the blocks so far."""
        return self.num_decoded / self.sample_rate_hz

    def blocks(self, *, max_duration_s: float) -> Iterator[Block]:
        """Yields the samples in order, once; full scale is [-1, 1]. The next block may overwrite the previous one.

        Args:
            max_duration_s: Decoding stops after this many seconds of audio.

        Raises:
            DecoderError: The file cannot be decoded, or holds no samples.
        """
        max_frames = round(max_duration_s * self.sample_rate_hz)
        # One frame past the limit shows whether the file ends there.
        blocks = self._decode(max_frames + 1)
        while (block := self._next(blocks)) is not None:
            frames_left = max_frames - self.num_decoded
            if len(block) > frames_left:
                self.is_cut = True
                block = block[:frames_left]
            self.num_decoded += len(block)
            if len(block) > 0:
                yield block
        if self.num_decoded == 0:
            raise self.error or DecoderError("no_audio", "the file decodes to no samples")

    def _next(self, blocks: Iterator[Block]) -> Block | None:
        try:
            return next(blocks, None)
        except DecoderError as error:
            self.error = error
            return None


def stream_samples(samples: Block, sample_rate_hz: int) -> AudioStream:
    """Returns samples in memory as a file that is decoded block by block.

    Args:
        samples: (frames, channels) float32; full scale is [-1, 1].
        sample_rate_hz: Frames per second.

    Raises:
        AudioError: The rate or the number of channels is out of range.
    """

    def decode(num_frames: int) -> Iterator[Block]:
        for start in range(0, min(num_frames, len(samples)), _BLOCK_FRAMES):
            yield samples[start : min(start + _BLOCK_FRAMES, num_frames)]

    return AudioStream(
        decoder="samples",
        sample_rate_hz=sample_rate_hz,
        channels=samples.shape[1],
        num_stated=len(samples),
        decode=decode,
    )


def check_finite(samples: npt.NDArray[np.float32]) -> None:
    """Checks that samples and their power are finite.

    Raises:
        AudioError: They are not.
    """
    # max() and min() return NaN if any sample is NaN.
    largest = max(float(samples.max(initial=0.0)), -float(samples.min(initial=0.0)))
    if not math.isfinite(largest):
        raise AudioError("not_finite", "the decoded samples are not all finite numbers")
    if largest > _LARGEST_SAMPLE:
        raise AudioError("not_finite", f"the decoded samples go up to {largest:.0e}, where full scale is 1")


def check_form(*, channels: int, sample_rate_hz: int) -> None:
    """Checks that the number of channels and the sample rate are in the range of music.

    Raises:
        DecoderError: They are not.
    """
    if not 1 <= channels <= _MAX_CHANNELS:
        raise DecoderError("bad_header", f"the file says it has {channels} channels: expected 1 to {_MAX_CHANNELS}")
    if not _MIN_SOURCE_RATE_HZ <= sample_rate_hz <= _MAX_SOURCE_RATE_HZ:
        raise DecoderError(
            "bad_header",
            f"the file says its rate is {sample_rate_hz} Hz: expected {_MIN_SOURCE_RATE_HZ} to {_MAX_SOURCE_RATE_HZ}",
        )
