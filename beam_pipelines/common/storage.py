"""Files: gs:// through Google's client, local files and other schemes through Beam's FileSystems.

No other module of the package uses FileSystems. Functions take paths of all kinds where they do not say otherwise. No
path is a pattern: Beam's `match` and `delete` read * ? [ in paths as wildcards, so local files are listed and deleted
with the standard library, and paths of other schemes are escaped.
"""

import glob
import os
import shutil
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import BinaryIO, cast

from apache_beam.io.filesystem import BeamIOError, CompressionTypes
from apache_beam.io.filesystems import FileSystems

from beam_pipelines.common import bucket_objects, bucket_uploads, source_listing
from beam_pipelines.common.bucket_access import check_access
from beam_pipelines.common.bucket_client import require_client
from beam_pipelines.common.bucket_errors import BucketError
from beam_pipelines.common.errors import UserError
from beam_pipelines.common.file_entry import FileEntry
from beam_pipelines.common.local_copy import MAX_COPY_BYTES, copy_to_disk
from beam_pipelines.common.paths import check_regular, is_in_bucket, is_local
from beam_pipelines.common.source_listing import SourceListing
from beam_pipelines.common.terminal import counted, stderr

UNCOMPRESSED = CompressionTypes.UNCOMPRESSED
_MAX_SIZE_REQUESTS = 2048
_SIZE_THREADS = 32
_SIZES_PER_BATCH = 64
_SAY_AFTER_S = 10.0
_NO_ANSWER_S = 60.0
_MAX_BYTES_IN_MEMORY = 16 << 20


def require_file_system(path: str) -> None:
    """Checks that what reads and writes a path is installed, without a request.

    Raises:
        ModuleNotFoundError: The path is in a bucket, and google-cloud-storage is not installed.
        ValueError: Beam has no file system for the scheme of the path.
    """
    if is_in_bucket(path):
        require_client()
    else:
        FileSystems.get_filesystem(path)


def join(folder: str, *names: str) -> str:
    """Returns the path of a file or folder below a folder."""
    if is_in_bucket(folder):
        return "/".join([folder.rstrip("/"), *(name.strip("/") for name in names)])
    return str(FileSystems.join(folder, *names))


def open_file(path: str) -> BinaryIO:
    """Opens a file that is not in a bucket for reading and seeking; those are read whole.

    Raises:
        FileNotFoundError: There is no such file.
        OSError: It cannot be opened, or is not a regular file. (Beam's BeamIOError is one.)
    """
    check_regular(path)
    try:
        file: BinaryIO = FileSystems.open(path, compression_type=UNCOMPRESSED)
    except OSError as error:
        # The error of another storage for a missing file is not a FileNotFoundError.
        if not exists(path):
            raise FileNotFoundError(f"there is no file {path}") from error
        raise
    return file


def open_local(path: str) -> BinaryIO:
    """Opens a local file, or a temporary local copy of a remote file, for reading and seeking.

    Decoders treat a failed read of a remote file as its end; a complete copy has none.

    Raises:
        FileNotFoundError: There is no such file.
        OSError: It cannot be opened or read after retries, or is too large to copy.
        RunAgainError: Its bucket cannot be reached.
    """
    if is_local(path):
        return open_file(path)
    if is_in_bucket(path):
        try:
            return bucket_objects.download_to_disk(path, max_bytes=MAX_COPY_BYTES)
        except BucketError as error:  # as for a local file
            raise PermissionError(str(error)) from error
    return copy_to_disk(lambda: open_file(path), name=path)


def read_text(path: str) -> str:
    """Returns the contents of a UTF-8 file."""
    return read_bytes(path).decode()


def read_bytes(path: str) -> bytes:
    """Returns the contents of a file."""
    if is_in_bucket(path):
        return bucket_objects.download(path)
    with open_file(path) as file:
        return file.read()


def write_atomically(path: str, *, write: Callable[[BinaryIO], None], scratch_dir: str) -> None:
    """Writes a file under a temporary name and renames it: readers see the whole file or none.

    In a bucket, where an object is seen when it is complete, it is written to the local disk and uploaded.

    Args:
        path: The file; an existing file is replaced.
        write: Called with the temporary file, open for writing.
        scratch_dir: The folder of the temporary file, on the same file system as the path.
    """
    if is_in_bucket(path):
        with tempfile.SpooledTemporaryFile(_MAX_BYTES_IN_MEMORY, prefix="beamtune-") as spooled:
            content = cast(BinaryIO, spooled)
            write(content)
            bucket_uploads.upload(path, content)
        return
    temporary = join(scratch_dir, f"{uuid.uuid4().hex}.tmp")
    with FileSystems.create(temporary, compression_type=UNCOMPRESSED) as file:
        write(file)
    FileSystems.rename([temporary], [path])


def write_text_atomically(path: str, text: str, *, scratch_dir: str) -> None:
    """Writes a UTF-8 file under a temporary name and renames it."""
    write_atomically(path, write=lambda file: write_all(file, text.encode()), scratch_dir=scratch_dir)


def exists(path: str) -> bool:
    """Returns whether a file, or a local folder, exists. Folders do not exist in a bucket."""
    return bucket_objects.size_bytes(path) is not None if is_in_bucket(path) else bool(FileSystems.exists(path))


def list_files(folder: str) -> list[FileEntry]:
    """Returns the files in a folder and below it, ordered by path. Links to folders are not followed."""
    if is_local(folder):
        return sorted(_walk(folder), key=lambda entry: entry.path)
    if is_in_bucket(folder):
        return sorted(bucket_objects.list_objects(folder), key=lambda entry: entry.path)
    try:
        [result] = FileSystems.match([join(_escape(folder), "**")])
    except BeamIOError as error:
        raise UserError(f"{folder} cannot be listed: {_cause(error)}") from error
    entries = [
        FileEntry(path=found.path, size_bytes=found.size_in_bytes, updated_s=found.last_updated_in_seconds)
        for found in result.metadata_list
    ]
    return sorted(entries, key=lambda entry: entry.path)


def list_source(folder: str) -> SourceListing:
    """Returns the files in a person's own folder and below it, as `source_listing` does, for any scheme."""
    if is_local(folder) or is_in_bucket(folder):
        return source_listing.list_source(folder)
    return SourceListing(files=list_files(folder))


def size_bytes(path: str) -> int:
    """Returns the size of a file.

    Raises:
        OSError: There is no such file.
    """
    if is_local(path):
        try:
            return os.path.getsize(path)
        except FileNotFoundError as error:
            raise FileNotFoundError(f"there is no file {path}") from error
    if is_in_bucket(path):
        size = bucket_objects.size_bytes(path)
        if size is None:
            raise FileNotFoundError(f"there is no file {path}")
        return size
    [result] = FileSystems.match([_escape(path)])
    if not result.metadata_list:
        raise FileNotFoundError(f"there is no file {path}")
    return int(result.metadata_list[0].size_in_bytes)


def sizes_bytes(names: Sequence[str]) -> list[int]:
    """Returns the sizes of files, 0 for one that does not exist, for estimates.

    Local files are looked up all, several at a time, because a network's file system takes long to answer. Of more than
    `_MAX_SIZE_REQUESTS` files in buckets a part is looked up, and the others have its mean size. A note says so if it
    takes long.

    Raises:
        UserError: A storage does not answer, or a bucket refuses.
        RunAgainError: A bucket cannot be reached.
    """
    local = [index for index, name in enumerate(names) if is_local(name)]
    remote = [index for index, name in enumerate(names) if not is_local(name)]
    step = max(1, -(-len(remote) // _MAX_SIZE_REQUESTS))
    asked = [*local, *remote[::step]]
    batches = [asked[first : first + _SIZES_PER_BATCH] for first in range(0, len(asked), _SIZES_PER_BATCH)]
    sizes: dict[int, int] = {}
    has_failed = threading.Event()

    def look_up(batch: Sequence[int]) -> list[int]:
        try:
            # Once one request is not answered, the others would wait as long, one after the other.
            return [0 if has_failed.is_set() else _size_or_0(names[index]) for index in batch]
        except UserError:
            has_failed.set()
            raise

    with _saying_what_takes_long(names), ThreadPoolExecutor(_SIZE_THREADS) as threads:
        for batch, found in zip(batches, threads.map(look_up, batches), strict=True):
            sizes.update(zip(batch, found, strict=True))
    found_remote = [sizes[index] for index in remote[::step] if sizes[index]]
    mean = sum(found_remote) // len(found_remote) if found_remote else 0
    return [sizes.get(index, mean) for index in range(len(names))]


def _size_or_0(name: str) -> int:
    started_s = time.monotonic()
    try:
        return size_bytes(name)
    except (OSError, ValueError) as error:
        # Those of buckets end at their deadline; clients of other storages may repeat a request for long.
        if not is_local(name) and time.monotonic() - started_s >= _NO_ANSWER_S:
            raise UserError(
                f"{name}: its size cannot be looked up ({_cause(error)}): check the network and the credentials"
            ) from error
        return 0


@contextmanager
def _saying_what_takes_long(names: Sequence[str]) -> Iterator[None]:
    stream = stderr()  # here, because another thread does not know whether this one is quiet

    def say() -> None:
        print(f"note: looking up the sizes of {counted(len(names), 'file')}, such as {names[0]}", file=stream)

    note = threading.Timer(_SAY_AFTER_S, say)
    note.daemon = True
    note.start()
    try:
        yield
    finally:
        note.cancel()


def make_folder(path: str) -> None:
    """Creates a folder and its parents where they do not exist; does nothing in a bucket."""
    if is_in_bucket(path) or exists(path):
        return
    try:
        FileSystems.mkdirs(path)
    except OSError:
        if not exists(path):  # another worker may have created it
            raise


def delete_files(names: Sequence[str]) -> None:
    """Deletes the files of these names. Missing files are ignored."""
    for path in filter(is_local, names):
        with suppress(FileNotFoundError):
            os.remove(path)
    in_buckets = [path for path in names if is_in_bucket(path)]
    if in_buckets:
        bucket_objects.delete(in_buckets)
    present = [path for path in names if not is_local(path) and not is_in_bucket(path) and exists(path)]
    if present:
        FileSystems.delete([_escape(path) for path in present])


def delete_folder(path: str) -> None:
    """Deletes a folder with its contents, if it exists. Of links in it, only the links are deleted.

    In a bucket a folder is only a prefix of file names, so the files are deleted.
    """
    if not is_local(path):
        delete_files([entry.path for entry in list_files(path)])
    elif os.path.isdir(path):
        shutil.rmtree(os.path.realpath(path))


def require_writable(folder: str, *, key: str) -> None:
    """Checks that files can be written to a folder, and creates it if it does not exist.

    Raises:
        UserError: They cannot; the message names the key of the setting.
    """
    if is_in_bucket(folder):
        check_access(written=[folder])
        return
    probe = join(folder, f".{uuid.uuid4().hex}.probe")
    try:
        with FileSystems.create(probe, compression_type=UNCOMPRESSED) as file:
            write_all(file, b"")
        delete_files([probe])
    except (OSError, ValueError) as error:
        raise UserError(f"{key}={folder} cannot be written to: {_cause(error)}") from error


def write_all(file: BinaryIO, data: bytes) -> None:
    """Writes bytes to an open file, for the `write` of `write_atomically`."""
    file.write(data)


def _walk(folder: str) -> Iterator[FileEntry]:
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            # A file may disappear, and a link may lead nowhere.
            with suppress(OSError):
                status = os.stat(path)
                yield FileEntry(path=path, size_bytes=status.st_size, updated_s=status.st_mtime)


def _escape(path: str) -> str:
    """Escapes wildcard characters; the scheme of gs:// has none."""
    return glob.escape(path)


def _cause(error: Exception) -> str:
    """Returns the message of the innermost exception, on one line."""
    details = getattr(error, "exception_details", None)
    inner = next(iter(details.values())) if details else error
    return " ".join(str(inner).split())
