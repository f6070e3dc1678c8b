"""The findings of Python and of libraries, from what child processes say of them."""

import pytest

from configs.doctor import libraries
from configs.doctor.findings import BROKEN, MISSING, OK, UNCHECKED, UNSUPPORTED, Finding
from configs.doctor.libraries import LIBRARIES, find_libraries, find_python, lacks_avx, version_problem
from configs.doctor.requirements import parse_requirements

REQUIREMENTS = parse_requirements(
    python=">=3.10,<3.13",
    lines=[
        "numpy<2,>=1.26",
        "soundfile>=0.13",
        "tensorflow==2.17.1; extra == 'train'",
        "tensorflow-cpu==2.17.1; extra == 'train-cpu'",
        "keras>=3.12; extra == 'train'",
        "tensorflow==2.16.2; extra == 'old'",
    ],
    extras=["train", "train-cpu", "old"],
)


@pytest.fixture
def find(monkeypatch):
    """Returns the findings of an environment in which everything works, apart from what is given."""
    monkeypatch.setattr(libraries, "lacks_avx", lambda: False)

    def find(*, versions=None, results=None):
        installed = {library.package: "1.0" for library in LIBRARIES}
        installed |= {"numpy": "1.26.4", "tensorflow": "2.17.1", "keras": "3.15.1", "soundfile": "0.13.1"}
        installed |= versions or {}
        said = {library.module: {"version": "1.0"} for library in LIBRARIES} | (results or {})
        found = find_libraries(said, REQUIREMENTS, version_of=installed.get)
        assert [one.name for one in found] == [library.package for library in LIBRARIES]
        assert {one.part for one in found} == {"version"}
        return {one.name: one for one in found}

    return find


def test_all_is_well(find):
    found = find(results={"soundfile": {"version": "1", "inside": "libsndfile 1.2.2"}})
    assert {one.state for one in found.values()} == {OK}
    assert found["soundfile"] == Finding("version", "soundfile", OK, "0.13.1, libsndfile 1.2.2")
    assert found["tensorflow"].found == "2.17.1"


def test_a_version_out_of_range_names_the_range_and_what_to_type(find):
    assert find(versions={"tensorflow": "2.21.0"})["tensorflow"] == Finding(
        *("version", "tensorflow", UNSUPPORTED, "2.21.0"),
        expected="==2.17.1 or ==2.16.2",
        fix="pip install 'tensorflow==2.17.1'",
    )
    assert version_problem("tensorflow", {"tensorflow": "2.16.2"}, REQUIREMENTS) is None
    assert version_problem("unknown", {"unknown": "2.16.2"}, REQUIREMENTS) is None


def test_another_build_of_tensorflow_is_a_tensorflow(find):
    found = find(versions={"tensorflow": None, "tensorflow-cpu": "2.17.1"})
    assert found["tensorflow"] == Finding("version", "tensorflow", OK, "2.17.1 (tensorflow-cpu)")
    assert found["keras"].state == OK
    found = find(versions={"tensorflow": None, "tensorflow-cpu": "2.16.2"})
    assert found["tensorflow"] == Finding(
        *("version", "tensorflow", UNSUPPORTED, "2.16.2 (tensorflow-cpu)"),
        expected="==2.17.1",
        fix="pip install 'tensorflow-cpu==2.17.1'",
    )
    # No extra has a range for this one.
    assert find(versions={"tensorflow": None, "tensorflow-rocm": "2.16.2"})["tensorflow"].state == OK
    found = find(versions={"tensorflow": None, "tensorflow-cpu": "2.17.1"}, results={"tensorflow": {"error": "x"}})
    assert found["tensorflow"].fix == "pip install --force-reinstall --no-deps 'tensorflow-cpu==2.17.1'"


@pytest.mark.parametrize("result", [{"version": "2.17.1"}, {"error": "ImportError: x"}])
def test_two_builds_of_tensorflow_overwrite_each_other(find, result):
    found = find(versions={"tensorflow-cpu": "2.17.0"}, results={"tensorflow": result})
    text = "2.17.1 and 2.17.0 (tensorflow-cpu)"
    assert found["tensorflow"] == Finding(
        *("version", "tensorflow"),
        *((BROKEN, f"{text}, ImportError: x") if "error" in result else (UNSUPPORTED, text)),
        expected="one of them, because they overwrite the files of each other",
        fix="pip uninstall --yes tensorflow tensorflow-cpu, and then pip install 'tensorflow==2.17.1'",
    )


def test_a_missing_package_of_an_extra_is_no_problem_and_one_of_the_core_is(find):
    absent = {"error": "ModuleNotFoundError: No module named 'x'"}
    found = find(
        versions={"keras": None, "google-cloud-storage": None, "numpy": None},
        results={
            "keras": {**absent, "missing": "keras"},
            "google.cloud.storage": {**absent, "missing": "google.cloud"},
            "numpy": {**absent, "missing": "numpy"},
        },
    )
    assert found["keras"] == Finding("version", "keras", MISSING, "not installed")
    assert found["google-cloud-storage"] == Finding("version", "google-cloud-storage", MISSING, "not installed")
    assert found["numpy"] == Finding(
        *("version", "numpy", BROKEN, "not installed"), expected="<2,>=1.26", fix="pip install 'numpy<2,>=1.26'"
    )


def test_a_package_that_is_installed_without_metadata_has_the_version_that_it_says(find):
    found = find(versions={"tensorflow": None}, results={"tensorflow": {"version": "2.17.1"}})
    assert found["tensorflow"] == Finding("version", "tensorflow", OK, "2.17.1")


def test_a_failed_import_is_broken_and_what_needs_it_is_not_checked(find):
    error = {"error": "ImportError: undefined symbol: _Z3foo"}
    found = find(results={"tensorflow": error, "keras": error, "keras_tuner": error, "tensorflow_io": error})
    assert found["tensorflow"] == Finding(
        *("version", "tensorflow", BROKEN, "2.17.1, ImportError: undefined symbol: _Z3foo"),
        expected="import tensorflow works",
        fix="pip install --force-reinstall --no-deps 'tensorflow==2.17.1'",
    )
    assert found["keras"] == Finding("version", "keras", UNCHECKED, "3.15.1, needs tensorflow")
    assert [found[name].state for name in ("keras-tuner", "tensorflow-io", "tensorboard")] == [UNCHECKED, UNCHECKED, OK]


def test_what_was_not_tried_and_is_not_installed_is_missing(find):
    found = find(
        versions={"keras": None}, results={"tensorflow": {"error": "SIGSEGV"}, "keras": {"error": "not tried"}}
    )
    assert found["keras"] == Finding("version", "keras", MISSING, "not installed")


def test_a_broken_import_of_a_wrong_version_expects_the_range(find):
    found = find(versions={"tensorflow": "2.21.0"}, results={"tensorflow": {"error": "ImportError: x"}})
    assert (found["tensorflow"].state, found["tensorflow"].found) == (BROKEN, "2.21.0, ImportError: x")
    assert found["tensorflow"].expected == "==2.17.1 or ==2.16.2"


def test_an_illegal_instruction_on_a_cpu_without_avx_is_said_so(find, monkeypatch):
    monkeypatch.setattr(libraries, "lacks_avx", lambda: True)
    found = find(results={"tensorflow": {"error": "the process ends with SIGILL"}})
    assert found["tensorflow"] == Finding(
        *("version", "tensorflow", BROKEN, "2.17.1, this CPU has no AVX"),
        expected="a CPU with AVX",
        fix="use another machine, or a TensorFlow that is built for this CPU",
    )


@pytest.mark.parametrize(
    "error",
    [
        "ValueError: numpy.dtype size changed, may indicate binary incompatibility. Expected 96, got 88",
        "ImportError: A module that was compiled using NumPy 1.x cannot be run in NumPy 2.1.0",
        "AttributeError: _ARRAY_API not found",
        "ImportError: numpy.core.multiarray failed to import",
    ],
)
def test_another_abi_of_numpy_is_said_so(find, error):
    assert find(results={"h5py": {"error": error}})["h5py"] == Finding(
        *("version", "h5py", BROKEN, f"1.0, {error}"),
        expected="a build for the installed numpy",
        fix="pip install --force-reinstall --no-deps h5py 'numpy<2,>=1.26'",
    )


def test_python_out_of_range():
    assert find_python("3.11.7", REQUIREMENTS) == Finding("version", "Python", OK, "3.11.7")
    assert find_python("3.13.1", REQUIREMENTS) == Finding(
        *("version", "Python", UNSUPPORTED, "3.13.1"),
        expected="<3.13,>=3.10",
        fix="python3.12 -m venv .venv, and install beamtune there",
    )


@pytest.mark.parametrize(
    ("machine", "text", "expected"),
    [
        ("x86_64", "processor\t: 0\nflags\t\t: fpu sse4_2 avx avx2\n", False),
        ("x86_64", "processor\t: 0\nflags\t\t: fpu sse4_2\n", True),
        ("x86_64", "nothing", False),
        ("aarch64", "Features\t: fp asimd\n", False),
    ],
)
def test_a_cpu_without_avx(tmp_path, machine, text, expected):
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(text)
    assert lacks_avx(machine=machine, cpuinfo=cpuinfo) is expected
    assert lacks_avx(machine=machine, cpuinfo=tmp_path / "none") is False
