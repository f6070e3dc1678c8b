"""The limit on writes to one object."""

import pytest

from beam_pipelines.common import bucket_writes


def test_an_object_is_written_again_after_a_second_and_another_one_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s, pauses_s = [100.0], list[float]()
    monkeypatch.setattr(bucket_writes, "_written_s", {})
    monkeypatch.setattr(bucket_writes.time, "monotonic", lambda: now_s[0])
    monkeypatch.setattr(bucket_writes.time, "sleep", pauses_s.append)
    for after_s, path in [
        (0.0, "gs://b/x"),
        (0.25, "gs://b/x"),
        (0.0, "gs://b/y"),
        (1.0, "gs://b/x"),
        (9.0, "gs://b/x"),
    ]:
        now_s[0] += after_s
        bucket_writes.wait_to_write_again(path)
    assert pauses_s == [0.0, 0.75, 0.0, 0.75, 0.0]
