"""Converting one file: decoding, mixing, resampling and encoding block by block, in memory for a few blocks."""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import soxr

from beam_pipelines.audio.channels import to_mono
from beam_pipelines.audio.choose_decoder import Limits, decode, is_partial
from beam_pipelines.audio.decode import AudioError, AudioStream, Block, check_finite
from beam_pipelines.audio.encode import format_problem, max_duration_s, open_writer
from beam_pipelines.audio.unexpected import unexpected_errors
from beam_pipelines.convert.config import ConvertConfig
from beam_pipelines.convert.conversions import Conversion
from beam_pipelines.convert.reports import ConvertedFile

# A loud mp3 decodes to a few samples beyond full scale. Floats at the scale of integers have almost all of them there.
_MAX_CLIPPED_FRACTION = 0.05


@dataclass(frozen=True)
class TimedFile:
    """A file that was converted.

    Attributes:
        file: Its line of `converted.jsonl`.
        decode_s: The time taken to decode, mix and resample, in seconds.
        encode_s: The time taken to encode, in seconds.
    """

    file: ConvertedFile
    decode_s: float
    encode_s: float


def convert_file(
    conversion: Conversion,
    target: int,
    *,
    config: ConvertConfig,
    open_source: Callable[[str], BinaryIO],
) -> TimedFile:
    """Writes the converted file.

    Args:
        conversion: The file.
        target: The descriptor of an empty local file.
        config: The format, the rate and the channels of the result.
        open_source: Opens the file for reading and seeking.

    Raises:
        AudioError: The file cannot be read or decoded, the format cannot hold it, or a library raised an exception that
            is not expected.
        OSError: The target cannot be written.
    """
    try:
        with unexpected_errors("open"):
            source = open_source(conversion.source.uri)
    except OSError as error:
        message = " ".join(str(error).split())
        raise AudioError("unreadable", f"the file cannot be read: {message}", stage="open") from error

    def write(stream: AudioStream) -> _Output:
        return _write(stream, target, config=config)

    limits = Limits(max_duration_s=config.max_duration_s, min_decoded_fraction=config.min_decoded_fraction)
    started_s = time.perf_counter()
    with source:
        decoded = decode(source, write, limits=limits)
    elapsed_s, output = time.perf_counter() - started_s, decoded.result
    file = ConvertedFile(
        source=conversion.source.path,
        output=conversion.output,
        source_bytes=conversion.source.size_bytes,
        duration_s=output.num_frames / output.sample_rate_hz,
        sample_rate_hz=output.sample_rate_hz,
        channels=output.channels,
        is_cut=decoded.is_cut,
        is_truncated=decoded.is_cut or is_partial(decoded.decoded_s, decoded.expected_s),
        decoder=decoded.decoder,
        decoded_s=decoded.decoded_s,
        expected_s=decoded.expected_s,
    )
    return TimedFile(file=file, decode_s=elapsed_s - output.encode_s, encode_s=output.encode_s)


@dataclass(frozen=True)
class _Output:
    """The form and the length of what was written, and the time that encoding took."""

    num_frames: int
    sample_rate_hz: int
    channels: int
    encode_s: float


def _write(stream: AudioStream, target: int, *, config: ConvertConfig) -> _Output:
    """Writes a stream to a file, from the beginning of the file."""
    sample_rate_hz = stream.sample_rate_hz if config.sample_rate_hz is None else config.sample_rate_hz
    channels = stream.channels if config.channels is None else config.channels
    problem = format_problem(config.format, sample_rate_hz=sample_rate_hz, channels=channels)
    if problem is not None:
        raise AudioError("not_in_format", problem, stage="encode")
    if os.fstat(target).st_size > 0:  # written by a decoder that stopped before the end
        os.ftruncate(target, 0)
        os.lseek(target, 0, os.SEEK_SET)
    longest_s = max_duration_s(config.format, sample_rate_hz=sample_rate_hz, channels=channels)
    blocks = _decoded(stream, max_duration_s=min(config.max_duration_s, longest_s))
    num_frames = num_clipped = 0
    encode_s = 0.0
    with open_writer(target, audio_format=config.format, sample_rate_hz=sample_rate_hz, channels=channels) as write:
        mixed = (mix(block, channels=channels) for block in blocks)
        for block in resample(mixed, from_hz=stream.sample_rate_hz, to_hz=sample_rate_hz, channels=channels):
            started_s = time.perf_counter()
            write(block)
            encode_s += time.perf_counter() - started_s
            num_frames += len(block)
            num_clipped += int(np.count_nonzero(np.abs(block) > 1.0))
    if num_frames == 0:
        raise AudioError("no_audio", f"no sample is left of it at {sample_rate_hz} Hz", stage="resample")
    clipped_fraction = num_clipped / (num_frames * channels)
    if clipped_fraction > _MAX_CLIPPED_FRACTION:
        raise AudioError(
            "clipped",
            f"{clipped_fraction:.0%} of the samples are beyond full scale, which is 1.0: is it a file of floats at "
            "the scale of integers?",
            stage="encode",
        )
    return _Output(num_frames=num_frames, sample_rate_hz=sample_rate_hz, channels=channels, encode_s=encode_s)


def _decoded(stream: AudioStream, *, max_duration_s: float) -> Iterator[Block]:
    with unexpected_errors("decode"):
        yield from stream.blocks(max_duration_s=max_duration_s)


@unexpected_errors("mix")
def mix(block: Block, *, channels: int) -> Block:
    """Returns (frames, channels): the same channels, their mean for one channel, or mono twice for two.

    Raises:
        AudioError: Other numbers of channels, which would need a channel layout; or a sample is not finite.
    """
    if channels == block.shape[1]:
        mixed = block
    elif channels == 1:
        mixed = to_mono(block)[:, None]
    elif block.shape[1] == 1:
        mixed = np.repeat(block, channels, axis=1)
    else:
        raise AudioError(
            "not_mixable",
            f"the file has {block.shape[1]} channels, of which no {channels} can be made: channels=1 takes their mean, "
            "channels=null keeps them",
            stage="mix",
        )
    check_finite(mixed)
    return mixed


def resample(blocks: Iterable[Block], *, from_hz: int, to_hz: int, channels: int) -> Iterator[Block]:
    """Yields the samples at another rate, equal to those of `soxr.resample` on the whole signal.

    Args:
        blocks: (frames, channels) float32.
        from_hz: Their rate.
        to_hz: The new rate.
        channels: The channels of every block.
    """
    if from_hz == to_hz:
        yield from blocks
        return
    with unexpected_errors("resample"):
        resampler = soxr.ResampleStream(from_hz, to_hz, channels, dtype="float32", quality="HQ")
        for block in blocks:
            yield resampler.resample_chunk(np.ascontiguousarray(block))
        yield resampler.resample_chunk(np.empty((0, channels), dtype=np.float32), last=True)
