"""`beamtune tune`: its settings, those that a search was started with, and its space."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, cast

from omegaconf import OmegaConf

from beam_pipelines.common.errors import UserError
from configs.compose import CONFIG_DIR, compose, config_groups, overrides_of, settings_of, to_dataclass
from configs.resume import option_of, settings_to_resume
from trainer.training.config import TrainConfig
from trainer.tuner.config import SearchConfig

_SPACE_DIR = CONFIG_DIR / "tuner" / "space"
_ASKED_ANEW = ("search_dir", "run_dir", "workers", "refit", "evaluate_again")


def load_search(overrides: Sequence[str]) -> tuple[SearchConfig, str]:
    """Returns the settings of a search, and the YAML of what it searches.

    A search_dir that is there already brings the settings that its search was started with; what the user gives comes
    last and so counts, and the tuner refuses what would make another search of it.

    Raises:
        UserError: A setting is wrong, or the space cannot be read.
    """
    given = settings_of(overrides)
    if "search_dir" not in given:
        config = _search_config(overrides)
        return config, read_space_text(config)
    from trainer.tuner.search_dir import SearchDir  # imports TensorFlow, which reads gs:// too

    directory = SearchDir(compose("tune", overrides).search_dir)
    if not directory.is_started():
        config = _search_config(overrides)
        return config, read_space_text(config)
    # What is asked of a search is asked anew each time, and where it is may have changed.
    saved = {key: value for key, value in directory.config().items() if key not in _ASKED_ANEW}
    try:
        config = _search_config(settings_to_resume("tune", saved, overrides=overrides))
    except UserError as error:
        raise UserError(f"search_dir={directory.path} goes on with the settings that it has: {error}") from error
    return config, read_space_text(config) if "space" in given else directory.space_text()


def read_space_text(config: SearchConfig) -> str:
    """Returns the YAML of what a search searches: that of its own file, or that of its model.

    Raises:
        UserError: The file cannot be read.
    """
    if config.space is None:
        return (_SPACE_DIR / f"{config.model.name}.yaml").read_text(encoding="utf-8")
    from trainer.common import files  # imports TensorFlow, which reads gs:// too

    try:
        return files.read_text(config.space)
    except files.READ_ERRORS as error:
        raise UserError(
            f"space={config.space} cannot be read ({type(error).__name__}): expected a YAML file"
        ) from error


def train_overrides(config: TrainConfig) -> list[str]:
    """Returns the overrides of `beamtune train` that make a configuration: options, and what differs from theirs."""
    values = asdict(config)
    chosen = {group: option_of(values[group]) for group in config_groups("train")}
    options = [f"{group}={option}" for group, option in chosen.items() if option is not None]
    defaults = cast(dict[str, Any], OmegaConf.to_container(compose("train", options), resolve=True))
    return [*options, *overrides_of(_differing(values, defaults))]


def _search_config(overrides: Sequence[str]) -> SearchConfig:
    return cast(SearchConfig, to_dataclass(compose("tune", overrides)))


def _differing(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what differs from the defaults, at any depth."""
    differing: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            below = _differing(value, defaults[key])
            if below:
                differing[key] = below
        elif value != defaults[key]:
            differing[key] = value
    return differing
