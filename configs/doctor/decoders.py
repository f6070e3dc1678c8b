"""The libraries that read each audio format, found by decoding a short tone."""

import io
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from configs.doctor.findings import BROKEN, OK, Finding

_RATE_HZ = 48_000  # the rate of Opus
_DURATION_S = 0.25
_TOLERANCE_S = 0.1  # the delay of an encoder

# Format and subtype of libsndfile, None where it does not write the format; container and codec of FFmpeg.
_FORMATS: Mapping[str, tuple[tuple[str, str] | None, tuple[str, str]]] = {
    "wav": (("WAV", "PCM_16"), ("wav", "pcm_s16le")),
    "mp3": (("MP3", "MPEG_LAYER_III"), ("mp3", "libmp3lame")),
    "flac": (("FLAC", "PCM_16"), ("flac", "flac")),
    "ogg": (("OGG", "VORBIS"), ("ogg", "vorbis")),
    "opus": (("OGG", "OPUS"), ("ogg", "libopus")),
    "m4a": (None, ("ipod", "aac")),
}
FORMATS = tuple(_FORMATS)


def find_decoders(results: Mapping[str, Mapping[str, Any]]) -> list[Finding]:
    """Returns a finding for each format, from what the child process says of it."""
    return [_finding(audio_format, results[audio_format]) for audio_format in FORMATS]


def _finding(audio_format: str, result: Mapping[str, Any]) -> Finding:
    decoders = result.get("decoders", [])
    if decoders:
        return Finding("decoder", audio_format, OK, " and ".join(decoders))
    return Finding(
        "decoder",
        audio_format,
        BROKEN,
        result.get("error", "no library reads it"),
        expected="libsndfile or FFmpeg reads it",
        fix="pip install --force-reinstall --no-deps av soundfile soxr",
    )


def decoders_of(audio_format: str) -> Sequence[str]:
    """Returns the names of the libraries that decode a tone in one of `FORMATS`. Runs in a child process."""
    data = _encode(audio_format)
    return [name for name in ("libsndfile", "FFmpeg") if data is not None and _decodes(name, data)]


def _decodes(name: str, data: bytes) -> bool:
    with suppress(Exception):  # the library is missing or broken, or does not decode it
        if name == "libsndfile":
            from beam_pipelines.audio.libsndfile import open_libsndfile as open_stream
        else:
            from beam_pipelines.audio.ffmpeg import open_ffmpeg as open_stream
        with open_stream(io.BytesIO(data)) as stream:
            for _ in stream.blocks(max_duration_s=1.0):
                pass
            return abs(stream.decoded_s - _DURATION_S) <= _TOLERANCE_S
    return False


def _encode(audio_format: str) -> bytes | None:
    """Returns a file of a tone; None if no library can write it."""
    import numpy as np

    times_s = np.arange(round(_DURATION_S * _RATE_HZ)) / _RATE_HZ
    samples = (0.5 * np.sin(2 * np.pi * 440 * times_s)).astype(np.float32)
    by_libsndfile, (container, codec) = _FORMATS[audio_format]
    file = io.BytesIO()
    if by_libsndfile is not None:
        with suppress(Exception):  # it is missing, or made without this format
            import soundfile

            soundfile.write(file, samples, _RATE_HZ, format=by_libsndfile[0], subtype=by_libsndfile[1])
            return file.getvalue()
    with suppress(Exception):
        _encode_with_ffmpeg(samples, file, container=container, codec=codec)
        return file.getvalue()
    return None


def _encode_with_ffmpeg(samples: Any, file: io.BytesIO, *, container: str, codec: str) -> None:
    import av

    with av.open(file, "w", format=container) as output:
        # FFmpeg's encoder of Vorbis is experimental, and knows stereo alone.
        stream = output.add_stream(codec, rate=_RATE_HZ, layout="stereo", options={"strict": "experimental"})
        stream.format = stream.codec_context.codec.audio_formats[0].name
        output.start_encoding()
        resampler = av.AudioResampler(stream.format.name, "stereo", _RATE_HZ, stream.codec_context.frame_size or None)
        frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), format="flt", layout="mono")
        frame.sample_rate = _RATE_HZ
        for part in [*resampler.resample(frame), *resampler.resample(None), None]:
            # The last packet of FLAC is empty, and containers refuse it.
            output.mux([packet for packet in stream.encode(part) if packet.size])
