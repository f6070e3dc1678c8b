"""Steps in child processes that fail in every way that an import can fail."""

import asyncio
import os
from pathlib import Path

import pytest

from configs.doctor.probes import IMPORT, one_line, probe

REPOSITORY = Path(__file__).resolve().parents[3]

MODULES = {
    "works": "__version__ = '1.2'\nprint('noise')\nimport os\nos.system('echo noise of C')",
    "raises": "raise ValueError('first line\\nsecond')",
    "raises_nothing": "raise SystemExit",
    "raises_traceback": "raise ImportError('Traceback (most recent):\\n  x\\nImportError: libx.so: none\\n\\nSee y')",
    "lacks_other": "import no_such_module_anywhere",
    "crashes": "import os, signal, sys\nprint('CPU has no AVX', file=sys.stderr, flush=True)\n"
    "os.kill(os.getpid(), signal.SIGILL)",
    "exits": "import os\nos._exit(3)",
    "hangs": "import time\ntime.sleep(1000)",
}


@pytest.fixture
def imports(tmp_path, monkeypatch):
    """Returns what is said of imports of `MODULES`."""
    for name, code in MODULES.items():
        (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(REPOSITORY), str(tmp_path)]))

    def imports(*names, timeout_s=120.0, needs=None):
        return asyncio.run(probe(IMPORT, names, timeout_s=timeout_s, needs=needs))

    return imports


def test_each_failure_is_one_line_and_the_following_modules_are_imported(imports):
    assert imports(
        *("works", "raises", "raises_nothing", "raises_traceback", "crashes", "lacks_other", "exits", "json")
    ) == {
        "works": {"version": "1.2"},
        "raises": {"error": "ValueError: first line"},
        "raises_nothing": {"error": "SystemExit:"},
        "raises_traceback": {"error": "ImportError: libx.so: none"},
        "crashes": {"error": "the process ends with SIGILL: CPU has no AVX"},
        "lacks_other": {
            "error": "ModuleNotFoundError: No module named 'no_such_module_anywhere'",
            "missing": "no_such_module_anywhere",
        },
        "exits": {"error": "the process ends with exit code 3"},
        "json": {"version": "2.0.9"},
    }


def test_after_a_crash_what_needs_the_module_is_not_tried(imports):
    needs = {"hangs": ["crashes"], "works": ["raises"]}
    assert imports("works", "crashes", "hangs", "json", needs=needs) == {
        "works": {"version": "1.2"},
        "crashes": {"error": "the process ends with SIGILL: CPU has no AVX"},
        "hangs": {"error": "not tried"},
        "json": {"version": "2.0.9"},
    }


def test_an_import_that_hangs_is_ended(imports):
    assert imports("hangs", timeout_s=1.0) == {"hangs": {"error": "it does not end within timeout_s=1"}}


def test_a_message_is_cut_to_one_line():
    assert one_line("a\n  b\tc ") == "a b c"
    assert one_line("x" * 400) == "x" * 300 + "…"
