"""The report of a finished shard: its tracks, its rejects and the sums that statistics are computed from."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from beam_pipelines.audio.unexpected import UNEXPECTED
from beam_pipelines.records.json_lines import Reject, TrackRecord

# Where a report's file has another name for an attribute.
_JSON_KEYS = {"cache_key": "fingerprint"}


@dataclass(frozen=True)
class FeatureSums:
    """Sums over all frames of a feature, per band, for its mean and standard deviation.

    Attributes:
        num_frames: The number of values in each sum.
        total: The sum in each band.
        total_of_squares: The sum of squares in each band.
    """

    num_frames: int
    total: tuple[float, ...]
    total_of_squares: tuple[float, ...]

    def __add__(self, other: "FeatureSums") -> "FeatureSums":
        return FeatureSums(
            num_frames=self.num_frames + other.num_frames,
            total=tuple(a + b for a, b in zip(self.total, other.total, strict=True)),
            total_of_squares=tuple(a + b for a, b in zip(self.total_of_squares, other.total_of_squares, strict=True)),
        )


class RunningSums:
    """Sums of a feature that are updated segment by segment."""

    def __init__(self) -> None:
        self._num_frames = 0
        self._total: npt.NDArray[np.float64] | float = 0.0
        self._total_of_squares: npt.NDArray[np.float64] | float = 0.0

    def add(self, array: npt.NDArray[Any]) -> None:
        """Adds an array (..., bands) over all axes but the last, in float64; integers are samples: one band."""
        num_bands = array.shape[-1] if np.issubdtype(array.dtype, np.floating) else 1
        frames = array.reshape(-1, num_bands).astype(np.float64)
        self._num_frames += len(frames)
        self._total = self._total + frames.sum(axis=0)
        np.square(frames, out=frames)
        self._total_of_squares = self._total_of_squares + frames.sum(axis=0)

    def result(self) -> FeatureSums:
        """Returns the sums, after at least one array was added."""
        return FeatureSums(
            num_frames=self._num_frames,
            total=tuple(np.asarray(self._total).tolist()),
            total_of_squares=tuple(np.asarray(self._total_of_squares).tolist()),
        )


@dataclass(frozen=True)
class ShardReport:
    """The content of a finished shard. Reports are kept until all shards are finished.

    Attributes:
        cache_key: That of the shard's plan.
        num_examples: Examples in the shard.
        num_bytes: The size of its file.
        feature_sums: Sums of each feature over the examples; empty if the shard has none.
        decode_s: The time taken to decode the tracks, in seconds; 0 in reports of earlier versions, as the next.
        feature_s: The time taken to compute their features, in seconds.
    """

    filename: str
    split: str
    cache_key: str
    num_examples: int
    num_bytes: int
    tracks: Sequence[TrackRecord]
    rejects: Sequence[Reject]
    feature_sums: Mapping[str, FeatureSums]
    decode_s: float = 0.0
    feature_s: float = 0.0

    @property
    def has_unexpected_rejects(self) -> bool:
        return any(reject.reason == UNEXPECTED for reject in self.rejects)

    def to_json(self) -> str:
        """Returns the text of the report's file."""
        content = {_JSON_KEYS.get(key, key): value for key, value in asdict(self).items()}
        return json.dumps(content, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "ShardReport":
        """Parses the text of `to_json`; floats are restored exactly."""
        content: dict[str, Any] = json.loads(text)
        names = {key: name for name, key in _JSON_KEYS.items()}
        return cls(
            **{
                **{names.get(key, key): value for key, value in content.items()},
                "tracks": [TrackRecord.from_dict(track) for track in content["tracks"]],
                "rejects": [Reject(**reject) for reject in content["rejects"]],
                "feature_sums": {
                    name: FeatureSums(
                        num_frames=sums["num_frames"],
                        total=tuple(sums["total"]),
                        total_of_squares=tuple(sums["total_of_squares"]),
                    )
                    for name, sums in content["feature_sums"].items()
                },
            }
        )
