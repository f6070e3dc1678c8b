"""Settings of `beamtune doctor`."""

from dataclasses import dataclass

from beam_pipelines.common.checks import check


@dataclass(frozen=True)
class DoctorConfig:
    """Settings of `beamtune doctor`; raises UserError for a value out of range.

    Attributes:
        timeout_s: The most seconds that a process may take to import packages or to decode samples.
    """

    timeout_s: float = 120.0

    def __post_init__(self) -> None:
        check(
            0 < self.timeout_s <= 3600,
            key="timeout_s",
            value=self.timeout_s,
            expected="more than 0 s and at most 3600 s",
        )
