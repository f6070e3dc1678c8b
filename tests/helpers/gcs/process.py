"""The emulator in a process of its own, as its parent sees it."""

import json
import os
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from gcs import environment
from gcs.front import CONTROL, TOKEN

_HELPERS = Path(__file__).resolve().parents[1]
_TIMEOUT_S = 120.0


class GcsProcess:
    """A running emulator; a context manager that ends it. It also ends when this process does, in whatever way."""

    def __init__(self, folder: Path, *, port: int = 0) -> None:
        """Starts it.

        Args:
            folder: For certificates, credentials and the access log.
            port: The port on 127.0.0.1; 0 means any.

        Raises:
            RuntimeError: It does not start.
        """
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gcs.server", str(folder), str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(_HELPERS)},
            start_new_session=True,  # Ctrl-C is for the command that uses it
        )
        assert self._process.stdout is not None
        try:
            line = self._process.stdout.readline()
        except BaseException:
            self.stop()
            raise
        if not line:
            raise RuntimeError(f"the emulator did not start: {self._process.communicate()[1].strip()}")
        self.port = int(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends it."""
        self._process.communicate()

    @property
    def log_path(self) -> Path:
        """The access log."""
        return self.folder / "access.jsonl"

    def environment(self) -> dict[str, str]:
        """Returns all variables for a process that uses it."""
        return environment.environment(self.folder, self.port, os.environ)

    def control(self, action: str, **request: object) -> dict[str, Any]:
        """Does something that no client of the service can: "faults", "wipe", "bucket" or "state"."""
        status, body = self._exchange("POST", CONTROL + action, json.dumps(request).encode())
        assert status == 200, body
        return dict(json.loads(body))

    def make_bucket(self, name: str) -> None:
        """Creates a bucket."""
        self.control("bucket", name=name)

    def put(self, bucket: str, name: str, content: bytes) -> None:
        """Writes an object."""
        target = f"/upload/storage/v1/b/{bucket}/o?uploadType=media&name={quote(name, safe='')}"
        status, body = self._exchange("POST", target, content)
        assert status == 200, body

    def get(self, bucket: str, name: str) -> bytes:
        """Returns the content of an object.

        Raises:
            FileNotFoundError: There is no such object.
        """
        status, body = self._exchange("GET", f"/storage/v1/b/{bucket}/o/{quote(name, safe='')}?alt=media")
        if status == 404:
            raise FileNotFoundError(f"gs://{bucket}/{name}")
        assert status == 200, body
        return body

    def delete(self, bucket: str, name: str) -> None:
        """Deletes an object."""
        status, body = self._exchange("DELETE", f"/storage/v1/b/{bucket}/o/{quote(name, safe='')}")
        assert status == 204, body

    def list_objects(self, bucket: str, prefix: str = "") -> dict[str, dict[str, Any]]:
        """Returns the metadata of the objects by name, for names that begin with a prefix."""
        found: dict[str, dict[str, Any]] = {}
        token = ""
        while True:
            target = f"/storage/v1/b/{bucket}/o?prefix={quote(prefix, safe='')}&pageToken={quote(token)}"
            status, body = self._exchange("GET", target)
            assert status == 200, body
            page = json.loads(body)
            found.update((item["name"], item) for item in page.get("items", []))
            token = page.get("nextPageToken", "")
            if not token:
                return found

    def _exchange(self, method: str, target: str, body: bytes = b"") -> tuple[int, bytes]:
        """Sends a request that nothing goes wrong with and that the log does not show."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=_TIMEOUT_S)
        try:
            direct = target if target.startswith(CONTROL) else CONTROL + "direct" + target
            connection.request(method, direct, body, {"Authorization": f"Bearer {TOKEN}"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()
