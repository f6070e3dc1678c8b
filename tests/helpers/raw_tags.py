"""Tags of music files as bytes: written and read by the formats' definitions, and not by a library."""

import re
import struct
from collections.abc import Iterable, Sequence

# id3.org: ID3v2.3.0 and ID3v2.4.0 main structure. RFC 9639: FLAC. RFC 3533: Ogg. ISO/IEC 14496-12: the boxes of MP4.


def synchsafe(number: int) -> bytes:
    """Returns a number in four bytes of seven bits."""
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))


def id3_frame(name: str, content: bytes, *, version: int = 4, flags: int = 0) -> bytes:
    """Returns a frame of ID3v2.3 or ID3v2.4."""
    size = synchsafe(len(content)) if version == 4 else struct.pack(">I", len(content))
    return name.encode() + size + struct.pack(">H", flags) + content


def id3_tag(frames: Iterable[bytes], *, version: int = 4, flags: int = 0, padding: int = 0) -> bytes:
    """Returns an ID3v2 tag."""
    body = b"".join(frames) + bytes(padding)
    return b"ID3" + bytes([version, 0, flags]) + synchsafe(len(body)) + body


def unsynchronised(data: bytes) -> bytes:
    """Returns data in which no two bytes look like the beginning of an mp3 frame."""
    return re.sub(rb"\xff(?=[\x00\xe0-\xff]|\Z)", b"\xff\x00", data)


def id3_frames(data: bytes) -> list[bytes]:
    """Returns the frames of an ID3v2.3 or ID3v2.4 tag without unsynchronisation, with their headers."""
    assert data[:3] == b"ID3"
    body = data[10 : 10 + int.from_bytes(_from_synchsafe(data[6:10]), "big")]
    frames = []
    while body[:1].strip(b"\0"):
        size = int.from_bytes(_from_synchsafe(body[4:8]) if data[3] == 4 else body[4:8], "big")
        frames.append(body[: 10 + size])
        body = body[10 + size :]
    return frames


def _from_synchsafe(data: bytes) -> bytes:
    return (data[0] << 21 | data[1] << 14 | data[2] << 7 | data[3]).to_bytes(4, "big")


def behind_id3(data: bytes) -> bytes:
    """Returns what is behind an ID3v2 tag."""
    return data[10 + int.from_bytes(_from_synchsafe(data[6:10]), "big") :] if data[:3] == b"ID3" else data


def chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Returns name and content of the chunks of a WAV or AIFF file."""
    order = "<" if data[:4] == b"RIFF" else ">"
    assert struct.unpack(f"{order}I", data[4:8])[0] == len(data) - 8
    found, offset = [], 12
    while offset < len(data):
        name, size = struct.unpack(f"{order}4sI", data[offset : offset + 8])
        found.append((name, data[offset + 8 : offset + 8 + size]))
        offset += 8 + size + size % 2
    return found


def with_chunk(data: bytes, name: bytes, content: bytes) -> bytes:
    """Returns a WAV or AIFF file with one more chunk at its end."""
    order = "<" if data[:4] == b"RIFF" else ">"
    data += name + struct.pack(f"{order}I", len(content)) + content + bytes(len(content) % 2)
    return data[:4] + struct.pack(f"{order}I", len(data) - 8) + data[8:]


def vorbis_comment(comments: Sequence[bytes], *, vendor: bytes = b"a vendor") -> bytes:
    """Returns a comment block of FLAC."""
    parts = [struct.pack("<I", len(vendor)), vendor, struct.pack("<I", len(comments))]
    for comment in comments:
        parts += [struct.pack("<I", len(comment)), comment]
    return b"".join(parts)


def vorbis_comments(block: bytes) -> tuple[bytes, list[bytes]]:
    """Returns the vendor and the comments of a block."""

    def take(offset: int) -> tuple[bytes, int]:
        end = offset + 4 + struct.unpack("<I", block[offset : offset + 4])[0]
        return block[offset + 4 : end], end

    vendor, offset = take(0)
    (count,) = struct.unpack("<I", block[offset : offset + 4])
    offset, comments = offset + 4, []
    for _ in range(count):
        comment, offset = take(offset)
        comments.append(comment)
    return vendor, comments


def flac_blocks(data: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """Returns type and content of the metadata blocks of a FLAC file, and its frames."""
    assert data[:4] == b"fLaC"
    offset, blocks, is_last = 4, [], False
    while not is_last:
        is_last, code = data[offset] >= 0x80, data[offset] & 0x7F
        end = offset + 4 + int.from_bytes(data[offset + 1 : offset + 4], "big")
        blocks.append((code, data[offset + 4 : end]))
        offset = end
    return blocks, data[offset:]


def flac_file(blocks: Sequence[tuple[int, bytes]], frames: bytes) -> bytes:
    """Returns a FLAC file."""
    data = b"fLaC"
    for number, (code, content) in enumerate(blocks, start=1):
        data += bytes([code | (0x80 if number == len(blocks) else 0)]) + len(content).to_bytes(3, "big") + content
    return data + frames


def ogg_packets(data: bytes) -> list[bytes]:
    """Returns the packets of an Ogg file with one stream."""
    packets, offset, is_open = [], 0, False
    while offset < len(data):
        assert data[offset : offset + 4] == b"OggS"
        sizes = data[offset + 27 : offset + 27 + data[offset + 26]]
        offset += 27 + len(sizes)
        for size in sizes:
            part = data[offset : offset + size]
            if is_open:
                packets[-1] += part
            else:
                packets.append(part)
            is_open = size == 255
            offset += size
    return packets


def box(name: bytes, *contents: bytes) -> bytes:
    """Returns a box of an MP4 file."""
    content = b"".join(contents)
    return struct.pack(">I", 8 + len(content)) + name + content


def boxes(data: bytes) -> list[tuple[bytes, bytes]]:
    """Returns name and content of the boxes in a part of an MP4 file."""
    found, offset = [], 0
    while offset < len(data):
        size = struct.unpack(">I", data[offset : offset + 4])[0]
        found.append((data[offset + 4 : offset + 8], data[offset + 8 : offset + size]))
        offset += size
    return found


def with_items(data: bytes, items: Sequence[bytes]) -> bytes:
    """Returns an MP4 file whose `moov` is its last box, with these boxes of tags in place of its own."""
    handler = box(b"hdlr", bytes(8) + b"mdirappl" + bytes(9))
    tags = box(b"udta", box(b"meta", bytes(4), handler, box(b"ilst", *items)))
    *before, (name, moov) = boxes(data)
    assert name == b"moov"
    kept = [box(*one) for one in boxes(moov) if one[0] != b"udta"]
    return b"".join(box(*one) for one in before) + box(b"moov", *kept, tags)


def with_moov_first(data: bytes) -> bytes:
    """Returns an MP4 file whose `moov` is its last box with that box behind the first one."""
    first, *others, (name, moov) = boxes(data)
    assert name == b"moov"
    at = moov.index(b"stco") + 8  # the offsets of the chunks of samples
    (count,) = struct.unpack(">I", moov[at : at + 4])
    end = at + 4 + 4 * count
    offsets = struct.unpack(f">{count}I", moov[at + 4 : end])
    moved = struct.pack(f">{count}I", *(offset + 8 + len(moov) for offset in offsets))
    moov = moov[: at + 4] + moved + moov[end:]
    return b"".join(box(*one) for one in (first, (name, moov), *others))


def items(data: bytes) -> list[bytes]:
    """Returns the boxes of tags of an MP4 file."""
    for name in (b"moov", b"udta", b"meta", b"ilst"):
        data = dict(boxes(data))[name]
        data = data[4:] if name == b"meta" else data
    return [box(*one) for one in boxes(data)]


def item(name: bytes, content: bytes, *, kind: int = 1) -> bytes:
    """Returns a box of tags: kind 1 is text in UTF-8, 13 a JPEG picture, 21 a number, 0 another type."""
    return box(name, box(b"data", struct.pack(">II", kind, 0), content))
