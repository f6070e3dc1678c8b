"""Names for the contents of files that are not audio, such as an error page that was saved as an mp3."""

_BEGINNINGS = (
    (b"<!doctype html", "an HTML page"),
    (b"<html", "an HTML page"),
    (b"<?xml", "an XML file"),
    (b"#EXTM3U", "a playlist"),
    (b"[playlist]", "a playlist"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"Rar!", "a RAR archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"%PDF", "a PDF file"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"\x89PNG", "a PNG picture"),
    (b"GIF8", "a GIF picture"),
    (b"version https://git-lfs", "a pointer of Git LFS, whose file was not downloaded"),
    (b"\x00\x05\x16\x07", "an AppleDouble file, which holds no audio"),
    (b"MThd", "a MIDI file, which holds notes and no sound"),
)


def name_content(head: bytes) -> str | None:
    """Returns the kind of a file that is not audio, with its article, from its first bytes; None if it is unknown."""
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    for beginning, name in _BEGINNINGS:
        if head.startswith(beginning) or text.lower().startswith(beginning.lower()):
            return name
    return "nothing but zeros" if head and not head.strip(b"\0") else None
