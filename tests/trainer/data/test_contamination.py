"""What is known of pretrained networks that have heard the music of a prepared data set."""

from collections.abc import Callable
from pathlib import Path

from prepared_data import contaminate

from trainer.data.contamination import read_contamination


def test_features_that_a_model_takes_are_looked_up_in_the_record(write_prepared: Callable[..., Path]) -> None:
    directory = write_prepared()
    assert read_contamination(str(directory), ["log_mel"]) == ()
    note = contaminate(directory, feature="log_mel")
    assert read_contamination(str(directory), ["absent", "log_mel"]) == (note,)
    assert read_contamination(str(directory), []) == ()


def test_without_a_readable_record_nothing_is_known(write_prepared: Callable[..., Path]) -> None:
    directory = write_prepared()
    contaminate(directory, feature="log_mel")
    (directory / "prepare.yaml").write_text("- no: [mapping")
    assert read_contamination(str(directory), ["log_mel"]) == ()
    (directory / "prepare.yaml").unlink()
    assert read_contamination(str(directory), ["log_mel"]) == ()
