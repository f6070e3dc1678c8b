"""What the decoders have in common: a stream of blocks of samples, and how they report that a file is bad."""

import math
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

# libsndfile itself accepts up to 1024 channels; no music has that many, and each one costs a block of memory.
_MAX_CHANNELS = 64
_MIN_SOURCE_RATE_HZ = 1_000
_MAX_SOURCE_RATE_HZ = 768_000
# No scale in use goes beyond 32-bit integers kept as floats. The power of what is far beyond is infinite in float32.
_LARGEST_SAMPLE = 2.0**31

# (frames, channels)
Block = npt.NDArray[np.float32]


class AudioError(Exception):
    """A clip that cannot be used.

    Attributes:
        reason: A short name to count by, e.g. "undecodable".
        message: What was found, for a person.
        stage: Where it was found, e.g. "decode".
    """

    def __init__(self, reason: str, message: str, *, stage: str = "decode") -> None:
        super().__init__(reason, message)
        self.reason = reason
        self.message = message
        self.stage = stage

    def __str__(self) -> str:
        return f"{self.reason}: {self.message}"


class DecoderError(AudioError):
    """A file that one decoder cannot decode; another may."""


class AudioStream:
    """An open file that is decoded as it is read, with all its channels.

    Attributes:
        decoder: "libsndfile" or "ffmpeg".
        sample_rate_hz: Frames per second, as the file has them. (A frame is a sample of each channel.)
        channels: Channels of the file.
        num_stated: How many frames the decoder expects from the headers; None where it does not know.
        num_decoded: How many frames `blocks` has yielded.
        is_cut: Whether the file goes on after what `blocks` was asked for; known when that has come to its end.
        lost_s: Seconds of audio in damaged parts that have been left out so far, where they say how long they are.
        error: What ended decoding before the end of the file, after some frames had been decoded; or None.
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
            num_stated: How many frames are to come, by the headers.
            decode: From a number of frames to blocks, until the file ends or they have that many frames or more.

        Raises:
            DecoderError: The rate or the number of channels is beyond reason.
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
        """Seconds of audio that `blocks` has yielded."""
        return self.num_decoded / self.sample_rate_hz

    def blocks(self, *, max_duration_s: float) -> Iterator[Block]:
        """Yields the samples in order, once; full scale is [-1, 1]. The next block may overwrite the one before.

        Args:
            max_duration_s: No more than this is decoded, in seconds of audio.

        Raises:
            DecoderError: The file cannot be decoded, or holds no samples.
        """
        most_frames = round(max_duration_s * self.sample_rate_hz)
        # One frame past the limit tells a file that ends there from one that goes on.
        blocks = self._decode(most_frames + 1)
        while (block := self._next(blocks)) is not None:
            frames_left = most_frames - self.num_decoded
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


def check_finite(samples: npt.NDArray[np.float32]) -> None:
    """Makes sure that samples are numbers that can be computed with.

    Raises:
        AudioError: Some are not, are infinite, or are so large that their power would be.
    """
    # A NaN is the largest and the smallest of whatever it is among.
    largest = max(float(samples.max(initial=0.0)), -float(samples.min(initial=0.0)))
    if not math.isfinite(largest):
        raise AudioError("not_finite", "the decoded samples are not all finite numbers")
    if largest > _LARGEST_SAMPLE:
        raise AudioError("not_finite", f"the decoded samples go up to {largest:.0e}, where full scale is 1")


def check_form(*, channels: int, sample_rate_hz: int) -> None:
    """Makes sure that a number of channels and a rate can be those of music.

    Raises:
        DecoderError: They cannot.
    """
    if not 1 <= channels <= _MAX_CHANNELS:
        raise DecoderError("bad_header", f"the file says it has {channels} channels: expected 1 to {_MAX_CHANNELS}")
    if not _MIN_SOURCE_RATE_HZ <= sample_rate_hz <= _MAX_SOURCE_RATE_HZ:
        raise DecoderError(
            "bad_header",
            f"the file says its rate is {sample_rate_hz} Hz: expected {_MIN_SOURCE_RATE_HZ} to {_MAX_SOURCE_RATE_HZ}",
        )
