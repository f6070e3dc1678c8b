"""The files of a network that the user brings: where they are, their size, their hash, and whether they are a network.

Nothing here is executed or unpickled.
"""

import atexit
import hashlib
import os
import shutil
import stat
import tempfile
from functools import cache

from beam_pipelines.common import bucket_objects
from beam_pipelines.common.errors import UserError
from beam_pipelines.common.file_hash import file_sha256
from beam_pipelines.common.paths import is_local
from beam_pipelines.features.embedding_config import KERAS, ONNX, SAVED_MODEL, TFLITE, EmbeddingConfig

# The folder in which networks are looked for first, by the name of their file: for predictions on another machine.
NETWORKS_VARIABLE = "BEAMTUNE_NETWORKS"
MAX_NETWORK_BYTES = 2**30

_MAX_FILES = 1000
_SAVED_MODEL_FILE = "saved_model.pb"
# The first bytes of each format; those of ONNX, which is a plain protobuf message, are not fixed.
_MAGIC = {KERAS: (0, b"PK\x03\x04"), TFLITE: (4, b"TFL3")}
_PICKLE, _ZIP = b"\x80", b"PK"


def locate(name: str, config: EmbeddingConfig) -> str:
    """Returns the local path of a network, which is copied from its bucket once in a process.

    It is looked for in the folder $BEAMTUNE_NETWORKS first, then at `config.path`.

    Raises:
        UserError: It is not there, is too large, or is not of the format that its name says.
    """
    folder = os.environ.get(NETWORKS_VARIABLE, "")
    elsewhere = os.path.join(os.path.expanduser(folder), config.filename) if folder else ""
    if elsewhere and os.path.exists(elsewhere):
        path = shown = elsewhere
    elif is_local(config.path):
        path = shown = config.path
    else:
        path, shown = _download(config.path, is_folder=config.format == SAVED_MODEL), config.path
    key = f"features.{name}.path={shown}"
    files = _files(path, key=key)
    if not files:
        raise UserError(
            f"features.{name}.path={config.path}: there is no such network; put it there, or set the environment "
            f"variable {NETWORKS_VARIABLE} to the folder that holds {config.filename}"
        )
    _check_files(path, files, format_name=config.format, key=key)
    return path


def network_hash(name: str, config: EmbeddingConfig) -> str:
    """Returns the SHA-256 of a file; of a folder that of the sorted lines `<SHA-256 of a file>  <its path in it>`.

    Raises:
        UserError: As `locate`, or a file cannot be read.
    """
    path = locate(name, config)
    if os.path.isfile(path):
        return file_sha256(path, key=f"features.{name}")
    key = f"features.{name}"
    files = sorted(_files(path, key=f"{key}.path={path}"))
    lines = [f"{file_sha256(os.path.join(path, file), key=key)}  {file}\n" for file in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def read_network(path: str, *, key: str) -> bytes:
    """Returns the content of a file.

    Args:
        path: The file.
        key: The setting that names it, with its value, for messages.

    Raises:
        UserError: It cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise UserError(f"{key} cannot be read: {error.strerror}") from error


def _files(path: str, *, key: str) -> dict[str, int]:
    """Returns the sizes of the files of a network, by their paths in its folder, or "" for a file."""
    try:
        if os.path.isfile(path):
            return {"": os.path.getsize(path)}
        found: dict[str, int] = {}
        for folder, _, names in os.walk(path):
            for name in names:
                file = os.path.join(folder, name)
                status = os.stat(file)
                if not stat.S_ISREG(status.st_mode):
                    raise UserError(f"{key}: {file} is no regular file, as all files of a network are")
                found[os.path.relpath(file, path)] = status.st_size
            if len(found) > _MAX_FILES:
                raise UserError(f"{key} has more than {_MAX_FILES} files: expected the folder of one SavedModel")
        return found
    except OSError as error:
        raise UserError(f"{key} cannot be read: {error.strerror}") from error


def _check_files(path: str, files: dict[str, int], *, format_name: str, key: str) -> None:
    size_bytes = sum(files.values())
    if size_bytes > MAX_NETWORK_BYTES:
        raise UserError(f"{key} has {size_bytes:,} bytes: expected a network of at most {MAX_NETWORK_BYTES:,} bytes")
    is_folder = os.path.isdir(path)
    if is_folder != (format_name == SAVED_MODEL) or (is_folder and _SAVED_MODEL_FILE not in files):
        raise UserError(
            f"{key}: expected a file that ends with .onnx, .keras or .tflite, or a folder with {_SAVED_MODEL_FILE}"
        )
    if is_folder:
        return
    with open(path, "rb") as file:
        start = file.read(8)
    offset, magic = _MAGIC.get(format_name, (0, b""))
    if start[offset : offset + len(magic)] == magic and not (format_name == ONNX and _is_archive(start)):
        return
    found = "a pickle or an archive, such as PyTorch writes" if _is_archive(start) else "no such file"
    raise UserError(
        f"{key} is {found}, and not of the format {format_name}: export the network to it; only graphs are loaded, "
        "never pickles"
    )


def _is_archive(start: bytes) -> bool:
    return start.startswith((_PICKLE, _ZIP))


@cache
def _download(path: str, *, is_folder: bool) -> str:
    """Copies a network from a bucket to a temporary folder of this process; returns where it is, if it exists."""
    folder = tempfile.mkdtemp(prefix="beamtune-network-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    target = os.path.join(folder, path.rstrip("/").rsplit("/", 1)[-1])
    try:
        if not is_folder:
            bucket_objects.download_to_file(path, target, max_bytes=MAX_NETWORK_BYTES)
            return target
        left_bytes, prefix = MAX_NETWORK_BYTES, f"{path.rstrip('/')}/"
        for entry in bucket_objects.list_objects(path)[: _MAX_FILES + 1]:
            file = os.path.normpath(os.path.join(target, entry.path.removeprefix(prefix)))
            if entry.path.endswith("/") or not file.startswith(f"{target}/"):
                continue
            os.makedirs(os.path.dirname(file), exist_ok=True)
            bucket_objects.download_to_file(entry.path, file, max_bytes=left_bytes)
            left_bytes -= os.path.getsize(file)
    except ModuleNotFoundError as error:
        raise UserError(
            f"{path} needs google-cloud-storage, which is not installed: pip install 'beamtune[cloud]'"
        ) from error
    except FileNotFoundError:
        pass  # the caller says so
    except OSError as error:
        raise UserError(f"{path} cannot be copied: {error}") from error
    return target
