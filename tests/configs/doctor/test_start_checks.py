"""What other commands say of libraries that are missing, broken or of an unsupported version."""

import importlib
import platform
from functools import partial

import pytest

from beam_pipelines.common.errors import UserError
from beam_pipelines.common.extras import DOCTOR_HINT
from beam_pipelines.common.package_builds import installed_builds
from configs.doctor import libraries, probes, requirements, start_checks
from configs.doctor.requirements import parse_requirements
from configs.doctor.start_checks import check_start, describe_failed_import

REQUIREMENTS = parse_requirements(
    python=">=3.10",
    lines=["numpy<2", "tensorflow==2.17.1; extra == 'train'", "apache-beam==2.72.0; extra == 'beam'"],
    extras=["beam", "train"],
)


@pytest.fixture
def installed(monkeypatch):
    """The versions of the installed packages, which a test changes."""
    versions = {"tensorflow": "2.17.1", "apache-beam": "2.72.0"}
    monkeypatch.setattr(requirements, "read_requirements", lambda: REQUIREMENTS)
    monkeypatch.setattr(start_checks, "installed_builds", partial(installed_builds, version_of=versions.get))
    monkeypatch.setattr(libraries, "lacks_avx", lambda: False)
    return versions


def test_a_suitable_installation_is_not_mentioned(installed):
    assert check_start(["train", "beam"]) == []
    installed.clear()
    assert check_start(["train", "beam"]) == []


def test_unsupported_versions_of_the_extras_are_noted(installed):
    installed |= {"tensorflow": "2.21.0", "apache-beam": "2.80.0"}
    line = "is not supported: expected"
    assert check_start(["train"]) == [
        f"tensorflow 2.21.0 {line} ==2.17.1: pip install 'tensorflow==2.17.1' ({DOCTOR_HINT})"
    ]
    assert check_start(["beam"]) == [
        f"apache-beam 2.80.0 {line} ==2.72.0: pip install 'apache-beam==2.72.0' ({DOCTOR_HINT})"
    ]


def test_another_build_of_tensorflow_is_checked_as_tensorflow(installed):
    installed["tensorflow-cpu"] = installed.pop("tensorflow")
    assert check_start(["train"]) == []
    installed["tensorflow-cpu"] = "2.21.0"
    [line] = check_start(["train"])
    assert line.startswith("tensorflow 2.21.0 (tensorflow-cpu) is not supported: expected ==2.17.1: pip install ")


def test_an_unsupported_python_is_noted(installed, monkeypatch):
    monkeypatch.setattr(platform, "python_version", lambda: "3.9.1")
    [line] = check_start(["beam"])
    assert line.startswith("Python 3.9.1 is not supported: expected >=3.10: ")
    assert line.endswith(f"({DOCTOR_HINT})")


@pytest.mark.parametrize("works", [True, False])
def test_a_cpu_without_avx_is_an_error_only_if_tensorflow_needs_it(installed, monkeypatch, works):
    async def probe(kind, names, *, timeout_s):
        assert (kind, names) == (probes.IMPORT, ["tensorflow"])
        return {"tensorflow": {"version": "2.17.1"} if works else {"error": "the process ends with SIGILL"}}

    monkeypatch.setattr(libraries, "lacks_avx", lambda: True)
    monkeypatch.setattr(probes, "probe", probe)
    assert check_start(["beam"]) == []
    if works:
        assert check_start(["train"]) == []
    else:
        with pytest.raises(
            UserError, match=f"^TensorFlow needs a CPU with AVX, .* another machine \\({DOCTOR_HINT}\\)$"
        ):
            check_start(["train"])


@pytest.fixture
def error_of_import(tmp_path, monkeypatch):
    """Returns the error of the import of a package that runs some code."""
    monkeypatch.syspath_prepend(tmp_path)

    def error_of_import(name, code):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(code)
        importlib.invalidate_caches()
        with pytest.raises(Exception) as caught:
            importlib.import_module(name)
        return caught.value

    return error_of_import


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("raise ImportError('libx.so: undefined symbol: _Z\\nmore')", "ImportError: libx.so: undefined symbol: _Z"),
        (  # as TensorFlow's
            "raise ImportError('Traceback (most recent):\\n  x\\nImportError: libx.so: none\\n\\nSee y')",
            "ImportError: libx.so: none",
        ),
        ("raise ValueError('numpy.dtype size changed')", "ValueError: numpy.dtype size changed"),
        ("import no_such_module_anywhere", "ModuleNotFoundError: No module named 'no_such_module_anywhere'"),
        ("def load():\n    raise OSError('\\nno library')\nload()", "OSError: no library"),
    ],
)
def test_a_package_that_fails_while_it_is_imported_is_named(error_of_import, code, message):
    error = error_of_import("fake_broken", code)
    # The frames of this test are those of the caller of beamtune.
    error.__traceback__ = error.__traceback__.tb_next
    assert describe_failed_import(error) == f"fake_broken cannot be imported: {message}: {DOCTOR_HINT}"


def test_a_name_that_a_package_lacks_is_a_failed_import_of_it():
    with pytest.raises(ImportError) as caught:
        from json import no_such_name  # noqa: F401
    assert describe_failed_import(caught.value).startswith("json cannot be imported: ImportError: cannot import name")


def test_other_errors_are_not_failed_imports():
    namespace = {"__name__": "fake_called"}
    exec("def call():\n    raise ValueError('x')", namespace)  # noqa: S102
    with pytest.raises(ValueError) as caught:
        namespace["call"]()
    assert describe_failed_import(caught.value) is None
    assert describe_failed_import(ModuleNotFoundError("x", name="trainer.none")) is None
    assert describe_failed_import(ZeroDivisionError()) is None
