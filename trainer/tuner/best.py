"""The best trial of a search: its settings as overrides of `beamtune train`."""

from collections.abc import Callable, Sequence

import yaml

from trainer.common import files
from trainer.training.config import TrainConfig
from trainer.tuner.config import SearchConfig
from trainer.tuner.search_dir import SearchDir
from trainer.tuner.service.search_state import SearchState
from trainer.tuner.space.space import Space
from trainer.tuner.space.train_settings import with_settings
from trainer.tuner.trial import Trial

# A configuration as overrides of `beamtune train`: ["model=cnn2d", "model.dropout=0.2", …].
ToOverrides = Callable[[TrainConfig], Sequence[str]]
# Of the search, and not of its trials.
_LEFT_OUT = ("run_dir=", "storage.", "mlflow.", "board.")


def config_of(trial: Trial, config: SearchConfig, *, space: Space) -> TrainConfig:
    """Returns the settings of a trial for `beamtune train`, with the run_dir of the search's settings."""
    return with_settings(config.base(), space.settings(trial.values))


def write_best(search: SearchState, config: SearchConfig, *, space: Space, to_overrides: ToOverrides) -> None:
    """Writes the settings of the best trial into `best.yaml`, a list of `key=value`, if a trial has completed."""
    best = search.best
    if best is None:
        return
    path = SearchDir(config.search_dir).best_path
    overrides = to_overrides(config_of(best, config, space=space))
    overrides = [override for override in overrides if not override.startswith(_LEFT_OUT)]
    comment = (
        f"trial {best.trial_id}: {search.objective} {best.score:.4f} in epoch {best.best_epoch}; "
        f"beamtune train overrides={path} trains it again"
    )
    text = yaml.safe_dump(overrides, default_flow_style=False, allow_unicode=True, width=1_000_000)
    files.write_text(path, f"# {comment}\n{text}")
