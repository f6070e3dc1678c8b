"""The access log: one JSON object a line for each request, and counts over it."""

import json
import threading
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Record:
    """One request.

    Attributes:
        time_s: When it came, in seconds since 1970.
        client: "tensorflow", "beam", "python" or "other".
        host: The host that was asked.
        method: The HTTP method.
        target: The path and the query.
        kind: What it asked for, a key of `calls.BILLING_CLASSES`; "refused" is a connection to another host.
        billing_class: "A", "B" or "free".
        bucket: The bucket.
        name: The object, or the prefix of a list.
        sent_bytes: The size of the request's body.
        received_bytes: The size of the answer's body.
        range: The part of the object that was asked for, as in the header Range; empty means all.
        status: The HTTP status; 0 where the connection was closed instead.
        fault: What went wrong on purpose; empty if nothing.
        in_batch: Whether it is a part of a batch, which has a record of its own.
        duration_s: Until the answer was ready.
    """

    time_s: float
    client: str = "other"
    host: str = ""
    method: str = ""
    target: str = ""
    kind: str = "other"
    billing_class: str = "free"
    bucket: str = ""
    name: str = ""
    sent_bytes: int = 0
    received_bytes: int = 0
    range: str = ""
    status: int = 0
    fault: str = ""
    in_batch: bool = False
    duration_s: float = 0.0

    @property
    def query(self) -> dict[str, str]:
        """The parameters of the query."""
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))


class AccessLog:
    """A file that records are appended to. Safe for threads."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._file = open(path, "a", encoding="utf-8")

    def write(self, record: Record) -> None:
        """Appends a record; it can be read when this returns."""
        with self._lock:
            self._file.write(json.dumps(asdict(record)) + "\n")
            self._file.flush()


def read(path: Path, *, offset: int = 0) -> list[Record]:
    """Returns the records of a log from an offset in bytes."""
    with open(path, "rb") as file:
        file.seek(offset)
        return [Record(**json.loads(line)) for line in file if line.endswith(b"\n")]


@dataclass(frozen=True)
class RequestCounts:
    """What a command asked of the storage.

    Attributes:
        requests: All requests, batches as one.
        class_a: Those that Google bills as class A.
        class_b: Those that Google bills as class B.
        free: Deletions, and parts of uploads after their start.
        sent_bytes: The bodies of the requests.
        received_bytes: The bodies of the answers.
        clients: How many came from each client.
    """

    requests: int
    class_a: int
    class_b: int
    free: int
    sent_bytes: int
    received_bytes: int
    clients: Counter[str]


def count(records: Iterable[Record]) -> RequestCounts:
    """Returns the counts over records; those for tokens do not count."""
    counted = [record for record in records if record.kind != "token"]
    classes = Counter(record.billing_class for record in counted if record.kind != "batch")
    sent = [record for record in counted if not record.in_batch]
    return RequestCounts(
        requests=len(sent),
        class_a=classes["A"],
        class_b=classes["B"],
        free=classes["free"],
        sent_bytes=sum(record.sent_bytes for record in sent),
        received_bytes=sum(record.received_bytes for record in sent),
        clients=Counter(record.client for record in sent),
    )
