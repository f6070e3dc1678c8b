"""Choosing the decoder of a file: libsndfile if it decodes the whole file, FFmpeg otherwise.

libsndfile is fast, but it stops at the length that the headers state and at the first damaged frame, without an error.
Therefore the expected length is determined first; if libsndfile does not decode as much, FFmpeg decodes the file from
the start.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO, Generic, TypeVar

from beam_pipelines.audio.checked_source import CheckedSource
from beam_pipelines.audio.decode import AudioError, AudioStream, DecoderError
from beam_pipelines.audio.expected_length import UNCOMPRESSED_KINDS, ExpectedLength, expected_length
from beam_pipelines.audio.ffmpeg import open_ffmpeg
from beam_pipelines.audio.libsndfile import open_libsndfile
from beam_pipelines.audio.other_content import name_content
from beam_pipelines.audio.unexpected import unexpected_errors

# Decoders differ in which samples they skip as the delay and the padding of a lossy encoder, by up to two mp3 frames.
_LOSSY_KINDS = ("mp3", "ogg")
_LOSSY_TOLERANCE_S = 0.06
# A smaller difference is no damage: containers count the delay of an encoder (AAC: 2112 samples), decoders skip it.
PARTIAL_TOLERANCE_S = 0.1

_Result = TypeVar("_Result")
_OpenStream = Callable[[CheckedSource], AbstractContextManager[AudioStream]]


@dataclass(frozen=True)
class Decoded(Generic[_Result]):
    """The result of decoding a file.

    Attributes:
        result: The result of the function that used the samples.
        decoder: "libsndfile" or "ffmpeg".
        decoded_s: Seconds of decoded audio.
        expected_s: Seconds of audio that the file should have according to its headers, at most `max_duration_s` and
            at least `decoded_s`; None if the headers do not say. Where `is_cut`, those of the part that was read:
            `decoded_s` and what the decoder had to skip.
        is_cut: Whether the file is longer than `max_duration_s`.
    """

    result: _Result
    decoder: str
    decoded_s: float
    expected_s: float | None
    is_cut: bool


@dataclass(frozen=True)
class Limits:
    """How much of a file is decoded, and how much must be decodable.

    Attributes:
        max_duration_s: Decoding stops after this many seconds of audio.
        min_decoded_fraction: A file is damaged if a smaller fraction of its expected duration can be decoded; in
            [0, 1].
    """

    max_duration_s: float
    min_decoded_fraction: float = 0.0


def is_partial(decoded_s: float | None, expected_s: float | None) -> bool:
    """Returns whether less was decoded than expected: the file is damaged or truncated."""
    return decoded_s is not None and expected_s is not None and decoded_s < expected_s - PARTIAL_TOLERANCE_S


def decode(file: BinaryIO, use: Callable[[AudioStream], _Result], *, limits: Limits) -> Decoded[_Result]:
    """Decodes a file with the decoder that reads all of it.

    Args:
        file: The file, open for reading and seeking.
        use: Reads the blocks of a stream, up to `limits.max_duration_s`, and returns the result. It is called again
            with a stream that starts at the beginning if the first decoder does not reach the end of the file.
        limits: How much to decode.

    Raises:
        AudioError: The file is empty, damaged, cannot be decoded or cannot be read; or `use` raised it.
    """
    source = CheckedSource(file)
    head = source.read(64)
    if not head:
        raise AudioError("empty_file", "the file has no bytes")
    with unexpected_errors("decode"):
        expected = expected_length(source, max_duration_s=limits.max_duration_s)
    if expected is not None and expected.kind in UNCOMPRESSED_KINDS and expected.num_expected == 0:
        raise AudioError("no_audio", "the header says that the file has no samples")
    start = 0 if expected is None else expected.start
    failures: list[DecoderError] = []
    most: Decoded[_Result] | None = None
    attempts: tuple[tuple[_OpenStream, bool], ...] = (
        (open_libsndfile, True),
        (partial(open_ffmpeg, start=start), False),
        (open_libsndfile, False),
    )
    for open_stream, is_strict in attempts:
        try:
            with ExitStack() as stack:
                with unexpected_errors("decode"):
                    stream = stack.enter_context(open_stream(source))
                if is_strict and not _is_trusted(stream, expected, limits):
                    continue
                decoded = _decoded(use(stream), stream, expected, limits)
        except DecoderError as error:
            failures.append(error)
            continue
        if _is_enough(decoded, stream, limits, is_strict=is_strict):
            return decoded
        if most is None or decoded.decoded_s > most.decoded_s:
            most = decoded
        if decoded.is_cut:  # no decoder returns more of it, and libsndfile does not say what it skips
            break
    if most is not None:
        raise AudioError(
            "damaged",
            f"{most.decoded_s:.2f} of {most.expected_s:.2f} s can be decoded: expected at least the fraction "
            f"min_decoded_fraction={limits.min_decoded_fraction}",
        )
    raise _no_decoder(failures, head)


def _is_trusted(stream: AudioStream, expected: ExpectedLength | None, limits: Limits) -> bool:
    """Returns whether the length that libsndfile states is that of the whole file."""
    if stream.num_stated is None:
        return False
    if expected is None:
        return True
    stated_s = min(stream.num_stated / stream.sample_rate_hz, limits.max_duration_s)
    present_s = min(expected.num_present / expected.sample_rate_hz, limits.max_duration_s)
    tolerance_s = _LOSSY_TOLERANCE_S if expected.kind in _LOSSY_KINDS else 0.5 / expected.sample_rate_hz
    return expected.is_regular and abs(stated_s - present_s) <= tolerance_s


def _decoded(result: _Result, stream: AudioStream, expected: ExpectedLength | None, limits: Limits) -> Decoded[_Result]:
    expected_s: float | None
    if stream.is_cut:
        expected_s = stream.decoded_s + stream.lost_s
    elif expected is not None:
        expected_s = expected.num_expected / expected.sample_rate_hz
    elif stream.num_stated is not None:
        expected_s = stream.num_stated / stream.sample_rate_hz
    else:
        expected_s = stream.decoded_s + stream.lost_s if stream.lost_s > 0 else None
    if expected_s is not None and not stream.is_cut:
        expected_s = max(min(expected_s, limits.max_duration_s), stream.decoded_s)
    return Decoded(
        result=result,
        decoder=stream.decoder,
        decoded_s=stream.decoded_s,
        expected_s=expected_s,
        is_cut=stream.is_cut,
    )


def _is_enough(decoded: Decoded[_Result], stream: AudioStream, limits: Limits, *, is_strict: bool) -> bool:
    if decoded.expected_s is None:
        return True
    if is_strict and not decoded.is_cut:
        most_frames = round(limits.max_duration_s * stream.sample_rate_hz)
        if stream.error is not None or stream.num_decoded < min(stream.num_stated or 0, most_frames):
            return False
    return decoded.decoded_s >= limits.min_decoded_fraction * decoded.expected_s - PARTIAL_TOLERANCE_S


def _no_decoder(failures: Sequence[DecoderError], head: bytes) -> AudioError:
    """Returns the error for a file that no decoder can decode."""
    error: AudioError | None = next((failure for failure in failures if failure.reason != "undecodable"), None)
    if error is None:
        content = name_content(head)
        causes = "; ".join(dict.fromkeys(failure.message.rstrip(".") for failure in failures))
        error = AudioError("undecodable", causes if content is None else f"it is {content}")
    error.__cause__ = failures[0].__cause__
    return error
