"""Settings of what a training run writes for TensorBoard, and of `beamtune tensorboard`.

Imports nothing heavy, so that the command line starts fast.
"""

from dataclasses import Field, dataclass
from typing import Any, ClassVar, Protocol

from beam_pipelines.common.checks import check
from trainer.models.config import ModelConfig

LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class BoardConfig:
    """What a training run writes for TensorBoard besides its scalars. None of it changes the trained weights.

    Attributes:
        confusion_matrix: Whether the confusion matrix of the validation tracks is drawn after each epoch.
        num_spectrograms: Segments of each genre whose spectrograms are drawn at the end, with their predictions.
        num_mistakes: Misclassified tracks of the validation split that are written as audio at the end, the worst
            first.
        num_embeddings: The most segments of the validation split that the projector shows.
        profile_steps: The first and the last step to profile, counted from 1, e.g. [10,20]; None for no profile.
        hparams: Whether the run writes a row for the HParams page; the search writes those of its trials itself.
    """

    confusion_matrix: bool = True
    num_spectrograms: int = 4
    num_mistakes: int = 10
    num_embeddings: int = 2000
    profile_steps: list[int] | None = None
    hparams: bool = True

    def __post_init__(self) -> None:
        for name, most in (("num_spectrograms", 16), ("num_mistakes", 100), ("num_embeddings", 100_000)):
            value = getattr(self, name)
            check(0 <= value <= most, key=f"board.{name}", value=value, expected=f"a whole number from 0 to {most}")
        steps = self.profile_steps
        check(
            steps is None or (len(steps) == 2 and 1 <= steps[0] <= steps[1]),
            key="board.profile_steps",
            value=steps,
            expected="the first and the last step, e.g. [10,20], or null",
        )


class RunSettings(Protocol):
    """The settings that the board reads; `TrainConfig` has them."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def seed(self) -> int: ...

    @property
    def board(self) -> BoardConfig: ...

    @property
    def model(self) -> ModelConfig: ...


@dataclass(frozen=True)
class TensorboardConfig:
    """Settings of `beamtune tensorboard`.

    Attributes:
        port: The port to listen on; 0 for any free port.
        host: The address to listen on. Anyone who can connect to it can read the runs: there is no password.
    """

    port: int = 6006
    host: str = LOCAL_HOSTS[0]

    def __post_init__(self) -> None:
        check(0 <= self.port <= 65_535, key="port", value=self.port, expected="a port from 0 to 65535")
        check(self.host.strip() != "", key="host", value=self.host, expected="an address, such as 127.0.0.1")
