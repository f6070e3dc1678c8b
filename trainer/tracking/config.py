"""Settings of what a training sends to MLflow. Imports nothing heavy, so that the command line starts fast."""

from dataclasses import dataclass
from urllib.parse import urlsplit

from beam_pipelines.common.checks import check


@dataclass(frozen=True)
class MlflowConfig:
    """The run of MLflow that a training is written to. None of it changes the trained weights.

    Attributes:
        tracking_uri: The server, e.g. http://127.0.0.1:5000, or what else MLflow takes; None sends nothing, whatever
            MLflow's own environment variables say.
        experiment: The name of the experiment, which is made where there is none.
        parent_run_id: The run below which the run is shown; searches and cross-validations set it for their runs.
        log_weights: Whether the best weights are sent at the end, besides the settings, the scores and the model card.
    """

    tracking_uri: str | None = None
    experiment: str = "beamtune"
    parent_run_id: str | None = None
    log_weights: bool = False

    def __post_init__(self) -> None:
        uri = self.tracking_uri
        check(uri is None or uri.strip() != "", key="mlflow.tracking_uri", value=uri, expected="a URI, or null")
        # The settings of a run are saved in config.yaml, and shown by TensorBoard.
        check(
            uri is None or "@" not in urlsplit(uri).netloc,
            key="mlflow.tracking_uri",
            value="…",
            expected="a URI without a name and a password: give them as MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD in the environment",
        )
        check(
            0 < len(self.experiment.strip()) <= 500,
            key="mlflow.experiment",
            value=self.experiment,
            expected="a name of 1 to 500 characters",
        )
