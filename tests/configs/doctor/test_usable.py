"""Which extras are installed, and which commands run."""

import ast
import inspect
import textwrap

import grimp
import pytest

from configs.command import Command
from configs.commands import COMMANDS
from configs.doctor.findings import BROKEN, MISSING, OK, UNSUPPORTED, Finding
from configs.doctor.requirements import parse_requirements
from configs.doctor.usable import find_commands, find_extras

REQUIREMENTS = parse_requirements(
    python="",
    lines=[
        "av>=14",
        "apache-beam==2.72.0; extra == 'beam'",
        *(f"{name}>=1; extra == 'train'" for name in ("keras", "h5py", "jinja2", "grpcio", "keras-tuner")),
        "tensorflow==2.17.1; extra == 'train'",
        "tensorflow-cpu==2.17.1; extra == 'train-cpu'",
        "tensorflow[no-such-extra]==2.17.1; extra == 'gpu'",
        "tensorflow-io==0.37.1; extra == 'io'",
        "tensorflow==2.16.2; extra == 'io'",
    ],
    extras=["beam", "gpu", "io", "m4a", "train", "train-cpu"],
)
INSTALLED = {
    **dict.fromkeys(("keras", "h5py", "jinja2", "grpcio", "keras-tuner"), "1.5"),
    "av": "18.1",
    "apache-beam": "2.72.0",
    "tensorflow": "2.17.1",
}


def extras(installed, versions=()):
    found = find_extras(REQUIREMENTS, versions, version_of=installed.get)
    return {one.name: one for one in found}


def commands(installed, versions=()):
    found = find_commands(
        [command("download"), command("prepare", "beam"), command("train", "train"), command("both", "beam", "train")],
        list(extras(installed, versions).values()),
        versions,
        REQUIREMENTS,
    )
    return {one.name: (one.state, one.found) for one in found}


def command(name, *needed):
    return Command(name=name, summary="", description="", examples=(), run=lambda _: 0, extras=needed)


def test_extras_are_complete_or_name_what_is_missing():
    assert extras(INSTALLED) == {
        "beam": Finding("extra", "beam", OK, "1 package"),
        "gpu": Finding("extra", "gpu", OK, "1 package"),
        "io": Finding(
            *("extra", "io", MISSING, "without tensorflow-io"),
            fix="in a new environment, because it needs other versions: pip install 'beamtune[io]'",  # TensorFlow 2.16
        ),
        "train": Finding("extra", "train", OK, "6 packages"),
    }
    assert extras({})["train"] == Finding(
        *("extra", "train", MISSING, "without keras, h5py, jinja2, grpcio and 2 more"),
        fix="pip install 'beamtune[train]'",
    )


def test_another_build_of_tensorflow_completes_the_extras_but_the_one_for_gpus():
    found = extras({**INSTALLED, "tensorflow": None, "tensorflow-cpu": "2.17.1"})
    assert {name for name, one in found.items() if one.state == OK} == {"beam", "train"}
    assert found["gpu"] == Finding(
        *("extra", "gpu", MISSING, "without tensorflow"),
        fix="pip uninstall --yes tensorflow-cpu, and then pip install 'beamtune[gpu]'",
    )
    # pip would install tensorflow beside tensorflow-cpu.
    assert found["io"] == Finding(
        *("extra", "io", MISSING, "without tensorflow-io"),
        fix="in a new environment, because it needs other versions: pip install 'beamtune[io]'",
    )
    assert extras({"tensorflow-cpu": "2.16.2"})["train-cpu"].state == UNSUPPORTED


def test_extras_that_exclude_each_other_are_named():
    assert extras({**INSTALLED, "tensorflow-io": "0.37.1"})["io"] == Finding(
        *("extra", "io", UNSUPPORTED, "tensorflow 2.17.1"),
        expected="tensorflow==2.16.2",
        fix="pip install 'beamtune[io]'",
    )


def test_what_is_said_of_a_library_is_not_said_again_of_its_extra():
    said = Finding("version", "apache-beam", UNSUPPORTED, "2.60.0")
    assert extras({**INSTALLED, "apache-beam": "2.60.0"}, [said])["beam"].fix is None


def test_commands_run_with_their_extras():
    assert commands(INSTALLED) == dict.fromkeys(("download", "prepare", "train", "both"), (OK, "runs"))
    assert commands({"av": "18.1", "apache-beam": "2.72.0"}) == {
        "download": (OK, "runs"),
        "prepare": (OK, "runs"),
        "train": (MISSING, "extra train: without keras, h5py, jinja2, grpcio and 2 more"),
        "both": (MISSING, "extra train: without keras, h5py, jinja2, grpcio and 2 more"),
    }


def test_commands_do_not_run_with_broken_libraries():
    versions = [Finding("version", "tensorflow", BROKEN, "x"), Finding("version", "apache-beam", UNSUPPORTED, "2.60.0")]
    assert commands({**INSTALLED, "apache-beam": "2.60.0"}, versions) == {
        "download": (OK, "runs"),
        "prepare": (UNSUPPORTED, "apache-beam"),
        "train": (BROKEN, "tensorflow"),
        "both": (BROKEN, "tensorflow"),
    }
    assert commands({**INSTALLED, "h5py": "0.9"})["train"] == (UNSUPPORTED, "extra train: h5py 0.9")
    assert commands(INSTALLED, [Finding("version", "av", BROKEN, "x")])["download"] == (BROKEN, "av")


# The packages that the imports of each extra start with. Others of an extra come with these.
IMPORTS = {
    "beam": {"apache_beam"},
    "train": {"tensorflow", "keras", "tensorboard", "sklearn", "matplotlib"},
    "tune": {"keras_tuner", "grpc"},
    "explore": {"jinja2"},
    "tag": {"mutagen"},
    "serve": {"fastapi", "prometheus_client", "python_multipart", "starlette", "swagger_ui_bundle", "uvicorn"},
}
# Imported by the features yamnet, and for runs in buckets.
ONLY_FOR_SOME_SETTINGS = {name: {"train"} for name in ("prepare", "compare", "report", "review", "runs")}
# They import the list of commands.
USING_OTHERS = ("doctor", "launch")
# Its package, google-cloud-storage, is optional for every command but sync, so that imports do not show who needs it.
OPTIONAL_FOR_OTHERS = {"cloud"}


@pytest.fixture(scope="module")
def graph():
    return grimp.build_graph("configs", "trainer", "beam_pipelines", include_external_packages=True, cache_dir=None)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in USING_OTHERS])
def test_the_extras_of_a_command_are_those_that_its_code_imports(name, graph):
    source = ast.parse(textwrap.dedent(inspect.getsource(COMMANDS[name].run)))
    modules = [node.module for node in ast.walk(source) if isinstance(node, ast.ImportFrom)]
    assert modules
    upstream = set().union(*(graph.find_upstream_modules(module) for module in modules if module in graph.modules))
    needed = {extra for extra, packages in IMPORTS.items() if packages & upstream}
    assert needed - ONLY_FOR_SOME_SETTINGS.get(name, set()) == set(COMMANDS[name].extras) - OPTIONAL_FOR_OTHERS


def test_builds_of_one_extra_are_missing_once():
    assert {"train", "train-cpu"} & extras({}).keys() == {"train"}
    assert extras({**INSTALLED, "keras-tuner": None})["train"].state == MISSING
