import pytest

from beam_pipelines.common.errors import UserError
from configs.compose import compose, to_dataclass

RUN = ("data_dir=d", "run_dir=r")


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("cache=maybe", "true or false"),
        ("cache=null", "true or false"),
        ("epochs=1.5", "a whole number"),
        ("epochs=null", "a whole number"),
        ("optimizer.learning_rate=fast", "a number"),
        ("optimizer.learning_rate='0,001'", "a number: write 0.001"),
        ("steps_per_call=1.5", "a whole number from 1 to 10000, or auto"),
        ("steps_per_call=true", "a whole number from 1 to 10000, or auto"),
        ("jit_compile=maybe", "true, false or auto"),
        ("jit_compile=null", "true, false or auto"),
        ("augment.runs_on=gpu", "one of auto, cpu, device"),
        ("augment.runs_on=devic", "one of auto, cpu, device; did you mean device?"),
    ],
)
def test_a_value_of_another_type_is_named_without_types_of_python(setting: str, expected: str) -> None:
    with pytest.raises(UserError) as caught:
        to_dataclass(compose("train", [*RUN, setting]))
    assert str(caught.value) == f"{setting}: expected {expected}"


@pytest.mark.parametrize(("word", "value"), [("yes", True), ("no", False), ("True", True), ("false", False)])
@pytest.mark.parametrize("key", ["cache", "jit_compile"])
def test_words_for_true_and_false_are_the_same_for_all_settings(key: str, word: str, value: bool) -> None:
    assert getattr(to_dataclass(compose("train", [*RUN, f"{key}={word}"])), key) is value


def test_auto_and_numbers_are_kept() -> None:
    config = compose("train", [*RUN, "jit_compile=auto", "steps_per_call=8"])
    assert (config.jit_compile, config.steps_per_call) == ("auto", 8)


def test_lists_of_numbers_name_what_they_expect() -> None:
    with pytest.raises(UserError, match="seeds=.*: expected a list of whole numbers"):
        compose("crossval", ["data_dir=d", "output_dir=o", "seeds=[1,x]"])
