"""`calibration.json` of a run: the temperatures that its probabilities are calibrated with."""

import json
from dataclasses import asdict

from beam_pipelines.common.errors import UserError
from trainer.common import files
from trainer.metrics.calibration import Calibration
from trainer.runs.run_dir import RunDir

_FILE = "calibration.json"
_VERSION = 1


def write_calibration(run: RunDir, calibration: Calibration) -> None:
    """Writes `calibration.json`."""
    content = {"version": _VERSION, "method": "temperature", **asdict(calibration)}
    files.write_text(files.join(run.path, _FILE), json.dumps(content, indent=2) + "\n")


def read_calibration(run: RunDir) -> Calibration | None:
    """Returns the content of `calibration.json`, or None for a run that is not calibrated.

    Raises:
        UserError: It is damaged, or a later version of beamtune has written it.
    """
    path = files.join(run.path, _FILE)
    try:
        content = json.loads(files.read_text(path))
        version, method = content.pop("version"), content.pop("method")
        if (version, method) == (_VERSION, "temperature"):
            return Calibration.from_json(content)
    except files.MissingFileError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            f"{path} is damaged ({error!r}): beamtune evaluate run_dir={run.path} split=validation calibrate=true "
            "writes it again"
        ) from error
    raise UserError(
        f"{path} has version {version} and method {method}: expected version {_VERSION} and method temperature; use "
        "the version of beamtune that has written it"
    )
