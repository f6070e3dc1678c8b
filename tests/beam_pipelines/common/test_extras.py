import sys

import pytest

from beam_pipelines.common.errors import UserError
from beam_pipelines.common.extras import check_installed, is_installed, naming_missing_extras


@pytest.mark.parametrize(
    ("module", "extra"),
    [
        ("tensorflow", "train"),
        ("keras_tuner.engine", "tune"),
        ("google", "cloud"),
        ("google.cloud.storage", "cloud"),
        ("google.cloud.aiplatform_v1", "launch"),
        ("google.cloud.run_v2", "launch"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(module: str, extra: str) -> None:
    with (
        pytest.raises(
            UserError, match=rf"this needs {module}, which is not installed: pip install 'beamtune\[{extra}\]'"
        ),
        naming_missing_extras(),
    ):
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)


def test_a_missing_package_of_no_extra_passes() -> None:
    with pytest.raises(ModuleNotFoundError), naming_missing_extras():
        raise ModuleNotFoundError("No module named 'numpy'", name="numpy")


def test_all_extras_of_a_command_are_named_if_the_package_is_of_one() -> None:
    for module, named in (("tensorflow", "train,explore"), ("jinja2", "train,explore"), ("mutagen", "tag")):
        with (
            pytest.raises(UserError, match=rf"pip install 'beamtune\[{named}\]'"),
            naming_missing_extras(["train", "explore"]),
        ):
            raise ModuleNotFoundError(f"No module named {module!r}", name=module)


def test_a_missing_package_is_found_without_an_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keras_tuner", None)
    check_installed("json", "tensorflow")
    assert (is_installed("json"), is_installed("keras_tuner")) == (True, False)
    with (
        pytest.raises(UserError, match=r"needs keras_tuner, .* pip install 'beamtune\[tune\]'"),
        naming_missing_extras(),
    ):
        check_installed("json", "keras_tuner")
