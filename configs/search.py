"""The settings of `beamtune tune`, new or saved, its search space, and the settings of a trial as overrides."""

from collections.abc import Sequence
from dataclasses import asdict

from beam_pipelines.common.errors import UserError
from configs.command import load_config
from configs.compose import CONFIG_DIR, settings_of
from configs.resume import directory_to_resume, settings_to_resume
from configs.saved_command import differing_overrides
from trainer.common import files
from trainer.training.config import TrainConfig
from trainer.tuner.config import SearchConfig

_SPACE_DIR = CONFIG_DIR / "tuner" / "space"
# These apply to one start of the command, and the search directory may have moved: their saved values are ignored.
_NOT_RESUMED = ("search_dir", "run_dir", "workers", "refit", "evaluate_again")


def load_search(overrides: Sequence[str]) -> tuple[SearchConfig, str]:
    """Returns the settings of a search and the YAML of its space.

    If search_dir has a search, its saved settings come first and the user's overrides take precedence. The tuner
    rejects those that a resumed search cannot change.

    Raises:
        UserError: A setting is wrong, or the space cannot be read.
    """
    given = settings_of(overrides)
    if "search_dir" in given:
        from trainer.tuner.search_dir import SearchDir

        directory = SearchDir(directory_to_resume("tune", overrides, key="search_dir"))
        if directory.is_started():
            saved = {key: value for key, value in directory.config().items() if key not in _NOT_RESUMED}
            try:
                config = load_config(SearchConfig, "tune", settings_to_resume("tune", saved, settings=overrides))
            except UserError as error:
                raise UserError(f"search_dir={directory.path} has a search with saved settings: {error}") from error
            return config, read_space_text(config) if "space" in given else directory.space_text()
    config = load_config(SearchConfig, "tune", overrides)
    return config, read_space_text(config)


def read_space_text(config: SearchConfig) -> str:
    """Returns the YAML of a search space: that of the file `space`, or the default one of the model.

    Raises:
        UserError: The file cannot be read, or the model has no file.
    """
    if config.space is None:
        path = _SPACE_DIR / f"{config.model.name}.yaml"
        if not path.exists():
            raise UserError(f"model {config.model.name} has no search space of its own: set space to a YAML file")
        return path.read_text(encoding="utf-8")
    try:
        return files.read_text(config.space)
    except files.READ_ERRORS as error:
        reason = error.strerror if isinstance(error, OSError) else type(error).__name__
        raise UserError(f"space={config.space} cannot be read ({reason}): expected a YAML file") from error


def train_overrides(config: TrainConfig) -> list[str]:
    """Returns the overrides of `beamtune train` for a configuration: options, and values that differ from theirs."""
    return differing_overrides("train", asdict(config))
