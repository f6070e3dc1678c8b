"""A folder in a bucket of Google Cloud Storage: the objects whose names begin with a prefix.

This is all that the package knows of the client, google-cloud-storage. Its transfer manager is not used: that gives all
objects of a call one precondition, tries every file after the first is refused, and starts large files from zero.
"""

import mimetypes
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from io import RawIOBase
from typing import Any

from beam_pipelines.common.bucket_client import client
from beam_pipelines.common.bucket_requests import WRITE_ANSWER_S, look_up, request_options
from beam_pipelines.common.paths import bucket_and_prefix
from beam_pipelines.common.retries import with_retries
from beam_pipelines.sync.errors import GenerationError
from beam_pipelines.sync.names import tree_of
from beam_pipelines.sync.trees import Copy, Tree, TreeFile

_LISTED_FIELDS = "items(name,size,crc32c,generation),nextPageToken"
# Of an upload in several requests. The client keeps one such piece per worker in memory.
_UPLOAD_CHUNK_BYTES = 16 << 20


class BucketFolder:
    """The objects below a gs:// path.

    Each method repeats its requests while the service cannot be reached, and raises a RunAgainError after the deadline;
    a UserError where there is no such bucket, or a permission or valid credentials are missing; and a GenerationError
    where an object has another generation than the expected one, which is 0 for one that must not exist.
    """

    def __init__(self, uri: str) -> None:
        """Makes no request.

        Raises:
            ModuleNotFoundError: google-cloud-storage is not installed.
        """
        bucket, self.prefix = bucket_and_prefix(uri)
        self.uri = uri
        self._bucket = client().bucket(bucket)

    def list(self, *, problem: Callable[[str], str | None]) -> Tree:
        """Lists the objects, 1,000 with each request. Empty objects that stand for folders are ignored.

        Args:
            problem: Returns why an object of some name is left out, or None.
        """
        found = self._list(self.prefix, num_skipped=len(self.prefix))
        files = (file for file in found if file.name and (file.size_bytes or not file.name.endswith("/")))
        return tree_of(files, problem=problem)

    def is_object(self) -> bool:
        """Returns whether an object has the name of the folder."""
        name = self.prefix.removesuffix("/")
        return [file.name for file in self._list(name, max_results=1)] == [name]

    def _list(self, prefix: str, *, num_skipped: int = 0, max_results: int | None = None) -> Sequence[TreeFile]:
        """Returns the objects whose names begin with a prefix, without the first letters of their names."""

        def read() -> Sequence[TreeFile]:
            options = {"prefix": prefix, "max_results": max_results, "fields": _LISTED_FIELDS, **request_options()}
            return [_file_of(blob, blob.name[num_skipped:]) for blob in client().list_blobs(self._bucket, **options)]

        return with_retries(read, path=self.uri)

    def upload(
        self, source: RawIOBase, name: str, *, size_bytes: int, generation: int, crc32c: Callable[[], str]
    ) -> TreeFile:
        """Writes an object that has this generation; returns it.

        Args:
            source: A file with the content, which can be read several times.
            name: The name of the object.
            size_bytes: The size of the content.
            generation: The expected generation.
            crc32c: Returns the checksum of the content.
        """

        def write(blob: Any) -> None:
            source.seek(0)
            options = {"if_generation_match": generation, "checksum": "crc32c", **request_options(WRITE_ANSWER_S)}
            blob.chunk_size = _UPLOAD_CHUNK_BYTES
            blob.upload_from_file(source, size=size_bytes, content_type=_content_type_of(name), **options)

        return self._write(name, write, crc32c=crc32c)

    def compose(self, parts: Sequence[TreeFile], name: str, *, generation: int, crc32c: str) -> TreeFile:
        """Writes an object that has this generation, so that it consists of others, at most 32; returns it.

        Args:
            parts: The others.
            name: The name of the object.
            generation: The expected generation.
            crc32c: The checksum of all parts together.
        """
        sources = [self._blob(part.name) for part in parts]
        generations = [part.generation for part in parts]

        def write(blob: Any) -> None:
            options = {"if_generation_match": generation, "if_source_generation_match": generations}
            blob.content_type = _content_type_of(name)
            blob.compose(sources, **options, **request_options(WRITE_ANSWER_S))

        return self._write(name, write, crc32c=lambda: crc32c)

    def copy_from(self, source: "BucketFolder", copy: Copy) -> TreeFile:
        """Copies an object of another folder, without a download; returns the new object."""
        file, original = copy.file, source._blob(copy.file.name)

        def write(blob: Any) -> None:
            options = {"if_generation_match": copy.generation, "if_source_generation_match": file.generation}
            token: str | None = None
            while True:
                token, _, _ = blob.rewrite(original, token=token, **options, **request_options(WRITE_ANSWER_S))
                if token is None:
                    return

        return self._write(file.name, write, crc32c=lambda: file.crc32c)

    def download(self, file: TreeFile, sink: RawIOBase, *, start: int, size_bytes: int) -> None:
        """Writes some bytes of an object, as they are stored, to the beginning of a file."""
        part = {"start": start, "end": start + size_bytes - 1, "raw_download": True}

        def read() -> None:
            sink.seek(0)
            # The caller compares the checksum of the whole file.
            options = {"if_generation_match": file.generation, "checksum": None, **request_options()}
            with _generation_errors():
                self._blob(file.name).download_to_file(sink, **part, **options)

        with_retries(read, path=f"{self.uri}/{file.name}")

    def delete(self, file: TreeFile) -> None:
        """Deletes an object. One that does not exist any more is ignored."""
        from google.api_core.exceptions import NotFound

        def delete() -> None:
            with _generation_errors(), suppress(NotFound):
                self._blob(file.name).delete(if_generation_match=file.generation, **request_options())

        with_retries(delete, path=f"{self.uri}/{file.name}")

    def _blob(self, name: str) -> Any:
        return self._bucket.blob(self.prefix + name)

    def _write(self, name: str, write: Callable[[Any], None], *, crc32c: Callable[[], str]) -> TreeFile:
        """Returns the object that a function writes, or the one that has this checksum where it writes none."""
        blob, path = self._blob(name), f"{self.uri}/{name}"

        def attempt() -> TreeFile:
            with _generation_errors():
                write(blob)
            return _file_of(blob, name)

        try:
            return with_retries(attempt, path=path)
        except GenerationError:
            # A repeated request finds what its first attempt has written, whose answer was lost.
            found = with_retries(lambda: look_up(path), path=path)
            if found is None or found.crc32c != crc32c():
                raise
            return _file_of(found, name)


@contextmanager
def _generation_errors() -> Iterator[None]:
    """Turns the answers that a precondition does not hold, and that there is no object, into a GenerationError."""
    from google.api_core.exceptions import NotFound, PreconditionFailed

    try:
        yield
    except (PreconditionFailed, NotFound) as error:
        raise GenerationError("another command has written or deleted it at the same time") from error


def _file_of(blob: Any, name: str) -> TreeFile:
    return TreeFile(name, int(blob.size), crc32c=blob.crc32c or "", generation=int(blob.generation))


def _content_type_of(name: str) -> str:
    """Returns the MIME type that the ending of a name stands for."""
    return mimetypes.guess_type(name, strict=False)[0] or "application/octet-stream"
