from hypothesis import given
from hypothesis import strategies as st

from configs.launch.serving.traffic import with_share, without


def test_the_others_keep_the_rest_in_their_proportions() -> None:
    assert with_share({}, "a", 100) == {"a": 100}
    assert with_share({"a": 100}, "b", 10) == {"a": 90, "b": 10}
    assert with_share({"a": 75, "b": 25}, "c", 20) == {"a": 60, "b": 20, "c": 20}
    assert with_share({"a": 34, "b": 33, "c": 33}, "d", 50) == {"a": 17, "b": 17, "c": 16, "d": 50}
    assert with_share({"a": 90, "b": 10}, "b", 100) == {"b": 100}
    assert with_share({"a": 100}, "b", 0) == {"a": 100, "b": 0}
    assert without({"a": 90, "b": 10}, "a") == {"b": 100}
    assert without({"a": 100}, "a") == {}
    assert without({"a": 100, "b": 0}, "b") == {"a": 100}


@given(
    parts=st.lists(st.integers(1, 60), min_size=1, max_size=6).filter(lambda parts: sum(parts) <= 100),
    share=st.integers(0, 100),
)
def test_shares_add_up_to_100(parts: list[int], share: int) -> None:
    split = {str(index): part for index, part in enumerate(parts)}
    split["0"] += 100 - sum(parts)
    found = with_share(split, "new", share)
    assert sum(found.values()) == 100 and found["new"] == share
    for name, percent in split.items():
        assert abs(found.get(name, 0) - percent * (100 - share) / 100) < 1
