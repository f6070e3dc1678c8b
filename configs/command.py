"""What a command of `beamtune` is, and what it is called with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Invocation:
    """What a command was called with.

    Attributes:
        overrides: `key=value` settings.
        paths: Positional arguments that are no settings; only commands with `paths_usage` have any.
        output_format: table, json or csv.
        dry_run: Whether to say what would be done, and do nothing.
    """

    overrides: Sequence[str]
    paths: Sequence[str] = ()
    output_format: str = "table"
    dry_run: bool = False


@dataclass(frozen=True)
class Command:
    """One command.

    Attributes:
        summary: One line for the list of commands.
        description: What it does, and its most used settings.
        examples: Command lines that work as they stand.
        run: Runs it; returns the exit code.
        paths_usage: What its positional paths are called, such as "RUN FILE…"; None where it takes none.
        has_output_formats: Whether it prints JSON or CSV where it is asked to.
        positional_words: Words that may be given by themselves, for tab completion.
        positional_key: The setting whose value may be given as a word by itself, such as name: `download fma_small` is
            `download name=fma_small`.
        decodes_audio: Whether it decodes audio, so that decoders may have something to say.
        has_dry_run: Whether it can say what it would do, and do nothing.
    """

    name: str
    summary: str
    description: str
    examples: Sequence[str]
    run: Callable[[Invocation], int]
    paths_usage: str | None = None
    has_output_formats: bool = False
    positional_words: Sequence[str] = ()
    positional_key: str | None = None
    decodes_audio: bool = False
    has_dry_run: bool = False


def config_of(config_name: str, overrides: Sequence[str]) -> Any:
    """Returns the frozen dataclass of a command's settings: those of its YAML file, and overrides behind them."""
    from configs.compose import compose, to_dataclass

    return to_dataclass(compose(config_name, overrides))
