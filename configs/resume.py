"""`beamtune train run_dir=…` goes on with the settings that the run was started with."""

from collections.abc import Sequence

from beam_pipelines.errors import UserError
from configs.compose import compose, config_groups, override_key, overrides_of


def with_saved_settings(overrides: Sequence[str]) -> list[str]:
    """Returns the overrides behind the settings of the run that they continue, if they continue one.

    What the user gives comes last and so counts; the trainer refuses what would make another run of it.
    """
    keys = [override_key(text) for text in overrides]
    if "run_dir" not in keys:
        return list(overrides)
    from trainer.run_dir import RunDir  # imports TensorFlow, which reads gs:// too

    run_dir = compose("train", overrides).run_dir
    run = RunDir(run_dir)
    if not run.is_started():
        return list(overrides)
    saved = run.config()
    chosen = {group: saved[group].get("name", saved[group].get("kind")) for group in saved if group in config_groups()}
    chosen_anew = [group for group in chosen if group in keys]
    kept = {key: value for key, value in saved.items() if key not in chosen_anew}
    try:
        options = [f"{group}={option}" for group, option in chosen.items() if group not in chosen_anew]
        compose("train", [*options, *overrides_of(kept)])
    except UserError as error:
        raise UserError(f"run_dir={run_dir} was made by another version of beamtune ({error})") from error
    return [*options, *overrides_of(kept), *overrides]
