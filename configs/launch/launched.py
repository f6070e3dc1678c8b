"""The command that a job runs: its words and its settings, checked here as the job will check them."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from beam_pipelines.common import cloud_names
from beam_pipelines.common.checks import check, check_choice
from beam_pipelines.common.errors import UserError
from beam_pipelines.common.paths import is_in_bucket
from configs.compose import compose, settings_of, to_dataclass
from configs.launch.one_line_words import check_means_the_same

TRAIN, TUNE, CROSSVAL, PREDICT, SERVE = "train", "tune", "crossval", "predict", "serve"

# (path, its setting or None for a positional one): raises a UserError if the job does not reach the path.
CheckPath = Callable[[str, str | None], None]


@dataclass(frozen=True)
class Launchable:
    """What is known of a command that can be launched.

    Attributes:
        read: Settings that are paths which it reads.
        written: Settings that are paths which it writes.
        data: Settings that are prepared data sets, which must be finished.
        num_paths: The fewest positional paths that it takes, all of which it reads; 0 if it takes none.
        most_accelerators: The most GPUs of a machine that it uses: 0, 1, or None for all.
        several_machines: Whether it can run on several machines.
        has_runner: Whether it can be a pipeline of Apache Beam, with the group `runner`.
        is_service: Whether it runs until it is stopped.
    """

    read: Sequence[str] = ()
    written: Sequence[str] = ()
    data: Sequence[str] = ()
    num_paths: int = 0
    most_accelerators: int | None = 0
    several_machines: bool = False
    has_runner: bool = False
    is_service: bool = False


LAUNCHABLE: Mapping[str, Launchable] = {
    "prepare": Launchable(read=("dataset.root", "dataset.path"), written=("output_dir",), has_runner=True),
    "convert": Launchable(read=("source",), written=("output_dir",), has_runner=True),
    TRAIN: Launchable(data=("data_dir",), written=("run_dir",), most_accelerators=None, several_machines=True),
    TUNE: Launchable(
        read=("space",), data=("data_dir",), written=("search_dir",), most_accelerators=None, several_machines=True
    ),
    "evaluate": Launchable(read=("run_dir",), data=("data_dir",), most_accelerators=1),
    "baselines": Launchable(data=("data_dir",), written=("output_dir",)),
    CROSSVAL: Launchable(data=("data_dir",), written=("output_dir", "folds_dir"), most_accelerators=None),
    PREDICT: Launchable(written=("output",), num_paths=2, most_accelerators=1, has_runner=True),
    "export": Launchable(written=("output_dir",), num_paths=1),
    SERVE: Launchable(num_paths=1, is_service=True),
}


@dataclass(frozen=True)
class Launched:
    """A command that is launched.

    Attributes:
        name: The command, such as "train".
        paths: Its positional paths.
        words: Its settings, each as key=value, with those that the target adds.
        config: Its settings, checked.
        own_config: Its settings without those that the target adds: what it is known by.
        strategy: The option of the group `strategy` that was chosen; None for none.
    """

    name: str
    paths: Sequence[str]
    words: Sequence[str]
    config: Any
    own_config: Any
    strategy: str | None

    @property
    def launchable(self) -> Launchable:
        return LAUNCHABLE[self.name]

    @property
    def runs_search(self) -> bool:
        """Whether it is a search, of a chief and workers; `refit` trains its best trial, as one process."""
        return self.name == TUNE and not self.config.refit

    @property
    def title(self) -> str:
        """What it is called in messages."""
        return f"{TUNE} refit=true" if self.name == TUNE and not self.runs_search else self.name

    @property
    def takes_several_machines(self) -> bool:
        """Whether it can run on several machines."""
        return self.launchable.several_machines and (self.name != TUNE or self.runs_search)

    @property
    def arguments(self) -> list[str]:
        """The words after `beamtune`."""
        return [self.name, *self.paths, *self.words]

    def values(self, keys: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Yields those of some settings that are set, as (key, value)."""
        for key in keys:
            value = self.config
            for name in key.split("."):
                value = getattr(value, name, None)
            if value is not None:
                yield key, str(value)

    def adding(self, words: Sequence[str]) -> "Launched":
        """Returns the command with further settings.

        Raises:
            UserError: They do not fit the others.
        """
        config = _dataclass(self.name, [*self.words, *words]) if words else self.config
        return dataclasses.replace(self, words=[*self.words, *words], config=config)


def launched_command(
    name: str,
    paths: Sequence[str],
    words: Sequence[str],
    *,
    check_path: CheckPath | None = None,
    has_services: bool = False,
) -> Launched:
    """Returns a command whose settings are checked, and whose paths the job reaches.

    Args:
        name: The command.
        paths: Its positional paths.
        words: Its settings, each as key=value.
        check_path: Refuses paths that the job does not reach; None refuses all that are not in a bucket.
        has_services: Whether the target runs commands that do not end by themselves.

    Raises:
        UserError: The command cannot be launched, a setting is wrong, or the job does not reach a path.
    """
    names = [known for known, one in LAUNCHABLE.items() if has_services or not one.is_service]
    check_choice(name, tuple(names), key="COMMAND")
    check_means_the_same(words)
    given = settings_of(words)
    config = _dataclass(name, words)
    launched = Launched(
        name=name,
        paths=list(paths),
        words=list(words),
        config=config,
        own_config=config,
        strategy=given.get("strategy", given.get("strategy.kind")),
    )
    _check_paths(launched, check_path or _check_is_in_bucket)
    return launched


def _dataclass(name: str, words: Sequence[str]) -> Any:
    return to_dataclass(compose(name, words))


def _check_paths(launched: Launched, check_path: CheckPath) -> None:
    """Raises a UserError unless the job reaches each path, and what the command returns is written to one."""
    one = launched.launchable
    if len(launched.paths) < one.num_paths or (one.num_paths < 2 and len(launched.paths) != one.num_paths):
        names = {
            0: "no paths, only settings",
            1: "one path, that of a run or an export" if launched.name == SERVE else "one path, that of a run",
            2: "the path of a run, and files or folders",
        }
        found = " ".join(launched.paths) or "none"
        raise UserError(f"launch … {launched.name} takes {names[one.num_paths]}: got {found}")
    for path in launched.paths:
        check_path(path, None)
    for key, value in launched.values([*one.read, *one.data, *one.written]):
        check_path(value, key)
    if launched.name == PREDICT:
        output = launched.config.output
        check(output is not None, key="output", value=output, expected="a table gs://…: a job has no terminal")


def _check_is_in_bucket(path: str, key: str | None) -> None:
    if key is not None:
        cloud_names.check_bucket_path(
            path, key=key, because=f"the job does not reach the files of this machine: {_copy(path)}"
        )
    elif not is_in_bucket(path):
        raise UserError(f"{path} is on this machine, which the job does not reach: {_copy(path)}")


def _copy(path: str) -> str:
    return f"copy it with beamtune sync {path} gs://BUCKET/…"
