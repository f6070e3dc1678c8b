"""The settings that differ between results, below the table of `beamtune compare`."""

from pathlib import Path

from compared_runs import CNN, MakeRun, cells, compared

from trainer.compare.config import CompareOutputConfig


def settings_of(text: str) -> list[list[str]]:
    rows = cells(text)
    return rows[rows.index(["settings that differ"]) + 1 :]


def test_settings_that_differ_have_a_column_each_where_there_are_more_runs(make_run: MakeRun) -> None:
    runs = [make_run(name, num_right=3, epochs=number) for name, number in (("a", 5), ("b", 5), ("c", 8))]
    assert settings_of(compared(runs)) == [["run", "epochs"], *map(list, zip(runs, "558", strict=True))]


def test_settings_that_differ_have_a_row_each_where_there_are_more_settings(make_run: MakeRun, tmp_path: Path) -> None:
    first = make_run("first", num_right=3, epochs=5, ema_decay=0.99, model=CNN)
    second = make_run("second", num_right=3, seed=2, epochs=5)
    path = tmp_path / "table.md"
    text = compared([first, second], output=CompareOutputConfig(markdown=str(path)))
    assert settings_of(text) == [["setting", first, second], ["ema_decay", "0.99", "null"], ["seed", "0", "2"]]
    assert path.read_text().splitlines()[-6:] == [
        "Settings that differ.",
        "",
        f"| setting | {first} | {second} |",
        "| --- | --- | --- |",
        "| ema_decay | 0.99 | null |",
        "| seed | 0 | 2 |",
    ]


def test_equal_settings_and_those_of_another_kind_of_result_are_not_shown(
    make_run: MakeRun, crossval_dir: Path
) -> None:
    runs = [make_run("first", num_right=3), make_run("second", num_right=3)]
    assert "settings that differ" not in compared([*runs, str(crossval_dir)])
