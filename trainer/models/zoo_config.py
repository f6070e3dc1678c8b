"""What `beamtune models` can be told, as a frozen dataclass that checks its values when it is made."""

from dataclasses import dataclass

from beam_pipelines.common.checks import check


@dataclass(frozen=True)
class ZooConfig:
    """The data that the models are listed for.

    Attributes:
        num_genres: Genres to tell apart.
        segment_duration_s: Length of a segment.
        sample_rate_hz: Rate of the audio that features are computed from, unless they have a rate of their own.
    """

    num_genres: int = 10
    segment_duration_s: float = 3.0
    sample_rate_hz: int = 16_000

    def __post_init__(self) -> None:
        check(2 <= self.num_genres <= 10_000, key="num_genres", value=self.num_genres, expected="2 to 10000 genres")
        check(
            0.1 <= self.segment_duration_s <= 600,
            key="segment_duration_s",
            value=self.segment_duration_s,
            expected="0.1 to 600 s",
        )
        check(
            1_000 <= self.sample_rate_hz <= 192_000,
            key="sample_rate_hz",
            value=self.sample_rate_hz,
            expected="a rate from 1000 to 192000 Hz",
        )
