"""`import beamtune`: quick, and free of what it does not need yet."""

import json
import re
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest
from python_script import script_command

import beamtune
from beam_pipelines.common.extras import DOCTOR_HINT

REPOSITORY = Path(__file__).resolve().parents[2]
HEAVY = ("tensorflow", "keras", "apache_beam", "librosa", "numpy", "hydra", "soundfile", "sklearn", "matplotlib")
SCRIPT = f"""
import json, sys, time
started_s = time.process_time()
import beamtune
duration_s = time.process_time() - started_s
names = dir(beamtune)
beamtune.UserError, beamtune.__version__
heavy = [name for name in {HEAVY!r} if name in sys.modules]
print(json.dumps({{"duration_s": duration_s, "names": names, "heavy": heavy}}))
"""


@pytest.mark.slow
def test_the_import_takes_less_than_200_ms_of_cpu_and_imports_nothing_heavy() -> None:
    done = subprocess.run(script_command(SCRIPT), capture_output=True, text=True, check=True, timeout=120)
    found = json.loads(done.stdout)
    assert found["heavy"] == []
    assert found["duration_s"] < 0.2
    assert set(beamtune.__all__) <= set(found["names"])


def test_every_public_name_is_there_and_no_other() -> None:
    for name in beamtune.__all__:
        assert getattr(beamtune, name) is not None
    assert beamtune.__version__ == version("beamtune")
    with pytest.raises(AttributeError, match="module 'beamtune' has no attribute 'predict'"):
        beamtune.predict  # noqa: B018


@pytest.mark.slow
@pytest.mark.parametrize(
    ("call", "missing", "extra"),
    [
        ("beamtune.load('run')", "tensorflow", "train"),
        ("beamtune.open_prepared('data')", "tensorflow", "train"),
        ("beamtune.train(data_dir='data', run_dir='run')", "keras", "train"),
        ("beamtune.evaluate('run')", "keras", "train"),
        ("beamtune.prepare(dataset={'folder': {'root': 'music'}}, output_dir='out')", "apache_beam", "beam"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(call: str, missing: str, extra: str, tmp_path: Path) -> None:
    script = f"import sys; sys.modules[{missing!r}] = None\nimport beamtune\ntry: {call}\n"
    script += "except Exception as error: print(f'{type(error).__name__}: {error}')"
    done = subprocess.run(script_command(script), capture_output=True, text=True, check=True, timeout=300, cwd=tmp_path)
    assert re.fullmatch(
        rf"UserError: this needs {missing}[\w.]*, which is not installed: pip install 'beamtune\[{extra}\]' "
        rf"\({DOCTOR_HINT}\)\n",
        done.stdout,
    )


def test_no_other_package_imports_beamtune() -> None:
    sources = [path for name in ("beam_pipelines", "trainer", "configs") for path in (REPOSITORY / name).rglob("*.py")]
    assert len(sources) > 100
    for path in sources:
        lines = path.read_text(encoding="utf-8").splitlines()
        assert not [line for line in lines if line.strip().startswith(("import beamtune", "from beamtune"))], path
