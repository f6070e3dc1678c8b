"""What `/metrics` shows, in the format of Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from trainer.serve.work_queue import WorkQueue

# Seconds; an hour of audio takes about ten.
_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)


class ServiceMetrics:
    """The counters of one service. No label has values that clients can choose.

    Attributes:
        content_type: The content type of `text`.
    """

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, queue: WorkQueue) -> None:
        self._registry = registry = CollectorRegistry()
        self._requests = Counter(
            "beamtune_requests", "Requests that were answered.", ["route", "status"], registry=registry
        )
        self._durations = Histogram(
            "beamtune_request_duration_seconds",
            "Seconds from the headers of a request to the end of its response.",
            ["route"],
            buckets=_BUCKETS_S,
            registry=registry,
        )
        self._rejected = Counter(
            "beamtune_rejected", "Requests that were refused, and files that failed.", ["reason"], registry=registry
        )
        self._decoded_s = Counter("beamtune_decoded_seconds", "Seconds of decoded audio.", registry=registry)
        self._received = Counter("beamtune_received_bytes", "Bytes of the bodies of requests.", registry=registry)
        Gauge("beamtune_work_in_progress", "Requests that a thread works on.", registry=registry).set_function(
            lambda: queue.num_running
        )
        Gauge("beamtune_queue_length", "Requests that wait for a thread.", registry=registry).set_function(
            lambda: queue.num_waiting
        )

    def count_request(self, *, route: str, status: int, duration_s: float, num_bytes: int, decoded_s: float) -> None:
        """Counts a request that was answered."""
        self._requests.labels(route, str(status)).inc()
        self._durations.labels(route).observe(duration_s)
        self._received.inc(num_bytes)
        self._decoded_s.inc(decoded_s)

    def count_rejected(self, reason: str) -> None:
        """Counts a request or a file by the reason why there is no result."""
        self._rejected.labels(reason).inc()

    def text(self) -> bytes:
        """Returns all values."""
        return generate_latest(self._registry)
