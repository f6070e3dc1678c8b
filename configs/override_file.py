"""Settings in a file: a YAML list of `key=value`, as `beamtune tune` writes the winner."""

import yaml

from beam_pipelines.common.errors import UserError


def read_overrides(path: str) -> list[str]:
    """Returns the settings that a file lists.

    Args:
        path: The file, local or gs://.

    Raises:
        UserError: It cannot be read, or is something else.
    """
    from trainer.common import files  # imports TensorFlow, which reads gs:// too

    try:
        content = yaml.safe_load(files.read_text(path))
    except (*files.READ_ERRORS, yaml.YAMLError) as error:
        raise UserError(
            f"overrides={path} cannot be read ({type(error).__name__}): expected a YAML list of settings"
        ) from error
    if not isinstance(content, list) or not all(isinstance(line, str) and "=" in line for line in content):
        raise UserError(f"overrides={path}: expected a YAML list of settings, such as - model.dropout=0.5")
    return content
