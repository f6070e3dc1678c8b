from dataclasses import asdict, dataclass, field

import pytest

from beam_pipelines.common.saved_settings import describe_differences


@dataclass(frozen=True)
class Group:
    rate: float = 0.1
    sizes: list[int] = field(default_factory=lambda: [3, 4])


@dataclass(frozen=True)
class Settings:
    run_dir: str
    seed: int = 0
    decay: float | None = None
    group: Group = Group()


SAVED = {"run_dir": "r", "seed": 0, "decay": None, "group": {"rate": 0.1, "sizes": [3, 4]}}


def differences(saved: dict, wanted: Settings, *, may_differ: tuple[str, ...] = ()) -> str:
    return describe_differences(saved, asdict(wanted), may_differ=may_differ, defaults_of=wanted)


def test_equal_settings_do_not_differ() -> None:
    assert differences(SAVED, Settings("r")) == ""


def test_each_difference_is_named_with_both_values() -> None:
    wanted = Settings("r", seed=2, group=Group(rate=0.5))
    assert differences(SAVED, wanted) == "group.rate was 0.1 and is 0.5; seed was 0 and is 2"
    assert differences(SAVED, wanted, may_differ=("seed", "group.")) == ""


@pytest.mark.parametrize("key", ["seed", "decay", "group"])
def test_a_setting_that_an_earlier_version_did_not_have_had_its_default(key: str) -> None:
    saved = {name: value for name, value in SAVED.items() if name != key}
    assert differences(saved, Settings("r")) == ""


def test_a_setting_of_a_group_that_an_earlier_version_did_not_have_had_its_default() -> None:
    saved = {**SAVED, "group": {"rate": 0.1}}
    assert differences(saved, Settings("r")) == ""
    wanted = Settings("r", group=Group(sizes=[5]))
    assert differences(saved, wanted) == "group.sizes was [3, 4] and is [5]"


def test_a_setting_without_a_default_has_no_value_where_it_is_not_saved() -> None:
    assert differences({"seed": 0}, Settings("r")) == "run_dir was null and is r"


def test_a_setting_that_no_longer_exists_is_named() -> None:
    assert differences({**SAVED, "momentum": 0.9}, Settings("r")) == "momentum was 0.9 and is null"
