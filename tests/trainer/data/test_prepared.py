from collections.abc import Callable
from pathlib import Path

import pytest

from beam_pipelines.common.errors import UserError
from trainer.data.prepared import find_shards, open_prepared
from trainer.training.config import TrainConfig


def test_a_run_is_not_taken_for_a_damaged_data_set(finished: TrainConfig) -> None:
    with pytest.raises(UserError) as caught:
        open_prepared(finished.run_dir)
    assert str(caught.value) == (
        f"{finished.run_dir} is a run and not a prepared data set: expected what beamtune prepare has written; "
        "data_dir in its config.yaml is the data of the run"
    )


def test_a_missing_split_is_an_error_that_says_how_to_add_it(write_prepared: Callable[..., Path]) -> None:
    with pytest.raises(UserError) as caught:
        find_shards(open_prepared(str(write_prepared())), "holdout")
    assert str(caught.value) == (
        "there is no split 'holdout' in data set 'tiny': it has train, validation, test; to add it, prepare the data "
        "with other split fractions"
    )


@pytest.mark.parametrize("name", ["stats.json", "dataset_info.json", "features.json", "_SUCCESS"])
@pytest.mark.parametrize("text", ["", "[]", "{}", "null", "1", '"a"', "[[]]", '{"splits": 1, "features": 1}', "\x00"])
def test_a_damaged_metadata_file_is_one_line(write_prepared: Callable[..., Path], name: str, text: str) -> None:
    path = write_prepared()
    (path / name).write_text(text)
    with pytest.raises(UserError) as caught:
        open_prepared(str(path))
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
