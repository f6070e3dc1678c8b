"""Runs of `beamtune baselines` in tests."""

import io
import json
import re
from pathlib import Path

from trainer.baselines.baselines import run_baselines

QUICK = ["naive_bayes", "logistic_regression"]


def run(config):
    """Returns the printed table, with lines stripped."""
    stream = io.StringIO()
    run_baselines(config, stream=stream)
    return "".join(f"{line.strip()}\n" for line in stream.getvalue().splitlines())


def files_of(directory):
    """{path: bytes} of a folder, without durations."""
    return {
        str(path.relative_to(directory)): re.sub(rb'"train_duration_s": [\d.e-]+', b"", path.read_bytes())
        for path in sorted(Path(directory).rglob("*"))
        if path.is_file()
    }


def metrics_of(config, learner):
    return json.loads((Path(config.output_dir) / learner / "metrics.json").read_text())
