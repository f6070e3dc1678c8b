"""What a run shows in TensorBoard and what `beamtune tensorboard` can be told, as frozen dataclasses.

Nothing heavy is imported here, so that the command line can answer quickly.
"""

from dataclasses import Field, dataclass
from typing import Any, ClassVar, Protocol

from beam_pipelines.common.checks import check
from trainer.models.config import ModelConfig

LOCAL_HOSTS = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class BoardConfig:
    """What a training run shows in TensorBoard beside its scalars. None of it changes what is learned.

    Attributes:
        confusion_matrix: Whether the confusion matrix of the validation tracks is drawn after each epoch.
        num_spectrograms: Segments of each genre whose spectrograms are drawn at the end, with what they were heard as.
        num_mistakes: Tracks of the validation split that can be heard at the end: those that the best weights get wrong
            the most.
        num_embeddings: Segments of the validation split that the projector shows at the end, at most.
        profile_steps: The first and the last step of which a profile is taken, counted from 1, e.g. [10,20]; None takes
            none.
        hparams: Whether the run has a row of its own among HParams; trials of a search have those of the search.
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
    """What the board reads of a run's settings, which are a dataclass such as `TrainConfig`."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @property
    def seed(self) -> int: ...

    @property
    def board(self) -> BoardConfig: ...

    @property
    def model(self) -> ModelConfig: ...


@dataclass(frozen=True)
class TensorboardConfig:
    """What `beamtune tensorboard` can be told beside the folders.

    Attributes:
        port: Where it listens; 0 takes any port that is free.
        host: The address that it listens at. Who reaches it can read the runs: there is no password.
    """

    port: int = 6006
    host: str = LOCAL_HOSTS[0]

    def __post_init__(self) -> None:
        check(0 <= self.port <= 65_535, key="port", value=self.port, expected="a port from 0 to 65535")
        check(self.host.strip() != "", key="host", value=self.host, expected="an address, such as 127.0.0.1")
