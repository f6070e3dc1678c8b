"""`calibration.json` of a run: the temperatures that its probabilities are calibrated with."""

import json
import math
from dataclasses import asdict
from typing import Any

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
            return _from_json(content)
    except files.MissingFileError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} is damaged ({error!r}): beamtune evaluate run_dir={run.path} split=validation calibrate=true "
            "writes it again"
        ) from error
    raise UserError(
        f"{path} has version {version} and method {method}: expected version {_VERSION} and method temperature; use "
        "the version of beamtune that has written it"
    )


def _from_json(content: dict[str, Any]) -> Calibration:
    calibration = Calibration(
        segment=float(content["segment"]), track=float(content["track"]), num_tracks=int(content["num_tracks"])
    )
    # NaN is not above 0.
    if not all(0 < temperature < math.inf for temperature in (calibration.segment, calibration.track)):
        raise ValueError("a temperature is not a number above 0")
    return calibration
