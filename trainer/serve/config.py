"""Settings of `beamtune serve`.

Imports nothing heavy, so that the command line starts fast.
"""

from dataclasses import dataclass, field

from beam_pipelines.common.checks import check, check_path
from beam_pipelines.common.paths import is_local
from beam_pipelines.common.retries import StorageConfig
from trainer.evaluation.confidence import check_min_confidence
from trainer.evaluation.config import check_batch_size

# Of a service, whose clients wait: other commands repeat operations on buckets for ten minutes.
_RETRY_DEADLINE_S = 30.0


@dataclass(frozen=True)
class ServeConfig:
    """Settings of `beamtune serve`, in addition to the model; raises UserError for an invalid value.

    Attributes:
        host: The address to listen on; None is 127.0.0.1, or 0.0.0.0 in a container. Another address than that of this
            machine needs `token_file`.
        port: The port to listen on, 0 for any free port; None is 8080, or that of Vertex AI or Cloud Run.
        token_file: A file with a token that clients must send; None for a service of this machine alone.
        allowed_hosts: Names by which a reverse proxy on this machine, or a container, is reached, such as
            music.example.org.
        allowed_buckets: Buckets whose objects the route for Vertex AI may read at the request of clients.
        max_upload_bytes: The largest body of a request.
        max_duration_s: The longest audio that is predicted, in seconds.
        upload_timeout_s: How long a client may take to send a request.
        num_threads: Files that are decoded at the same time; None is the number of cores.
        max_waiting: Uploaded files that wait for a thread; more are refused.
        max_connections: Connections at the same time; requests on others are refused.
        batch_size: Segments in a batch of a run; an export chooses its own.
        min_confidence: If the most probable genre has a lower probability, the label of the file is "unknown".
        shutdown_timeout_s: How long requests may take to end after SIGTERM.
        storage: How buckets are treated.
    """

    host: str | None = None
    port: int | None = None
    token_file: str | None = None
    allowed_hosts: list[str] = field(default_factory=list)
    allowed_buckets: list[str] = field(default_factory=list)
    max_upload_bytes: int = 64 << 20
    max_duration_s: float = 3600.0
    upload_timeout_s: float = 60.0
    num_threads: int | None = None
    max_waiting: int = 16
    max_connections: int = 256
    batch_size: int = 32
    min_confidence: float = 0.0
    shutdown_timeout_s: float = 30.0
    storage: StorageConfig = field(default_factory=lambda: StorageConfig(retry_deadline_s=_RETRY_DEADLINE_S))

    def __post_init__(self) -> None:
        if self.host is not None:
            is_address = self.host.strip() != "" and self.host.isascii() and self.host.isprintable()
            check(is_address, key="host", value=self.host, expected="an address, such as 127.0.0.1")
        if self.token_file is not None:
            check_path(self.token_file, key="token_file")
            check(is_local(self.token_file), key="token_file", value=self.token_file, expected="a local file")
        for key, most in (("port", 65_535), ("num_threads", 1024)):
            value = getattr(self, key)
            least = 0 if key == "port" else 1
            check(
                value is None or least <= value <= most,
                key=key,
                value=value,
                expected=f"a whole number from {least} to {most}, or null",
            )
        for key, least, most in (
            ("max_upload_bytes", 1, 1 << 40),
            ("max_waiting", 0, 100_000),
            ("max_connections", 1, 100_000),
        ):
            value = getattr(self, key)
            check(least <= value <= most, key=key, value=value, expected=f"a whole number from {least} to {most}")
        for key, most in (("max_duration_s", 36_000), ("upload_timeout_s", 86_400), ("shutdown_timeout_s", 86_400)):
            value = getattr(self, key)
            check(0 < value <= most, key=key, value=value, expected=f"more than 0 and at most {most} seconds")
        for name in self.allowed_hosts:
            check(
                name != "" and not set(name) & set(":/@ "),
                key="allowed_hosts",
                value=name,
                expected="names of hosts, such as music.example.org, without scheme and port",
            )
        for bucket in self.allowed_buckets:
            check(
                bucket != "" and "/" not in bucket,
                key="allowed_buckets",
                value=bucket,
                expected="names of buckets, such as my-bucket, without gs://",
            )
        check_min_confidence(self.min_confidence)
        check_batch_size(self.batch_size)
