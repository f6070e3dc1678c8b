"""What holds of all writes of beamtune's commands."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

from gcs.access_log import Record

_PROBE = "/.beamtune-access-check"
_WRITES = frozenset({"insert", "rewrite", "compose", "patch"})
# One write to the same object name a second, less what the clocks of two processes may differ by.
_INTERVAL_S = 0.99


def check_writes(records: Sequence[Record]) -> None:
    """Asserts that each object is written under a condition on its generation, and at most once a second.

    Not counted as writes are requests that fail or have no answer, which change nothing or are repeated at once, and
    uploads that are only begun, to find out whether they may be.
    """
    writes = [record for record in records if record.kind in _WRITES]
    assert [record for record in writes if "ifGenerationMatch" not in record.query] == []
    written_s = defaultdict[str, list[float]](list)
    for record in writes:
        if record.status == 200 and not record.fault and not record.name.endswith(_PROBE):
            written_s[record.name].append(record.time_s)
    for name, times_s in written_s.items():
        assert all(after_s - before_s >= _INTERVAL_S for before_s, after_s in pairwise(times_s)), (name, times_s)
