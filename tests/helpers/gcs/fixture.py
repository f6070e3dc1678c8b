"""What a test sees of the emulator: a bucket of its own, commands on it, and what they asked."""

import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from forked_command import ForkedCommand, run_forked

from gcs import access_log
from gcs.access_log import Record, RequestCounts
from gcs.certificates import HOSTS
from gcs.faults import Faults
from gcs.process import GcsProcess

_REPOSITORY = Path(__file__).resolve().parents[3]
_COMMAND_TIMEOUT_S = 600.0
_HELD_TIMEOUT_S = 120.0


class Gcs:
    """A new bucket without faults.

    Attributes:
        process: The emulator.
        bucket: The name of the bucket.
        url: A folder in it, as gs://, which exists once something is written below it.
        environment: All variables for a process that uses the bucket.
    """

    def __init__(self, process: GcsProcess, bucket: str) -> None:
        self.process = process
        self.bucket = bucket
        self.url = f"gs://{bucket}/data"
        self.environment = {**process.environment(), "PYTHONPATH": str(_REPOSITORY)}
        process.control("wipe")
        process.make_bucket(bucket)
        self.set_faults(Faults())
        self._offset = process.log_path.stat().st_size

    def run(
        self, words: Sequence[object], *, cwd: Path | None = None, timeout_s: float = _COMMAND_TIMEOUT_S
    ) -> "subprocess.CompletedProcess[str]":
        """Runs a command of beamtune to its end; returns its returncode, stdout and stderr."""
        return run_forked(words, cwd=cwd, environment=self.environment, timeout_s=timeout_s)

    def start(self, words: Sequence[object], *, cwd: Path | None = None) -> ForkedCommand:
        """Starts a command of beamtune."""
        return ForkedCommand(words, cwd=cwd, environment=self.environment)

    def set_faults(self, faults: Faults) -> None:
        """Sets what goes wrong from now on; requests that are held go on."""
        self.process.control("faults", **asdict(faults))

    def wait_until_held(self, count: int = 1) -> None:
        """Waits until so many requests are held, as `Faults.hold` says.

        Raises:
            TimeoutError: They have not come.
        """
        deadline_s = time.monotonic() + _HELD_TIMEOUT_S
        while self.process.control("state")["held"] < count:
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"no {count} requests were held within {_HELD_TIMEOUT_S:.0f} s")
            time.sleep(0.05)

    def requests(self) -> list[Record]:
        """Returns what was asked since the test began, or since `clear_requests`."""
        return access_log.read(self.process.log_path, offset=self._offset)

    def clear_requests(self) -> None:
        """Forgets what was asked until now."""
        self._offset = self.process.log_path.stat().st_size

    def count_requests(self) -> RequestCounts:
        """Returns counts over `requests()`."""
        return access_log.count(self.requests())

    def check_network(self, *clients: str) -> None:
        """Asserts that these clients, and no others, used the storage, and that no host but Google's was asked."""
        records = self.requests()
        assert {record.host for record in records} <= set(HOSTS)
        used = {record.client for record in records if record.kind != "token"}
        assert used == set(clients), [record for record in records if record.client not in clients][:3]

    def upload(self, folder: Path, name: str = "") -> str:
        """Copies the files of a local folder to a folder below the URL; returns the folder's URL."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.write("/".join(filter(None, [name, path.relative_to(folder).as_posix()])), path.read_bytes())
        return f"{self.url}/{name}" if name else self.url

    def download(self, target: Path, name: str = "") -> Path:
        """Copies the objects of a folder below the URL to a local folder; returns it."""
        for relative, content in self.contents(name).items():
            path = target / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return target

    def contents(self, name: str = "") -> dict[str, bytes]:
        """Returns the contents of the objects in a folder below the URL, by their names below that."""
        prefix = "/".join(filter(None, ["data", name])) + "/"
        return {
            full.removeprefix(prefix): self.process.get(self.bucket, full)
            for full in self.process.list_objects(self.bucket, prefix)
            if full != prefix
        }

    def write(self, name: str, content: bytes) -> None:
        """Writes an object below the URL."""
        self.process.put(self.bucket, f"data/{name}", content)

    def read(self, name: str) -> bytes:
        """Returns the content of an object below the URL.

        Raises:
            FileNotFoundError: There is no such object.
        """
        return self.process.get(self.bucket, f"data/{name}")

    def delete(self, name: str) -> None:
        """Deletes an object below the URL."""
        self.process.delete(self.bucket, f"data/{name}")
