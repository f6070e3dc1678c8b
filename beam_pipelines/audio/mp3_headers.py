"""Parsing the headers of MPEG audio frames (mp3, mp2), and the Xing, LAME and VBRI headers of the first frame.

Sources: ISO/IEC 11172-3, section 2.4 (headers); ISO/IEC 13818-3 (half rates); the Xing, LAME and VBRI headers as
LAME 3.100 (VbrTag.c) and Fraunhofer write them.
"""

import re
from dataclasses import dataclass

HEADER_BYTES = 4
# Version bits of a header: 0 is MPEG 2.5, 1 is reserved, 2 is MPEG 2, 3 is MPEG 1. Layer bits: 1 is III, 2 is II, 3
# is I.
_MPEG_1 = 3
_LAYER_III, _LAYER_II, _LAYER_I = 1, 2, 3
_SAMPLE_RATES_HZ = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
_BIT_RATES_KBPS = {
    (True, _LAYER_I): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (True, _LAYER_II): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (True, _LAYER_III): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (False, _LAYER_I): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (False, _LAYER_II): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (False, _LAYER_III): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
SYNC = re.compile(
    rb"\xff[\xe2-\xe7\xf2-\xf7\xfa-\xff]["
    + b"".join(rb"\x%02x" % value for value in range(256) if 1 <= value >> 4 <= 14 and (value >> 2) & 3 != 3)
    + rb"]"
)
# The delay of an mp3 decoder in samples: skipped at the start with the encoder's delay, and part of the stated padding.
_DECODER_DELAY = 529


@dataclass(frozen=True)
class Frame:
    """The header of a frame: its kind, its bytes and its samples."""

    version: int
    layer: int
    sample_rate_hz: int
    is_mono: bool
    num_bytes: int
    num_samples: int

    def continues(self, other: "Frame") -> bool:
        """Returns whether both have one version, layer, rate and number of channels."""
        return (self.version, self.layer, self.sample_rate_hz, self.is_mono) == (
            other.version,
            other.layer,
            other.sample_rate_hz,
            other.is_mono,
        )


@dataclass(frozen=True)
class InfoHeader:
    """A Xing, Info or VBRI header: the number of frames after it, the bytes of all, and the samples to skip."""

    num_frames: int | None = None
    num_bytes: int | None = None
    num_skipped: int = 0


def parse_header(header: bytes) -> Frame | None:
    """Parses the header of a frame; returns None if it is not one or does not give its length."""
    if len(header) < HEADER_BYTES or SYNC.match(header) is None:
        return None
    version, layer = (header[1] >> 3) & 3, (header[1] >> 1) & 3
    sample_rate_hz = _SAMPLE_RATES_HZ[version][(header[2] >> 2) & 3]
    bit_rate = 1000 * _BIT_RATES_KBPS[version == _MPEG_1, layer][(header[2] >> 4) - 1]
    padding = (header[2] >> 1) & 1
    if layer == _LAYER_I:
        num_samples, num_bytes = 384, (12 * bit_rate // sample_rate_hz + padding) * 4
    else:
        num_samples = 1152 if layer == _LAYER_II or version == _MPEG_1 else 576
        num_bytes = num_samples // 8 * bit_rate // sample_rate_hz + padding
    return Frame(
        version=version,
        layer=layer,
        sample_rate_hz=sample_rate_hz,
        is_mono=header[3] >> 6 == 3,
        num_bytes=num_bytes,
        num_samples=num_samples,
    )


def parse_info_header(data: bytes, first: Frame) -> InfoHeader | None:
    """Parses the Xing, Info or VBRI header in the first frame; returns None if it has none."""
    if data[36:40] == b"VBRI" and len(data) >= 54:
        return InfoHeader(num_frames=int.from_bytes(data[50:54], "big"), num_bytes=int.from_bytes(data[46:50], "big"))
    # After the header and the side information, whose size depends on version and channels.
    at = {(True, False): 36, (True, True): 21, (False, False): 21, (False, True): 13}[
        first.version == _MPEG_1, first.is_mono
    ]
    if data[at : at + 4] not in (b"Xing", b"Info") or len(data) < at + 8:
        return None
    flags = int.from_bytes(data[at + 4 : at + 8], "big")
    at += 8
    num_frames = num_bytes = None
    if flags & 1:
        num_frames = int.from_bytes(data[at : at + 4], "big")
        at += 4
    if flags & 2:
        num_bytes = int.from_bytes(data[at : at + 4], "big")
        at += 4
    at += 100 * (flags >> 2 & 1) + 4 * (flags >> 3 & 1)
    # The name of the encoder, and at byte 21 delay and padding in 12 bits each.
    lame = data[at : at + 24]
    num_skipped = 0
    if len(lame) == 24 and lame[0]:
        delay, padding = lame[21] << 4 | lame[22] >> 4, (lame[22] & 15) << 8 | lame[23]
        num_skipped = delay + _DECODER_DELAY + max(padding - _DECODER_DELAY, 0)
    return InfoHeader(num_frames=num_frames, num_bytes=num_bytes, num_skipped=num_skipped)
