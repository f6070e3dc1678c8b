"""Audio files in memory, as encoders of libsndfile and FFmpeg make them, and what happens to files on their way."""

import io
import struct

import av
import numpy as np
import numpy.typing as npt
import soundfile

Samples = npt.NDArray[np.float32]

# kbit/s of MPEG-1 layer III, by the code in a frame's header.
_MP3_BIT_RATES_KBPS = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)


def music(
    duration_s: float, *, rate_hz: int = 44_100, channels: int = 1, seed: int = 0, loud_s: float = 0.0
) -> Samples:
    """Returns a tone of its own for each channel, in noise from `loud_s` on, (frames, channels)."""
    rng = np.random.default_rng(seed)
    times = np.arange(round(duration_s * rate_hz)) / rate_hz
    tones = np.stack([np.sin(2 * np.pi * rng.uniform(200, 900) * times) for _ in range(channels)], axis=1)
    noise = rng.normal(0, 0.2, (len(times), channels)) * (times >= loud_s)[:, None]
    return (0.1 * tones + noise).clip(-0.99, 0.99).astype(np.float32)


def by_libsndfile(
    samples: Samples, audio_format: str, subtype: str | None = None, *, rate_hz: int = 44_100, **options: str
) -> bytes:
    """Returns a file that libsndfile has written."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format=audio_format, subtype=subtype, **options)
    return file.getvalue()


def by_ffmpeg(
    samples: Samples,
    container: str,
    codec: str,
    *,
    rate_hz: int = 44_100,
    sample_format: str | None = None,
    options: dict[str, str] | None = None,
    codec_options: dict[str, str] | None = None,
    tags: dict[str, str] | None = None,
) -> bytes:
    """Returns a file that FFmpeg has written."""
    file = io.BytesIO()
    channels = samples.shape[1]
    layout = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}[channels]
    with av.open(file, "w", format=container, options=options or {}) as output:
        output.metadata.update(tags or {})
        stream = output.add_stream(codec, rate=rate_hz, layout=layout, options=codec_options or {})
        stream.format = sample_format or stream.codec_context.codec.audio_formats[0].name
        if codec.startswith("wma"):
            stream.bit_rate = 128_000
        output.start_encoding()
        resampler = av.AudioResampler(stream.format.name, layout, rate_hz, stream.codec_context.frame_size or None)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.reshape(1, -1)), format="flt", layout=layout)
        frame.sample_rate = rate_hz
        for converted in [*resampler.resample(frame), *resampler.resample(None), None]:
            # The last packet of FLAC is empty, and containers refuse it.
            output.mux([packet for packet in stream.encode(converted) if packet.size])
    return file.getvalue()


def mp3(samples: Samples, *, rate_hz: int = 44_100, mode: str = "CONSTANT") -> bytes:
    """Returns an mp3 of LAME, with a Xing or Info header."""
    return by_libsndfile(samples, "MP3", "MPEG_LAYER_III", rate_hz=rate_hz, bitrate_mode=mode)


def mp3_frames(data: bytes, rate_hz: int = 44_100) -> list[tuple[int, int]]:
    """Returns offset and length of each frame of MPEG-1 layer III."""
    frames, offset = [], 0
    while offset + 4 <= len(data):
        if data[offset] != 0xFF or data[offset + 1] & 0xFE != 0xFA:
            offset += 1
            continue
        code, padding = data[offset + 2] >> 4, data[offset + 2] >> 1 & 1
        length = 144_000 * _MP3_BIT_RATES_KBPS[code] // rate_hz + padding
        frames.append((offset, length))
        offset += length
    return frames


def without_first_frame(data: bytes) -> bytes:
    """Returns an mp3 without the frame that says how long it is, as cut or streamed files are."""
    return data[mp3_frames(data)[1][0] :]


def with_bytes(data: bytes, offset: int, new: bytes) -> bytes:
    """Returns data with some bytes replaced."""
    return data[:offset] + new + data[offset + len(new) :]


def flac_with_total(data: bytes, total: int) -> bytes:
    """Returns a FLAC file whose header says another number of samples; 0 leaves it open."""
    return with_bytes(data, 21, bytes([data[21] & 0xF0 | total >> 32]) + struct.pack(">I", total & 0xFFFFFFFF))


def id3v2(num_bytes: int, *, frames: bytes = b"") -> bytes:
    """Returns an ID3v2.3 tag of some frames and padding."""
    size = bytes(num_bytes >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x03\x00\x00" + size + frames.ljust(num_bytes, b"\0")


def id3v2_artist(artist: str) -> bytes:
    """Returns an ID3v2.3 tag with an artist, in UTF-16."""
    text = b"\x01" + artist.encode("utf-16")
    return id3v2(len(text) + 10, frames=b"TPE1" + struct.pack(">IH", len(text), 0) + text)


def id3v1_artist(artist: str) -> bytes:
    """Returns an ID3v1 tag with an artist of up to 30 characters, in Latin-1."""
    return b"TAG" + bytes(30) + artist.encode("latin-1").ljust(30, b"\0") + bytes(65)


ID3V1 = b"TAG" + bytes(125)


def flac_of(samples: npt.NDArray[np.int64], bits: int, *, rate_hz: int = 44_100, block: int = 4096) -> bytes:
    """Returns a FLAC file of integers, (frames, channels), of any number of bits from 4 to 32, stored verbatim.

    Source: RFC 9639. libsndfile writes 8, 16 and 24 bits only.
    """
    channels = samples.shape[1]
    info = struct.pack(">HH", block, block) + bytes(6)
    info += (rate_hz << 44 | channels - 1 << 41 | bits - 1 << 36 | len(samples)).to_bytes(8, "big") + bytes(16)
    data = b"fLaC\x80" + len(info).to_bytes(3, "big") + info
    for index, start in enumerate(range(0, len(samples), block)):
        part = samples[start : start + block]
        # The block size in 16 bits behind the number; the rate and the bits as STREAMINFO has them.
        header = (
            b"\xff\xf8" + bytes([7 << 4, channels - 1 << 4]) + chr(index).encode() + struct.pack(">H", len(part) - 1)
        )
        header += bytes([_crc(header, bits=8, polynomial=0x07)])
        body = "".join(
            "00000010" + "".join(format(int(value) & (1 << bits) - 1, f"0{bits}b") for value in part[:, channel])
            for channel in range(channels)
        )
        frame = header + int(body.ljust(-len(body) % 8 + len(body), "0"), 2).to_bytes((len(body) + 7) // 8, "big")
        data += frame + _crc(frame, bits=16, polynomial=0x8005).to_bytes(2, "big")
    return data


def _crc(data: bytes, *, bits: int, polynomial: int) -> int:
    value, top, mask = 0, 1 << bits - 1, (1 << bits) - 1
    for byte in data:
        value ^= byte << bits - 8
        for _ in range(8):
            value = (value << 1 ^ (polynomial if value & top else 0)) & mask
    return value
