"""The file of a lease in a bucket: an object that is written only if it has an expected generation."""

import time
from contextlib import suppress
from typing import Any, Protocol

from beam_pipelines.common.bucket_client import client, is_installed
from beam_pipelines.common.bucket_errors import translate
from beam_pipelines.common.bucket_requests import timeout_s
from beam_pipelines.common.bucket_writes import note_write, wait_to_write_again
from beam_pipelines.common.lease_holder import Holder
from beam_pipelines.common.paths import bucket_and_name, is_in_bucket

# A lease that cannot be given back is stale after a minute.
_DELETE_RETRIES_S = 10.0


class Bucket(Protocol):
    """Objects that are written only if they have an expected generation."""

    def read(self, name: str) -> tuple[bytes, int] | None:
        """Returns the content and the generation of an object; None if there is none."""

    def write(self, name: str, content: bytes, *, generation: int) -> int | None:
        """Writes an object that has this generation, 0 if it does not exist.

        Returns:
            Its new generation; None if it has another generation, and is not written.
        """

    def delete(self, name: str, *, generation: int) -> bool:
        """Deletes an object if it has this generation; returns False if it has another one."""


class BucketLeaseFile:
    """A lease in a bucket. Its heartbeat is in its content."""

    def __init__(self, bucket: Bucket, name: str) -> None:
        self._bucket = bucket
        self._name = name
        self._generation = 0
        self._owner = ""

    def take(self, holder: Holder) -> Holder | None:
        self._owner = holder.owner
        found = self._bucket.read(self._name)
        content, generation = (b"", 0) if found is None else found
        other = Holder.from_json(content)
        if other is not None and other.owner == holder.owner:
            # The client has repeated a request, and the first attempt had succeeded.
            self._generation = generation
            return None
        if other is not None and not other.is_stale(time.time()):
            return other
        written = self._bucket.write(self._name, holder.to_json(), generation=generation)
        if written is None:  # another command was faster: its lease is read again
            return self.take(holder)
        self._generation = written
        return None

    def refresh(self, holder: Holder) -> bool:
        written = self._bucket.write(self._name, holder.to_json(), generation=self._generation)
        if written is None:
            # A repeated request may have found its own first attempt.
            found = self._bucket.read(self._name)
            other = None if found is None else Holder.from_json(found[0])
            if found is None or other is None or other.owner != holder.owner:
                return False
            written = found[1]
        self._generation = written
        return True

    def release(self) -> None:
        if self._bucket.delete(self._name, generation=self._generation):
            return
        # The answer to the last refresh may have been lost: then the lease is still this one's.
        with suppress(Exception):  # each client raises other types; the lease is stale after a minute
            found = self._bucket.read(self._name)
            other = None if found is None else Holder.from_json(found[0])
            if found is not None and other is not None and other.owner == self._owner:
                self._bucket.delete(self._name, generation=found[1])


class _GoogleBucket:
    """A bucket of Google Cloud Storage. Each call is one attempt: who calls it tries again."""

    def __init__(self, bucket: Any) -> None:
        self._bucket = bucket

    def read(self, name: str) -> tuple[bytes, int] | None:
        from google.api_core.exceptions import NotFound

        blob = self._bucket.blob(name)
        try:
            content = blob.download_as_bytes(timeout=timeout_s(), retry=None)
        except NotFound as error:
            if translate(error) is None:  # the bucket exists
                return None
            raise
        return content, int(blob.generation)

    def write(self, name: str, content: bytes, *, generation: int) -> int | None:
        from google.api_core.exceptions import PreconditionFailed

        blob, path = self._bucket.blob(name), f"gs://{self._bucket.name}/{name}"
        wait_to_write_again(path)
        try:
            blob.upload_from_string(content, if_generation_match=generation, timeout=timeout_s(), retry=None)
        except PreconditionFailed:
            return None
        note_write(path)
        return int(blob.generation)

    def delete(self, name: str, *, generation: int) -> bool:
        from google.api_core.exceptions import GoogleAPIError, PreconditionFailed
        from google.auth.exceptions import GoogleAuthError
        from google.cloud.storage.retry import DEFAULT_RETRY  # type: ignore[import-untyped]

        retry = DEFAULT_RETRY.with_timeout(_DELETE_RETRIES_S)
        try:
            self._bucket.blob(name).delete(if_generation_match=generation, timeout=timeout_s(), retry=retry)
        except PreconditionFailed:
            return False
        except (GoogleAPIError, GoogleAuthError, OSError):  # those of requests are OSErrors
            pass  # it is stale after a minute
        return True


def open_bucket(directory: str) -> Bucket | None:
    """Returns the bucket of a path; None if it is not gs://, or google-cloud-storage is not installed.

    Raises:
        GoogleAuthError: The credentials cannot be read.
    """
    if not is_in_bucket(directory) or not is_installed():
        return None
    return _GoogleBucket(client().bucket(bucket_and_name(directory)[0]))
