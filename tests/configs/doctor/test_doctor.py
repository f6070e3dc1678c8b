"""`beamtune doctor` as a process, in virtual environments that hold what a test puts there, and in the real one."""

import csv
import io
import json
import os
import platform
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from beam_pipelines.common.extras import DOCTOR_HINT
from beam_pipelines.common.python_process import python_command
from configs.commands import COMMANDS

REPOSITORY = Path(__file__).resolve().parents[3]
# What the command itself needs.
LINKED = ("rich", "packaging", "markdown_it", "mdurl", "pygments", "yaml")
METADATA = """Metadata-Version: 2.1
Name: beamtune
Version: 0.1.0
Requires-Python: {python}
Requires-Dist: numpy<2,>=1.26
Requires-Dist: tensorflow==2.17.1; extra == 'train'
Requires-Dist: keras>=3.12; extra == 'train'
Requires-Dist: apache-beam==2.72.0; extra == 'beam'
Provides-Extra: beam
Provides-Extra: train
Provides-Extra: dev
"""

pytestmark = pytest.mark.slow


class Environment:
    """A virtual environment without pip, whose packages are folders that a test writes."""

    def __init__(self, folder, *, python=">=3.10"):
        venv.create(folder / "env", with_pip=False, symlinks=True)
        [self.site] = (folder / "env" / "lib").glob("python*/site-packages")
        self._python = folder / "env" / "bin" / "python"
        self._home = folder / "home"
        self._home.mkdir()
        for name in LINKED:
            (self.site / name).symlink_to(Path(sysconfig.get_path("purelib")) / name)
        self.add_metadata("beamtune", METADATA.format(python=python))
        self.add("numpy", "1.26.4")

    def add_metadata(self, name, text):
        folder = self.site / f"{name.replace('-', '_')}-0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(text)

    def add(self, name, version, code=""):
        """Adds a package that runs some code when it is imported."""
        self.add_metadata(name, f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        package = self.site / name.replace("-", "_")
        package.mkdir()
        (package / "__init__.py").write_text(code)

    def run(self, *words, **variables):
        command = [str(self._python), *python_command("configs.cli:run", *words)[1:]]
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("GOOGLE", "CLOUDSDK", "PYTHON"))}
        environment = {**kept, "HOME": str(self._home), **variables}
        return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600, check=False)

    def doctor(self, **variables):
        """Returns the exit code, and the state, the text and the advice of each name in JSON."""
        done = self.run("doctor", "--json", **variables)
        assert done.stderr == ""
        content = json.loads(done.stdout)
        assert content["ok"] is (done.returncode == 0)
        findings = {f"{one['part']} {one['name']}": one for one in content["findings"]}
        assert len(findings) == len(content["findings"])
        return done.returncode, findings


@pytest.fixture
def environment(tmp_path):
    return Environment(tmp_path)


def finding(part, name, state, found, expected=None, fix=None):
    return {"part": part, "name": name, "state": state, "found": found, "expected": expected, "fix": fix}


def test_without_tensorflow_and_beam_it_says_what_is_missing(environment):
    _, found = environment.doctor()
    assert found["version Python"] == finding("version", "Python", "ok", platform.python_version())
    assert found["version beamtune"] == finding("version", "beamtune", "ok", "0.1.0")
    assert found["version numpy"] == finding("version", "numpy", "ok", "1.26.4")
    for name in ("tensorflow", "keras", "keras-tuner", "apache-beam", "librosa", "google-cloud-storage"):
        assert found[f"version {name}"] == finding("version", name, "missing", "not installed")
    assert found["extra beam"] == finding(
        "extra", "beam", "missing", "without apache-beam", fix="pip install 'beamtune[beam]'"
    )
    assert found["extra train"]["found"] == "without tensorflow, keras"
    assert "extra dev" not in found
    assert found["command download"] == finding("command", "download", "ok", "runs")
    assert found["command prepare"] == finding("command", "prepare", "missing", "extra beam: without apache-beam")
    assert found["command train"]["state"] == found["command predict"]["state"] == "missing"
    assert found["decoder m4a"] == finding(
        *("decoder", "m4a", "broken", "AttributeError: module 'numpy' has no attribute 'arange'"),
        expected="libsndfile or FFmpeg reads it",
        fix="pip install --force-reinstall --no-deps av soundfile soxr",
    )
    assert found["gs:// credentials"]["state"] == "missing"


def test_a_crash_is_one_line_and_exit_code_1(environment):
    environment.add("tensorflow", "2.17.1", "import os, signal\nos.kill(os.getpid(), signal.SIGABRT)")
    environment.add("keras", "3.15.1", "import tensorflow")
    environment.add("h5py", "3.11.0", "raise ValueError('numpy.dtype size changed, may indicate\\nmore')")
    code, found = environment.doctor()
    assert code == 1
    assert found["version tensorflow"] == finding(
        *("version", "tensorflow", "broken", "2.17.1, the process ends with SIGABRT", "import tensorflow works"),
        fix="pip install --force-reinstall --no-deps 'tensorflow==2.17.1'",
    )
    assert found["version keras"] == finding("version", "keras", "unchecked", "3.15.1, needs tensorflow")
    assert found["version keras-tuner"] == finding("version", "keras-tuner", "missing", "not installed")
    assert found["version h5py"] == finding(
        *("version", "h5py", "broken", "3.11.0, ValueError: numpy.dtype size changed, may indicate"),
        expected="a build for the installed numpy",
        fix="pip install --force-reinstall --no-deps h5py 'numpy<2,>=1.26'",
    )
    assert found["command train"] == finding("command", "train", "broken", "tensorflow")
    assert found["extra train"] == finding("extra", "train", "ok", "2 packages")


def test_a_version_out_of_range_is_unsupported_and_commands_note_it(tmp_path):
    environment = Environment(tmp_path, python="<3.9,>=3.8")
    environment.add("tensorflow", "2.21.0")
    environment.add("keras", "3.15.1")
    code, found = environment.doctor()
    assert code == 1
    assert found["version Python"] == finding(
        *("version", "Python", "unsupported", platform.python_version(), "<3.9,>=3.8"),
        fix="python3.8 -m venv .venv, and install beamtune there",
    )
    # The fake has no list of devices.
    assert found["version tensorflow"]["expected"] == "==2.17.1"
    assert found["version tensorflow"]["found"].startswith("2.21.0, AttributeError: ")
    done = environment.run("models")
    assert done.stderr.splitlines()[:2] == [
        f"note: Python {platform.python_version()} is not supported: expected <3.9,>=3.8: python3.8 -m venv .venv, and "
        f"install beamtune there ({DOCTOR_HINT})",
        "note: tensorflow 2.21.0 is not supported: expected ==2.17.1: pip install 'tensorflow==2.17.1' "
        f"({DOCTOR_HINT})",
    ]


def test_credentials_are_found_and_not_printed(environment, tmp_path):
    key = tmp_path / "key.json"
    key.write_text(json.dumps({"type": "service_account", "private_key": "TOP-SECRET"}))
    done = environment.run("doctor", "--json", GOOGLE_APPLICATION_CREDENTIALS=str(key))
    [found] = [one for one in json.loads(done.stdout)["findings"] if one["part"] == "gs://"]
    text = f"service_account, from GOOGLE_APPLICATION_CREDENTIALS: {key}"
    assert found == finding("gs://", "credentials", "ok", text)
    assert "TOP-SECRET" not in done.stdout


def test_a_checkout_that_is_not_installed_is_said_so(environment):
    metadata = environment.site / "beamtune-0.dist-info"
    (metadata / "METADATA").unlink()
    metadata.rmdir()
    code, found = environment.doctor()
    assert code == 1
    assert found["version beamtune"] == finding(
        *("version", "beamtune", "broken", "not installed", "its metadata, which have the ranges of versions"),
        fix="pip install beamtune, or in a checkout: pip install .",
    )


def test_here_everything_works(beamtune):
    done = beamtune("doctor", "--csv")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row for row in rows if row["state"] in ("broken", "unsupported", "unchecked")] == []
    assert (done.returncode, done.stderr) == (0, "")
    found = {f"{row['part']} {row['name']}": row["found"] for row in rows}
    assert found["version Python"] == platform.python_version()
    assert ", libsndfile 1." in found["version soundfile"]
    assert ", FFmpeg " in found["version av"]
    assert found["decoder mp3"] == "libsndfile and FFmpeg"
    assert found["decoder m4a"] == "FFmpeg"
    assert [row["name"] for row in rows if row["part"] == "command"] == [name for name in COMMANDS if name != "doctor"]
    assert {row["found"] for row in rows if row["part"] == "command"} == {"runs"}


def test_the_interpreter_of_the_tests_is_not_that_of_the_environments(environment):
    done = environment.run("--version")
    assert (done.stdout, sys.prefix in done.stdout) == ("beamtune 0.1.0\n", False)
