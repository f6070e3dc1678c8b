import numpy as np
import pytest
from scipy import stats

from trainer.export.accuracy import accuracy_change
from trainer.export.checks import Outputs
from trainer.export.export import _accuracy_text
from trainer.export.reference_clips import ReferenceClip

LABELS = ("blues", "funk", "waltz")


def clip(genre: str | None) -> ReferenceClip:
    return ReferenceClip("song", np.zeros(8, np.float32), 8000, genre=genre)


def saying(genre: str | None) -> Outputs:
    return Outputs(None if genre is None else np.where([label == genre for label in LABELS], 0.8, 0.1))


def test_the_accuracy_that_is_lost_is_of_clips_with_a_genre() -> None:
    # (genre, what the format says, what predict says): 2 lost, 1 gained, 3 right and 2 wrong in both.
    rows = [
        *(("blues", "funk", "blues"), ("blues", "waltz", "blues"), ("waltz", "waltz", "funk")),
        *([("funk", "funk", "funk")] * 3),
        *(("funk", "blues", "waltz"), ("funk", "waltz", "waltz")),
        *((None, "funk", "blues"), ("blues", None, None)),
    ]
    clips = [clip(genre) for genre, _, _ in rows]
    found, expected = [saying(said) for _, said, _ in rows], [saying(said) for _, _, said in rows]
    change = accuracy_change(found, expected, clips=clips, labels=LABELS)
    assert change is not None
    assert (change.num_clips, change.of_predict, change.of_format) == (8, 5 / 8, 4 / 8)
    assert change.lost == pytest.approx(1 / 8)
    for interval, num in ((change.of_predict_interval, 5), (change.of_format_interval, 4)):
        exact = stats.binomtest(num, 8).proportion_ci(0.95, method="exact")
        assert (interval.low, interval.high) == pytest.approx((exact.low, exact.high))
    gained, lost = (stats.binomtest(num, 8).proportion_ci(0.95, method="exact").high for num in (1, 2))
    assert (change.lost_interval.low, change.lost_interval.high) == pytest.approx((-gained, lost))


def test_a_format_that_refuses_a_clip_is_wrong() -> None:
    change = accuracy_change([saying(None)], [saying("funk")], clips=[clip("funk")], labels=LABELS)
    assert change is not None
    assert (change.of_predict, change.of_format, change.lost) == (1.0, 0.0, 1.0)


def test_synthetic_sounds_have_no_accuracy() -> None:
    assert accuracy_change([saying("funk")], [saying("funk")], clips=[clip(None)], labels=LABELS) is None
    assert accuracy_change([], [], clips=[], labels=LABELS) is None


def test_the_line_says_that_intervals_are_over_clips() -> None:
    change = accuracy_change([saying("funk")], [saying("funk")], clips=[clip("funk")], labels=LABELS)
    assert _accuracy_text(change) == (
        "; accuracy 1.000 [0.03, 1.00] on 1 clip, of predict 1.000 (lost 0.000 [-0.97, 0.97]; intervals over clips)"
    )
    assert _accuracy_text(None) == ""
