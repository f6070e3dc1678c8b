"""The state of a search on gs://: the same promises as on a disk, without a listing for each write."""

import subprocess
import sys
from collections import Counter
from itertools import pairwise

import pytest
from gcs.fixture import Gcs

pytestmark = pytest.mark.slow

# TensorFlow reads the address of the emulator when it is imported.
PROGRAM = """
import sys
import time

import pytest

from beam_pipelines.common.bucket_uploads import WriteConflictError
from trainer.common import files
from trainer.tuner.service.checked_json import dump_checked
from trainer.tuner.service.leader_lease import LeaderLease, LostLeadershipError, find_leader, was_leader
from trainer.tuner.service.state_files import StateFile


def start(search_dir):
    document, lease = StateFile(search_dir, "search"), LeaderLease.acquire(search_dir, address="old:1")
    document.write({"number": 0}, lease=lease)
    return document, lease


def check_taken_over(search_dir):
    document, old = start(search_dir)
    new = LeaderLease.acquire(search_dir, address="new:1")
    with pytest.raises(LostLeadershipError):
        document.write({"number": -1}, lease=old)
    new.check()
    successor = StateFile(search_dir, "search")
    assert successor.read() == {"number": 0}
    successor.write({"number": 1}, lease=new)
    assert StateFile(search_dir, "search").read() == {"number": 1}
    assert find_leader(search_dir) == (new, "new:1")
    assert was_leader(search_dir, old.owner) and not was_leader(search_dir, "0123456789abcdef")


def check_late_write(search_dir):
    document, old = start(search_dir)
    write_text = files.write_text

    def write_late(path, text):
        files.write_text = write_text
        LeaderLease.acquire(search_dir, address="new:1")
        write_text(path, text)

    files.write_text = write_late
    with pytest.raises(LostLeadershipError):
        document.write({"number": -1}, lease=old)


def check_twins(search_dir):
    # Two chiefs list the names at the same time; the one whose id is the greater one has written all before the other.
    twin = LeaderLease(1, "g" * 16, search_dir)
    list_names = files.list_if_exists

    def list_early(directory):
        files.list_if_exists = list_names
        names = list_names(directory)
        files.write_text(f"{directory}/{twin.file_prefix}.json", dump_checked({"address": "twin:1"}))
        files.write_text(f"{directory}/last", twin.file_prefix)
        return names

    files.list_if_exists = list_early
    with pytest.raises(LostLeadershipError):
        LeaderLease.acquire(search_dir, address="first:1")
    assert files.read_text(f"{search_dir}/state/terms/last") != twin.file_prefix
    twin.check()
    assert find_leader(search_dir) == (twin, "twin:1")


def check_at_the_same_time(search_dir):
    write_text = files.write_text

    def write_after_another(path, text):
        if path.endswith("/last"):
            files.write_text = write_text
            write_text(path, "00000000.0123456789abcdef")
            raise WriteConflictError(path)
        write_text(path, text)

    files.write_text = write_after_another
    lease = LeaderLease.acquire(search_dir, address="one:1")
    assert files.read_text(f"{search_dir}/state/terms/last") == lease.file_prefix


def check_without_last(search_dir):
    _, lease = start(search_dir)
    files.remove(f"{search_dir}/state/terms/last")
    lease.check()


for check in (check_taken_over, check_late_write, check_twins, check_at_the_same_time, check_without_last):
    check(f"{sys.argv[1]}/{check.__name__}")

# What a pattern would match is the name of a folder.
document, lease = start(f"{sys.argv[1]}/a[b]*?")
time.sleep(2)  # so that the test finds where this begins
for number in range(1, 6):
    document.write({"number": number}, lease=lease)
lease.check()
"""


def test_one_chief_writes_and_each_write_is_one_request_of_class_a(gcs: Gcs) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, gcs.url], env=gcs.environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    requests = [record for record in gcs.requests() if "/a[b]*?/" in record.name]
    start_s = next(after.time_s for before, after in pairwise(requests) if after.time_s - before.time_s > 1.5)
    steady = [record for record in requests if record.time_s >= start_s]
    assert Counter(record.kind for record in steady if record.billing_class == "A") == {"insert": 5}
    assert len({record.name for record in steady if record.kind == "insert"}) == 5
    # Two generations are kept.
    assert [name.split(".")[-2] for name in sorted(gcs.contents("a[b]*?/state/search"))] == ["00000005", "00000006"]
