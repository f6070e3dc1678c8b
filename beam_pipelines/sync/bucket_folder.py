"""A folder in a bucket of Google Cloud Storage: the objects whose names begin with a prefix.

This is all that the package knows of the client, google-cloud-storage. Its transfer manager is not used: that gives all
objects of a call one precondition, tries every file after the first is refused, and starts large files from zero.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO

from beam_pipelines.common.bucket_client import client, is_installed
from beam_pipelines.common.errors import UserError
from beam_pipelines.common.extras import DOCTOR_HINT
from beam_pipelines.common.paths import bucket_and_name
from beam_pipelines.common.retries import retry_deadline_s
from beam_pipelines.sync.names import is_leftover, is_own
from beam_pipelines.sync.trees import Tree, TreeFile

_TIMEOUT_S = 60.0  # of one request
_LISTED_FIELDS = "items(name,size,crc32c,generation),nextPageToken"
# Of an upload in several requests. The client keeps one such piece per worker in memory.
_UPLOAD_CHUNK_BYTES = 16 << 20


class GenerationError(Exception):
    """An object has been written or deleted since it was listed."""


def require_client() -> None:
    """Checks that google-cloud-storage is installed.

    Raises:
        UserError: It is not.
    """
    if not is_installed():
        raise UserError(f"sync needs google-cloud-storage: pip install 'beamtune[cloud]' ({DOCTOR_HINT})")


class BucketFolder:
    """The objects below a gs:// path."""

    def __init__(self, uri: str) -> None:
        from google.cloud.storage.retry import DEFAULT_RETRY  # type: ignore[import-untyped]

        bucket, prefix = bucket_and_name(uri)
        self.uri = uri
        self.prefix = f"{prefix.rstrip('/')}/" if prefix.rstrip("/") else ""
        self._client = client()
        self._bucket = self._client.bucket(bucket)
        self._options = {"timeout": _TIMEOUT_S, "retry": DEFAULT_RETRY.with_timeout(retry_deadline_s())}

    def list(self, *, problem: Callable[[str], str | None]) -> Tree:
        """Lists the objects, 1,000 with each request. Empty objects that stand for folders are ignored.

        Args:
            problem: Returns why an object of some name is left out, or None.
        """
        files: dict[str, TreeFile] = {}
        left_out: dict[str, list[str]] = defaultdict(list)
        leftovers = []
        blobs = self._client.list_blobs(self._bucket, prefix=self.prefix, fields=_LISTED_FIELDS, **self._options)
        for blob in blobs:
            file = _file_of(blob, blob.name[len(self.prefix) :])
            if file.name == "" or (file.name.endswith("/") and file.size_bytes == 0):
                continue
            if is_own(file.name):
                leftovers += [file] if is_leftover(file.name) else []
            elif reason := problem(file.name):
                left_out[reason].append(file.name)
            else:
                files[file.name] = file
        return Tree(files=files, left_out=left_out, leftovers=leftovers)

    def upload(
        self, source: BinaryIO, name: str, *, size_bytes: int, generation: int, content_type: str | None = None
    ) -> TreeFile:
        """Writes an object that has this generation, 0 if it does not exist; returns it.

        Args:
            source: A file with the content, which can be read several times.
            name: The name of the object.
            size_bytes: The size of the content.
            generation: The expected generation.
            content_type: The MIME type.

        Raises:
            GenerationError: The object has another generation; it is not written.
        """
        blob = self._bucket.blob(self.prefix + name, chunk_size=_UPLOAD_CHUNK_BYTES)
        with _generation_errors():
            blob.upload_from_file(
                source,
                size=size_bytes,
                content_type=content_type,
                if_generation_match=generation,
                checksum="crc32c",
                **self._options,
            )
        return _file_of(blob, name)

    def compose(
        self, parts: Sequence[TreeFile], name: str, *, generation: int, content_type: str | None = None
    ) -> TreeFile:
        """Writes an object that consists of others, at most 32; returns it.

        Raises:
            GenerationError: The object has another generation than the expected one, or a part is missing.
        """
        blob = self._bucket.blob(self.prefix + name)
        blob.content_type = content_type
        sources = [self._bucket.blob(self.prefix + part.name) for part in parts]
        with _generation_errors(of_missing=True):
            blob.compose(
                sources,
                if_generation_match=generation,
                if_source_generation_match=[part.generation for part in parts],
                **self._options,
            )
        return _file_of(blob, name)

    def download(self, file: TreeFile, sink: BinaryIO, *, start: int, size_bytes: int) -> None:
        """Writes some bytes of an object, as they are stored, to a file.

        Raises:
            GenerationError: The object has been written or deleted since it was listed.
        """
        blob = self._bucket.blob(self.prefix + file.name)
        with _generation_errors(of_missing=True):
            blob.download_to_file(
                sink,
                start=start,
                end=start + size_bytes - 1,
                raw_download=True,
                if_generation_match=file.generation,
                checksum=None,  # the caller compares that of the whole file
                **self._options,
            )

    def copy_from(self, source: "BucketFolder", file: TreeFile, *, generation: int) -> TreeFile:
        """Copies an object of another folder, without a download; returns the new object.

        Raises:
            GenerationError: One of both objects has another generation than the expected one.
        """
        original = source._bucket.blob(source.prefix + file.name)
        blob = self._bucket.blob(self.prefix + file.name)
        token: str | None = None
        with _generation_errors(of_missing=True):
            while True:
                token, _, _ = blob.rewrite(
                    original,
                    token=token,
                    if_generation_match=generation,
                    if_source_generation_match=file.generation,
                    **self._options,
                )
                if token is None:
                    return _file_of(blob, file.name)

    def look_up(self, name: str) -> TreeFile | None:
        """Returns an object; None if there is none."""
        blob = self._bucket.get_blob(self.prefix + name, **self._options)
        return None if blob is None else _file_of(blob, name)

    def delete(self, file: TreeFile) -> None:
        """Deletes an object. One that does not exist any more is ignored.

        Raises:
            GenerationError: It has been written since it was listed.
        """
        from google.api_core.exceptions import NotFound

        with suppress(NotFound), _generation_errors():
            self._bucket.blob(self.prefix + file.name).delete(if_generation_match=file.generation, **self._options)


@contextmanager
def _generation_errors(*, of_missing: bool = False) -> Iterator[None]:
    """Turns the answer to a request whose precondition does not hold into a GenerationError.

    Args:
        of_missing: Whether to do so with an answer that there is no such object, too.
    """
    from google.api_core.exceptions import NotFound, PreconditionFailed

    try:
        yield
    except (PreconditionFailed, NotFound) as error:
        if isinstance(error, NotFound) and not of_missing:
            raise
        raise GenerationError("another command has written or deleted it at the same time") from error


def _file_of(blob: Any, name: str) -> TreeFile:
    return TreeFile(name, int(blob.size), crc32c=blob.crc32c or "", generation=int(blob.generation))
