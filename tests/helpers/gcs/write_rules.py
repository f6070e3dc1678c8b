"""What holds of all writes of beamtune's commands."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise

from gcs.access_log import Record

_WRITES = frozenset({"insert", "rewrite", "compose", "patch"})
# One write to the same object name a second, less what the clocks of two processes may differ by.
_INTERVAL_S = 0.99


def check_writes(records: Sequence[Record]) -> None:
    """Asserts that each object is written under a condition on its generation, and at most once a second.

    Requests that fail or have no answer change nothing, or are repeated at once, and do not count as writes.
    """
    writes = [record for record in records if record.kind in _WRITES]
    assert [record for record in writes if "ifGenerationMatch" not in record.query] == []
    written_s = defaultdict[str, list[float]](list)
    for record in writes:
        if record.status == 200 and not record.fault:
            written_s[record.name].append(record.time_s)
    for name, times_s in written_s.items():
        assert all(after_s - before_s >= _INTERVAL_S for before_s, after_s in pairwise(times_s)), (name, times_s)
