"""`beamtune train run_dir=…` goes on with the settings that the run was started with."""

from collections.abc import Sequence

from beam_pipelines.errors import UserError
from configs.compose import compose, config_groups, overrides_of, settings_of


def with_saved_settings(overrides: Sequence[str]) -> list[str]:
    """Returns the overrides behind the settings of the run that they continue, if they continue one.

    What the user gives comes last and so counts; the trainer refuses what would make another run of it.
    """
    given = settings_of(overrides)
    if "run_dir" not in given:
        return list(overrides)
    from trainer.run_dir import RunDir  # imports TensorFlow, which reads gs:// too

    run_dir = compose("train", overrides).run_dir
    run = RunDir(run_dir)
    if not run.is_started():
        return list(overrides)
    saved = run.config()
    groups = config_groups("train")
    named = {group: saved[group].get("name", saved[group].get("kind")) for group in saved if group in groups}
    # Options of a group without names, such as augment, differ by their values alone, which all are saved.
    chosen = {group: option for group, option in named.items() if option is not None}
    chosen_anew = [group for group, option in chosen.items() if given.get(group, option) != option]
    kept = {key: value for key, value in saved.items() if key not in chosen_anew}
    try:
        options = [f"{group}={option}" for group, option in chosen.items() if group not in given]
        compose("train", [*options, *overrides_of(kept)])
    except UserError as error:
        raise UserError(f"run_dir={run_dir} was made by another version of beamtune ({error})") from error
    return [*options, *overrides_of(kept), *overrides]
