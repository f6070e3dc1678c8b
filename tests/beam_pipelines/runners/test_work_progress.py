"""How the progress of workers is shown."""

import pytest

from beam_pipelines.runners.work_progress import WorkProgress, watching_progress


@pytest.mark.parametrize(("num_done", "shown"), [(5, "8/10"), (7, "10/10"), (9, "10/10")])
def test_what_is_kept_counts_and_what_is_counted_twice_exceeds_no_total(capsys, num_done, shown):
    with watching_progress(
        lambda: WorkProgress(num_done=num_done, num_rejects=2),
        step="preparing",
        unit="tracks",
        total=10,
        kept=WorkProgress(num_done=3, num_rejects=1),
        note="some are kept",
        interval_s=60.0,
    ):
        pass
    note, line = capsys.readouterr().err.splitlines()
    assert note == "some are kept"
    assert line.startswith(f"preparing: {shown} tracks, ")
    assert line.endswith("0 s of audio per second, 3 rejects")
