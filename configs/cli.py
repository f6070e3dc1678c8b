"""`beamtune`: finds the command, runs it, and turns an error into one line and an exit code.

Exit codes: 0 success, 1 the run failed, 2 the user can fix it, 75 interrupted from outside and can be resumed with the
same command, 130 interrupted by Ctrl-C.
"""

import argparse
import difflib
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from importlib import metadata
from typing import NoReturn

from beam_pipelines.audio.quiet_decoders import silenced_decoders
from beam_pipelines.common.bucket_errors import translated_bucket_errors
from beam_pipelines.common.errors import InterruptedRunError, RunAgainError, RunFailedError, UserError, first_line
from beam_pipelines.common.extras import naming_missing_extras
from beam_pipelines.common.output_streams import flush_with_error, protect_standard_streams, visible_line
from beam_pipelines.common.signals import INTERRUPTED, RUN_AGAIN, TerminatedError, ending_on_sigterm
from configs import lean_keras, uncollected_imports
from configs.command import Command, Invocation
from configs.commands import COMMANDS
from configs.completion import QUERY_WORD, SHELLS, complete, shell_script
from configs.doctor.start_checks import check_start, describe_failed_import
from configs.slips import find_slip

_FORMAT_NAMES = {"json": "JSON", "jsonl": "JSON, an object in each line,", "csv": "CSV"}
# Commands that keep what is finished when they are interrupted.
_RESUMABLE = (
    *("synthesize", "download", "sync", "prepare", "convert", "quick", "train", "tune", "baselines", "crossval", "tag"),
)


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def run() -> NoReturn:
    """Runs one command and exits with its exit code: the entry point of the script `beamtune`."""
    # Libraries start worker processes by `python -c` and `python -m`, which import from the working folder first.
    # This variable prevents that.
    os.environ.setdefault("PYTHONSAFEPATH", "1")
    protect_standard_streams()
    lean_keras.install()
    uncollected_imports.install()
    try:
        exit_code = main()
    except SystemExit as end:  # raised by argparse after --help or a wrong option
        exit_code = int(end.code or 0)
    error = flush_with_error(sys.stdout)
    if error is not None:
        _print_error("beamtune", f"standard output cannot be written to, so that output is lost: {error}")
        exit_code = exit_code or 1
    if exit_code in (INTERRUPTED, RUN_AGAIN):
        # Threads may still be inside C code: a regular exit of Python would abort on them, or wait for others.
        os._exit(exit_code)
    sys.exit(exit_code)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code.

    Args:
        argv: The words after `beamtune`; `sys.argv[1:]` if None.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    if not words or words[0] in ("-h", "--help"):
        print(_overview())
        return 0
    if words[0] == "--version":
        print(f"beamtune {metadata.version('beamtune')}")
        return 0
    if words[0] == "completion":
        return _print_completion_script(words[1:])
    if words[0] == QUERY_WORD:
        for candidate in complete(words[1:], commands=COMMANDS, options_of=_options):
            print(candidate)
        return 0
    command = COMMANDS.get(words[0])
    if command is None:
        nearest = difflib.get_close_matches(words[0], COMMANDS, n=1)
        hint = f"; did you mean {nearest[0]}?" if nearest else f": expected one of {', '.join(COMMANDS)}"
        _print_error("beamtune", f"there is no command {words[0]!r}{hint}")
        return 2
    slip = find_slip(command, words[1:], options=_options(command))
    if slip is not None:
        _print_error(f"beamtune {command.name}", slip)
        return 2
    arguments = _parser(command).parse_intermixed_args(words[1:])
    return _run_command(command, arguments)


def _run_command(command: Command, arguments: argparse.Namespace) -> int:
    _set_up_logging(debug=arguments.debug)
    name = f"beamtune {command.name}"
    try:
        invocation = _invocation(command, arguments)
        if arguments.show_config:
            return _show_config(command, invocation)
        if command.extras:
            for problem in check_start(command.extras):
                print(f"note: {problem}", file=sys.stderr)
        quiet = silenced_decoders() if command.decodes_audio and not arguments.debug else nullcontext()
        with quiet, translated_bucket_errors(), naming_missing_extras(command.extras), ending_on_sigterm(name):
            return command.run(invocation)
    except KeyboardInterrupt as interruption:
        # Without an output, `predict` prints and keeps nothing.
        is_resumable = command.name in _RESUMABLE or any(word.startswith("output=") for word in arguments.words)
        hint = "; what is finished is kept: the same command resumes" if is_resumable else ""
        is_sigterm = isinstance(interruption, TerminatedError)
        _print_error(name, f"stopped by {'SIGTERM' if is_sigterm else 'Ctrl-C'}{hint}")
        return RUN_AGAIN if is_sigterm else INTERRUPTED
    except Exception as error:  # every error becomes one line
        if arguments.debug:
            traceback.print_exc()
        exit_code, message = _describe(error)
        _print_error(name, message)
        return exit_code


def _describe(error: Exception) -> tuple[int, str]:
    """Returns the exit code and the message for an error."""
    if isinstance(error, UserError):
        return 2, str(error)
    if isinstance(error, RunFailedError):
        return 1, str(error)
    if isinstance(error, InterruptedRunError):
        return INTERRUPTED, str(error)
    if isinstance(error, RunAgainError):
        return RUN_AGAIN, str(error)
    failed_import = describe_failed_import(error)
    if failed_import is not None:
        return 2, failed_import
    return 1, f"the run failed: {type(error).__name__}: {first_line(error)} (--debug shows the traceback)"


def _print_error(name: str, message: str) -> None:
    print(f"{name}: {visible_line(' '.join(message.split()))}", file=sys.stderr)


def _invocation(command: Command, arguments: argparse.Namespace) -> Invocation:
    words = arguments.words
    # OmegaConf reads the files, and `doctor` works without OmegaConf.
    if arguments.config or any(word.startswith("overrides=") for word in words):
        from configs.override_file import expand_override_files

        launched = words[1:2] if words and words[0] in command.launches else []
        words = expand_override_files([command.name, *launched], words, paths=arguments.config)
    if command.positional_key is not None:
        return Invocation(overrides=_with_key(words, command.positional_key))
    paths = [] if command.paths_usage is None else [word for word in words if _is_path(word)]
    return Invocation(
        overrides=[word for word in words if word not in paths],
        paths=paths,
        output_format=arguments.output_format if command.output_formats else "table",
        dry_run=command.has_dry_run and arguments.dry_run,
        assume_yes=command.has_question and arguments.yes,
    )


def _is_path(word: str) -> bool:
    """Returns whether a word is a path and not key=value: the name of a file or folder may contain "=".

    No key of a setting contains a slash.
    """
    key, equals, _ = word.partition("=")
    return not equals or "/" in key or os.path.exists(word)


def _with_key(words: Sequence[str], key: str) -> list[str]:
    """Returns the words as settings; a path is the value of `key`."""
    values = [word for word in words if _is_path(word)]
    if len(values) > 1:
        raise UserError(f"{' '.join(values)}: expected one {key}: run the command once for each")
    return [f"{key}={value}" for value in values] + [word for word in words if not _is_path(word)]


def _show_config(command: Command, invocation: Invocation) -> int:
    from configs.compose import compose, to_yaml

    if command.settings_yaml is not None:
        print(command.settings_yaml(invocation), end="")
    else:
        print(to_yaml(compose(command.name, invocation.overrides)), end="")
    return 0


def _set_up_logging(*, debug: bool) -> None:
    """Hides what libraries log and warn about, unless in debug mode."""
    logging.basicConfig(level=logging.INFO if debug else logging.CRITICAL)
    if not debug:
        warnings.simplefilter("ignore")


def _parser(command: Command) -> argparse.ArgumentParser:
    parser = _Parser(
        prog=f"beamtune {command.name}",
        usage=f"beamtune {command.name} {_positional_usage(command)}[key=value …] [options]",
        description=f"{command.summary[0].upper()}{command.summary[1:]}.\n\n{command.description}",
        epilog="examples:\n" + "\n".join(f"  {example}" for example in command.examples),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("words", nargs="*", help=argparse.SUPPRESS)
    parser.add_argument(
        "--config",
        action="append",
        default=[],
        metavar="FILE",
        help="settings from a YAML file, also the config.yaml of a run; later files replace earlier ones, and "
        "key=value replaces all",
    )
    parser.add_argument("--show-config", action="store_true", help="print all settings and exit")
    parser.add_argument("--debug", action="store_true", help="show tracebacks and what libraries log")
    if command.has_dry_run:
        parser.add_argument(
            "--dry-run", action="store_true", help="show what the command would do (see above) and exit"
        )
    if command.has_question:
        parser.add_argument("--yes", action="store_true", help="begin without a question")
    if command.output_formats:
        output = parser.add_mutually_exclusive_group()
        for name in command.output_formats:
            output.add_argument(
                f"--{name}",
                dest="output_format",
                action="store_const",
                const=name,
                default="table",
                help=f"print {_FORMAT_NAMES[name]} instead of a table",
            )
    return parser


def _options(command: Command) -> list[str]:
    """Returns the options of a command, such as --debug."""
    return list(_parser(command)._option_string_actions)  # argparse has no public list of them


def _print_completion_script(words: Sequence[str]) -> int:
    parser = _Parser(
        prog="beamtune completion",
        description="Prints a script that adds tab completion of commands, settings and options to a shell.",
        epilog=(
            "examples:\n"
            "  beamtune completion bash > ~/.local/share/bash-completion/completions/beamtune\n"
            "  source <(beamtune completion zsh)   # in ~/.zshrc, after compinit"
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shell", choices=SHELLS)
    print(shell_script(parser.parse_args(words).shell), end="")
    return 0


def _positional_usage(command: Command) -> str:
    if command.positional_key is not None:
        return f"{command.positional_key.upper()} "
    return "" if command.paths_usage is None else f"{command.paths_usage} "


def _overview() -> str:
    summaries = {name: command.summary for name, command in COMMANDS.items()}
    summaries["completion"] = "print a script that adds tab completion to bash or zsh"
    width = max(map(len, summaries))
    lines = [f"  {name:<{width}}  {summary}" for name, summary in summaries.items()]
    return "\n".join(
        [
            "usage: beamtune COMMAND [key=value …] [options]",
            "",
            "From a folder of mp3s to a trained music genre classifier.",
            "",
            "commands:",
            *lines,
            "",
            "options:",
            f"  {'--help':<{width}}  show this help, or that of a command, and exit",
            f"  {'--version':<{width}}  print the version and exit",
            f"  {'--debug':<{width}}  after a command: show tracebacks and what libraries log",
            "",
            "examples:",
            "  beamtune prepare dataset=folder dataset.root=~/Music output_dir=prepared/mine",
            "  beamtune train data_dir=prepared/mine run_dir=runs/first",
            "  beamtune predict runs/first song.mp3",
            "",
            "beamtune COMMAND --help shows the settings of a command.",
        ]
    )


if __name__ == "__main__":
    run()
