"""The label of a track, which is "unknown" if no genre is probable enough."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from beam_pipelines.common.checks import check
from beam_pipelines.common.errors import UserError

if TYPE_CHECKING:  # the settings, which completion reads, import this module and no numpy
    from numpy.typing import NDArray

UNKNOWN = "unknown"


def check_min_confidence(min_confidence: float, *, labels: Sequence[str] = ()) -> None:
    """Checks the probability below which a label is `UNKNOWN`.

    Args:
        min_confidence: The probability; with 0, no label is `UNKNOWN`.
        labels: The genres, if they are known yet.

    Raises:
        UserError: It is not a probability, or a genre is called `UNKNOWN` itself.
    """
    check(0 <= min_confidence <= 1, key="min_confidence", value=min_confidence, expected="a probability from 0 to 1")
    if min_confidence > 0 and UNKNOWN in labels:
        raise UserError(
            f"min_confidence={min_confidence}: a genre of the run is called {UNKNOWN}, which is what min_confidence "
            "calls tracks of no genre: leave min_confidence out, and compare the probabilities yourself"
        )


def label_of(probabilities: "NDArray[Any]", labels: Sequence[str], *, min_confidence: float) -> str:
    """Returns the most probable genre, or `UNKNOWN` if its probability is below `min_confidence`.

    Args:
        probabilities: (genres,).
        labels: The genres.
        min_confidence: A probability.
    """
    top = int(probabilities.argmax())
    return UNKNOWN if probabilities[top] < min_confidence else labels[top]
