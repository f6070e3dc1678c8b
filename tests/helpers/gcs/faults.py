"""What goes wrong with requests: which of them, and how."""

import random
import re
import threading
import time
from dataclasses import dataclass

from gcs import permissions
from gcs.calls import BILLING_CLASSES, Answer, Call, error_answer
from gcs.certificates import PROJECT

_SHARES = (
    "unavailable_share",
    "too_many_share",
    "cut_before_share",
    "cut_upload_share",
    "cut_reply_share",
    "cut_after_share",
    "truncated_share",
)
_CREDENTIALS = ("accepted", "refused", "expired")
_HOLDS = ("", "before", "after")
_HOLD_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Faults:
    """What goes wrong until the next Faults are set.

    The first group says with which requests, a batch being one; the second, what, to a share of these, 0 to 1; the
    third, what of these is slow or held. The fourth concerns all requests, whatever the first group says.

    Attributes:
        clients: "tensorflow", "beam", "python" or "other"; empty means all.
        kinds: Keys of BILLING_CLASSES; empty means all.
        name_pattern: A regular expression that the name of the object contains.
        skip: So many of these requests pass first.
        times: After so many faults there are no more; None means no limit.
        seed: That of the random choice.
        unavailable_share: Answered with 503.
        too_many_share: Answered with 429.
        cut_before_share: The connection is closed before the request is carried out.
        cut_upload_share: It is closed in the midst of the body of the request, or after the body if that is small.
        cut_reply_share: It is closed in the midst of the body of the answer.
        cut_after_share: The request is carried out, and the connection closed instead of an answer.
        truncated_share: The body of the answer is half of what it should be, and so is its Content-Length.
        latency_s: Added to each request.
        hold: "before" holds requests before they are carried out, "after" those that were, until other Faults are set.
        min_write_interval_s: Writes of one object that follow sooner are answered with 429.
        granted: The IAM permissions; None means all.
        credentials: "accepted"; "refused" issues no token; "expired" issues tokens that are not accepted.
        requester_pays: Requests must name the project that is billed.

    Raises:
        ValueError: A value is none of these.
    """

    clients: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    name_pattern: str = ""
    skip: int = 0
    times: int | None = None
    seed: int = 0

    unavailable_share: float = 0.0
    too_many_share: float = 0.0
    cut_before_share: float = 0.0
    cut_upload_share: float = 0.0
    cut_reply_share: float = 0.0
    cut_after_share: float = 0.0
    truncated_share: float = 0.0

    latency_s: float = 0.0
    hold: str = ""

    min_write_interval_s: float = 0.0
    granted: tuple[str, ...] | None = None
    credentials: str = "accepted"
    requester_pays: bool = False

    def __post_init__(self) -> None:
        if not 0 <= sum(getattr(self, share) for share in _SHARES) <= 1 + 1e-9:
            raise ValueError(f"the sum of the shares must be from 0 to 1: {self}")
        if not set(self.kinds) <= set(BILLING_CLASSES):
            raise ValueError(f"kinds={self.kinds}: expected some of {', '.join(BILLING_CLASSES)}")
        if self.credentials not in _CREDENTIALS:
            raise ValueError(f"credentials={self.credentials}: expected one of {', '.join(_CREDENTIALS)}")
        if self.hold not in _HOLDS:
            raise ValueError(f"hold={self.hold}: expected one of {', '.join(_HOLDS)}")
        re.compile(self.name_pattern)

    def concern(self, call: Call, name: str) -> bool:
        """Returns whether a request is one of those with which something goes wrong; `name` is that of its object."""
        return (
            call.kind != "token"
            and (not self.clients or call.client in self.clients)
            and (not self.kinds or call.kind in self.kinds)
            and re.search(self.name_pattern, name) is not None
        )


class FaultPlan:
    """Chooses the requests. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Condition()
        self._written_s = dict[tuple[str, str], float]()
        self.set(Faults())

    def set(self, faults: Faults) -> None:
        """Replaces what goes wrong; requests that are held go on."""
        with self._lock:
            self.faults = faults
            self._random = random.Random(faults.seed)  # noqa: S311 (no secret)
            self._skipped = self._chosen = 0
            self.held_count = 0
            self._lock.notify_all()

    def choose(self, call: Call, name: str) -> str:
        """Returns what goes wrong with a request: "", "hold", or a share of Faults without its ending."""
        with self._lock:
            faults = self.faults
            if not faults.concern(call, name):
                return ""
            if self._skipped < faults.skip:
                self._skipped += 1
                return ""
            if faults.times is not None and self._chosen >= faults.times:
                return ""
            drawn, bound, fault = self._random.random(), 0.0, "hold" if faults.hold else ""
            for share in _SHARES:
                bound += getattr(faults, share)
                if drawn < bound:
                    fault = share.removesuffix("_share")
                    break
            self._chosen += bool(fault)
            return fault

    def hold(self) -> None:
        """Waits until other Faults are set."""
        with self._lock:
            faults = self.faults
            self.held_count += 1
            self._lock.wait_for(lambda: self.faults is not faults, timeout=_HOLD_TIMEOUT_S)

    def refusal(self, call: Call, target: Call, *, exists: bool) -> Answer | None:
        """Returns the answer to a request that the service refuses; None if it does not.

        Args:
            call: The request.
            target: The request that names the object, another one for a part of an upload.
            exists: Whether the object exists.
        """
        faults = self.faults
        if faults.requester_pays and "userProject" not in call.query and call.kind != "chunk":
            return error_answer(400, "required", "Bucket is a requester pays bucket but no user project provided.")
        if faults.requester_pays and call.query.get("userProject", PROJECT) != PROJECT:
            return error_answer(
                403,
                "forbidden",
                "Caller does not have required permission to use project "
                f"{call.query['userProject']}. Grant the caller the roles/serviceusage.serviceUsageConsumer role.",
            )
        if faults.granted is not None:
            if call.target.split("?")[0].endswith("/iam/testPermissions"):
                return None
            refused = permissions.refusal(call, faults.granted, exists=exists)
            if refused is not None:
                return refused
        if faults.min_write_interval_s and _is_write(call):
            with self._lock:
                last_s = self._written_s.get((target.bucket, target.name))
            if last_s is not None and time.monotonic() - last_s < faults.min_write_interval_s:
                return error_answer(
                    429,
                    "rateLimitExceeded",
                    f"The object {target.bucket}/{target.name} exceeded the rate limit for object mutation operations "
                    "(create, update, and delete). Please reduce your request rate.",
                )
        return None

    def note_answer(self, call: Call, target: Call, answer: Answer) -> None:
        """Remembers when an object was written."""
        is_complete = answer.status in {200, 204} and call.query.get("uploadType") != "resumable"
        if (_is_write(call) and is_complete) or (call.kind == "chunk" and answer.status == 200):
            with self._lock:
                self._written_s[target.bucket, target.name] = time.monotonic()


def _is_write(call: Call) -> bool:
    """Returns whether a request changes an object, or starts to; a part of an upload does not count again."""
    return call.kind in {"insert", "rewrite", "compose", "patch", "delete"}
