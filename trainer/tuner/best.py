"""The winner of a search: which trial it is, and its settings as overrides of `beamtune train`."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from beam_pipelines.common.errors import UserError
from trainer.training.config import TrainConfig
from trainer.tuner.config import SearchConfig
from trainer.tuner.search_dir import SearchDir
from trainer.tuner.settings import with_settings
from trainer.tuner.space import Space
from trainer.tuner.view import SearchView, TrialView

# A configuration as overrides of `beamtune train`: ["model=cnn2d", "model.dropout=0.2", …].
ToOverrides = Callable[[TrainConfig], Sequence[str]]


def best_trial(view: SearchView) -> TrialView:
    """Returns the winner.

    Raises:
        UserError: No trial has completed.
    """
    if view.best is None:
        raise UserError(f"search_dir={view.search_dir}: no trial has completed: beamtune tune status says why")
    return view.best


def config_of(trial: TrialView, config: SearchConfig, *, space: Space) -> TrainConfig:
    """Returns the settings of `beamtune train` that a trial was trained with, for a run_dir of one's own."""
    return with_settings(replace(config.base(), run_dir=config.run_dir), space.settings(trial.values))


def write_best(view: SearchView, config: SearchConfig, *, space: Space, to_overrides: ToOverrides) -> None:
    """Writes the settings of the winner into `best.yaml`; nothing where no trial has completed."""
    if view.best is None or view.best.score is None:
        return
    best = view.best
    SearchDir(config.search_dir).write_best(
        [text for text in to_overrides(config_of(best, config, space=space)) if not text.startswith("run_dir=")],
        comment=f"trial {best.trial_id}: {view.objective} {best.score:.4f} in epoch {best.best_epoch}; "
        f"beamtune train overrides={SearchDir(config.search_dir).best_path} trains it again",
    )
