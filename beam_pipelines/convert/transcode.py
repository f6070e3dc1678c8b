"""Converting one file: decoding, mixing, resampling and encoding block by block, in memory for a few blocks."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import BinaryIO

import numpy as np
import soxr

from beam_pipelines.audio.decode import AudioError, AudioStream, Block, check_finite, open_audio
from beam_pipelines.audio.encode import format_problem, max_duration_s, open_writer
from beam_pipelines.audio.load import to_mono
from beam_pipelines.audio.unexpected import unexpected_errors
from beam_pipelines.convert.config import ConvertConfig
from beam_pipelines.convert.conversions import Conversion
from beam_pipelines.convert.reports import ConvertedFile


def convert_file(
    conversion: Conversion,
    target: int,
    *,
    config: ConvertConfig,
    open_source: Callable[[str], BinaryIO],
) -> ConvertedFile:
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
    with source, _opened(source) as stream:
        sample_rate_hz = stream.sample_rate_hz if config.sample_rate_hz is None else config.sample_rate_hz
        channels = stream.channels if config.channels is None else config.channels
        problem = format_problem(config.format, sample_rate_hz=sample_rate_hz, channels=channels)
        if problem is not None:
            raise AudioError("not_in_format", problem, stage="encode")
        longest_s = max_duration_s(config.format, sample_rate_hz=sample_rate_hz, channels=channels)
        blocks = _decoded(stream, max_duration_s=min(config.max_duration_s, longest_s))
        num_frames = 0
        with open_writer(target, audio_format=config.format, sample_rate_hz=sample_rate_hz, channels=channels) as write:
            mixed = (mix(block, channels=channels) for block in blocks)
            for block in resample(mixed, from_hz=stream.sample_rate_hz, to_hz=sample_rate_hz, channels=channels):
                write(block)
                num_frames += len(block)
        if num_frames == 0:
            raise AudioError("no_audio", f"no sample is left of it at {sample_rate_hz} Hz", stage="resample")
        return ConvertedFile(
            source=conversion.source.path,
            output=conversion.output,
            source_bytes=conversion.source.size_bytes,
            duration_s=num_frames / sample_rate_hz,
            sample_rate_hz=sample_rate_hz,
            channels=channels,
            is_cut=stream.is_cut,
        )


@contextmanager
def _opened(source: BinaryIO) -> Iterator[AudioStream]:
    """Opens a file as `open_audio` does. The body is not covered: an error in it need not be the file's."""
    with ExitStack() as stack:
        with unexpected_errors("decode"):
            stream = stack.enter_context(open_audio(source))
        yield stream


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
