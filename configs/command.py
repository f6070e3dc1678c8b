"""The types of a command of `beamtune` and of its arguments, and the step from overrides to its settings."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from configs.compose import Settings

Config = TypeVar("Config")


@dataclass(frozen=True)
class Invocation:
    """The parsed arguments of a command.

    Attributes:
        overrides: `key=value` settings.
        paths: Positional arguments that are not settings; empty unless the command has `paths_usage`.
        output_format: table, or one of the command's `output_formats`.
        dry_run: Whether to show what would be done, and write nothing.
        assume_yes: Whether to do it without a question.
    """

    overrides: Sequence[str]
    paths: Sequence[str] = ()
    output_format: str = "table"
    dry_run: bool = False
    assume_yes: bool = False


@dataclass(frozen=True)
class Command:
    """One command and its help.

    Attributes:
        summary: One line for the list of commands, in lower case and without a full stop.
        description: Text of --help: what the command does, and its most used settings.
        examples: Complete command lines.
        run: Runs it; returns the exit code.
        paths_usage: Names of the positional paths in the usage line, such as "RUN FILE…"; None if there are none.
        output_formats: What the command prints in place of a table if it is asked to: the option --json for "json".
        positional_words: Words that tab completion offers as positional arguments.
        positional_key: The setting whose value may be given without its key. With "name", `download fma_small` is
            `download name=fma_small`.
        decodes_audio: Whether the command decodes audio; what decoders write to stderr is then hidden.
        has_dry_run: Whether the command has the option --dry-run.
        has_question: Whether the command asks before it begins, and so has the option --yes.
        extras: The extras of beamtune that the command needs.
        settings_yaml: Returns what --show-config prints; None for the settings of configs/<name>.yaml.
        launches: First positional words after which the second is another command, whose settings it takes too.
    """

    name: str
    summary: str
    description: str
    examples: Sequence[str]
    run: Callable[[Invocation], int]
    paths_usage: str | None = None
    output_formats: Sequence[str] = ()
    positional_words: Sequence[str] = ()
    positional_key: str | None = None
    decodes_audio: bool = False
    has_dry_run: bool = False
    has_question: bool = False
    extras: Sequence[str] = ()
    settings_yaml: Callable[[Invocation], str] | None = None
    launches: Sequence[str] = ()


def load_config(
    config_class: type[Config],
    config_name: str,
    settings: "Settings",
    *,
    paths: Sequence[str] = (),
    dry_run: bool = False,
) -> Config:
    """Returns the settings of a command: those of configs/<config_name>.yaml, changed by the given ones.

    The deadline of operations on buckets is set, and the buckets of the settings are checked.

    Args:
        config_class: The type of the settings.
        config_name: The name of the YAML file.
        settings: The settings that the user gives.
        paths: Other paths that the command reads, whose buckets are checked too.
        dry_run: Whether the command writes nothing: the buckets of its output are not checked.

    Raises:
        UserError: A setting does not exist, has a wrong value or is missing, or a bucket cannot be accessed.
        RunAgainError: A bucket could not be reached.
    """
    from configs.bucket_paths import check_buckets, check_no_web_addresses
    from configs.compose import compose, to_dataclass

    config = to_dataclass(compose(config_name, settings))
    if not isinstance(config, config_class):
        raise TypeError(f"{config_name}.yaml describes {type(config).__name__}, not {config_class.__name__}")
    check_no_web_addresses(config, paths=paths)
    check_buckets(config, paths=paths, dry_run=dry_run)
    return config
