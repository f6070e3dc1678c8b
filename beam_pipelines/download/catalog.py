"""The archives that can be downloaded, with the checksums and sizes that their authors publish."""

from dataclasses import dataclass

FMA_BASE_URL = "https://os.unil.cloud.switch.ch/fma/"
FMA_METADATA = "fma_metadata"

GTZAN = "gtzan"

_MIB = 2**20
_GIB = 2**30


@dataclass(frozen=True)
class RemoteArchive:
    """An archive on a server. It holds one folder, which has the archive's name.

    Attributes:
        name: Its name on the command line.
        filename: Its name on the server and on disk.
        sha1: Its SHA-1, 40 hexadecimal digits.
        size_bytes: Its approximate size.
        max_extracted_bytes: The most that its files may take.
        description: What it holds, in a few words.
    """

    name: str
    filename: str
    sha1: str
    size_bytes: int
    max_extracted_bytes: int
    description: str


def _fma_audio(name: str, *, sha1: str, size_gib: float, description: str) -> RemoteArchive:
    size_bytes = round(size_gib * _GIB)
    return RemoteArchive(
        name=name,
        filename=f"{name}.zip",
        sha1=sha1,
        size_bytes=size_bytes,
        # mp3 files hardly compress. The published sizes are rounded.
        max_extracted_bytes=size_bytes * 11 // 10,
        description=description,
    )


_ARCHIVES = (
    _fma_audio(
        "fma_small",
        sha1="ade154f733639d52e35e32f5593efe5be76c6d70",
        size_gib=7.2,
        description="8,000 clips of 30 s, 8 balanced genres",
    ),
    _fma_audio(
        "fma_medium",
        sha1="c67b69ea232021025fca9231fc1c7c1a063ab50b",
        size_gib=22,
        description="25,000 clips of 30 s, 16 unbalanced genres",
    ),
    _fma_audio(
        "fma_large",
        sha1="497109f4dd721066b5ce5e5f250ec604dc78939e",
        size_gib=93,
        description="106,574 clips of 30 s, 161 genres",
    ),
    _fma_audio(
        "fma_full",
        sha1="0f0ace23fbe9ba30ecb7e95f763e435ea802b8ab",
        size_gib=879,
        description="106,574 untrimmed tracks, 161 genres",
    ),
    RemoteArchive(
        name=FMA_METADATA,
        filename=f"{FMA_METADATA}.zip",
        sha1="f0df49ffe5f2a6008d7dc83c6915b31835dfe733",
        size_bytes=342 * _MIB,
        max_extracted_bytes=4 * _GIB,
        description="genres, artists, splits and features of all tracks",
    ),
)

ARCHIVES: dict[str, RemoteArchive] = {archive.name: archive for archive in _ARCHIVES}
