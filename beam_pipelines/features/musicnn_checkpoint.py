"""The published weights of musicnn, from its wheel or from a folder: checked by SHA-256 before anything parses them."""

import hashlib
import os
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from beam_pipelines.common.errors import UserError
from beam_pipelines.features.config import MUSICNN_WHEEL, MusicnnConfig

INDEX_FILE, DATA_FILE = ".index", ".data-00000-of-00001"

_MAX_WHEEL_BYTES = 2**26
# What zipfile raises for archives that are damaged, encrypted or of an unknown compression.
_ZIP_ERRORS = (EOFError, KeyError, OSError, RuntimeError, ValueError, struct.error, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class _PublishedFile:
    name: str
    size_bytes: int
    sha256: str


# The folders of the wheel `MUSICNN_WHEEL` and the files of a checkpoint of TensorFlow 1 in each of them.
_PUBLISHED: Mapping[str, tuple[_PublishedFile, _PublishedFile]] = {
    "MSD_musicnn": (
        _PublishedFile(INDEX_FILE, 4_948, "87f3e0f3550c8d3bafc840374003e5c8af5eeb5ecf6add61af09a7822d3282c8"),
        _PublishedFile(DATA_FILE, 9_465_596, "8579734ee6388f799ed0def4bbd0d1fdcbeaf213ef2a9dc860917bd76a303de6"),
    ),
    "MTT_musicnn": (
        _PublishedFile(INDEX_FILE, 4_948, "da2d7bb670b2b31e9bc441bb1bd75eca31b5b061f963cc1f9630c1aff3238f57"),
        _PublishedFile(DATA_FILE, 9_465_596, "041f3935e981a65cea739842d30c188d3a7d2adf4410955c8668eb3de4a5acab"),
    ),
    "MSD_vgg": (
        _PublishedFile(INDEX_FILE, 2_994, "50e499238457558bba9f34f8b84d4afb8279afd43520cdf0a4fdf805a49c9ca3"),
        _PublishedFile(DATA_FILE, 7_274_112, "9683d756b8311146534f333502ebf4a2a78a3e320c54ab0411dff6186d8375fc"),
    ),
    "MTT_vgg": (
        _PublishedFile(INDEX_FILE, 2_994, "4b0d3d2d02bbe0919c063c1fb74bfa9018ac3517e362d681b07444d4207a5f5f"),
        _PublishedFile(DATA_FILE, 7_274_112, "458f5c8bcecc086a3bba3dce83809df6da6e0a3560a59ddd84711bf3d5fd8303"),
    ),
}


@dataclass(frozen=True)
class Checkpoint:
    """The files of a checkpoint of TensorFlow 1.

    Attributes:
        index: The content of `.index`: names, shapes and places of the variables.
        data: The content of `.data-00000-of-00001`: their values.
    """

    index: bytes
    data: bytes


def checkpoint_folder(config: MusicnnConfig) -> str:
    """Returns the folder of the wheel that holds the weights of the settings, such as "MSD_musicnn"."""
    return f"{config.variant.upper()}_{config.network}"


def read_checkpoint(config: MusicnnConfig) -> Checkpoint:
    """Returns the weights of the settings.

    Raises:
        UserError: The wheel or folder of the settings cannot be read, or does not hold the published weights.
    """
    path, folder = config.sources()["weights"], checkpoint_folder(config)
    read = _read_folder if os.path.isdir(path) else _read_wheel
    contents = read(path, folder)
    for file, content in zip(_PUBLISHED[folder], contents, strict=True):
        sha256 = hashlib.sha256(content).hexdigest()
        if sha256 != file.sha256:
            raise _wrong(path, f"{file.name} of {folder} has the SHA-256 {sha256}, expected {file.sha256}")
    index, data = contents
    return Checkpoint(index=index, data=data)


def weights_sha256(config: MusicnnConfig) -> str:
    """Returns the SHA-256 of the values, of `.data-00000-of-00001`, which is the same from a wheel and from a folder.

    Raises:
        UserError: As for `read_checkpoint`.
    """
    return hashlib.sha256(read_checkpoint(config).data).hexdigest()


def _read_folder(path: str, folder: str) -> list[bytes]:
    contents = []
    for file in _PUBLISHED[folder]:
        try:
            with open(os.path.join(path, file.name), "rb") as opened:
                contents.append(opened.read(file.size_bytes + 1))
        except OSError as error:
            raise _wrong(path, f"{file.name} cannot be read ({error.strerror})") from error
    return contents


def _read_wheel(path: str, folder: str) -> list[bytes]:
    """Returns the files of a checkpoint from the wheel. Nothing is extracted, and no member is read past its size."""
    if not os.path.isfile(path):
        raise UserError(
            f"features.musicnn.weights_path={path}: there is no such file or folder; expected {MUSICNN_WHEEL}, or a "
            f"folder with {INDEX_FILE} and {DATA_FILE}"
        )
    try:
        size_bytes = os.path.getsize(path)
        if size_bytes > _MAX_WHEEL_BYTES:
            raise _wrong(path, f"it has {size_bytes:,} bytes, more than {_MAX_WHEEL_BYTES:,}")
        with zipfile.ZipFile(path) as archive:
            return [_read_member(archive, folder, file, path=path) for file in _PUBLISHED[folder]]
    except _ZIP_ERRORS as error:
        raise _wrong(path, f"it is damaged, or is no wheel ({' '.join(str(error).split())})") from error


def _read_member(archive: zipfile.ZipFile, folder: str, file: _PublishedFile, *, path: str) -> bytes:
    info = archive.getinfo(f"musicnn/{folder}/{file.name}")
    # Other methods decompress a piece without a bound.
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise _wrong(path, f"{info.filename} has the compression {info.compress_type}, expected deflate")
    with archive.open(info) as member:
        return member.read(file.size_bytes + 1)


def _wrong(path: str, problem: str) -> UserError:
    return UserError(
        f"{path}: {problem}: expected the weights of {MUSICNN_WHEEL} as published; replace the file, or remove it from "
        "the cache folder, so that it is downloaded again"
    )
