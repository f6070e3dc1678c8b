"""The directory of a search: what it was told, what it searches, its trials, and what came out."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import tensorflow as tf
import yaml

from beam_pipelines.common.errors import UserError
from trainer.common import files
from trainer.runs.run_dir import describe_differences
from trainer.tuner.config import SearchConfig

_CONFIG_FILE = "search.yaml"
_SPACE_FILE = "space.yaml"
_BEST_FILE = "best.yaml"
_TEST_FILE = "test.json"

# What may be another time it is started: where it is, how long it goes on, on how many machines, and what comes after.
_KEYS_THAT_MAY_DIFFER = frozenset(
    {"run_dir", "search_dir", "space", "checkpoint_interval_s", "trial_timeout_s", "workers", "max_restarts", "refit"}
    | {"evaluate_again", "cache", "strategy.kind", "strategy.num_devices", "board.", "budget.", "service.", "pruning."}
)


class SearchDir:
    """One search on disk, local or gs://."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.logs_dir = files.join(path, "logs")
        self.best_path = files.join(path, _BEST_FILE)

    def is_started(self) -> bool:
        """Returns whether a search was ever started here."""
        return files.exists(files.join(self.path, _CONFIG_FILE))

    def start(self, config: SearchConfig, *, space_text: str) -> None:
        """Writes what a search starts with.

        Raises:
            UserError: The directory cannot be written.
        """
        try:
            tf.io.gfile.makedirs(self.path)
            files.write_text(files.join(self.path, _SPACE_FILE), space_text)
            text = yaml.safe_dump(asdict(config), sort_keys=False, allow_unicode=True)
            files.write_text(files.join(self.path, _CONFIG_FILE), text)
        except tf.errors.OpError as error:
            raise UserError(f"search_dir={self.path} cannot be written: {error.message}") from error

    def check_same(self, config: SearchConfig, *, space_text: str) -> None:
        """Makes sure that the search was started with the same settings and the same space.

        Raises:
            UserError: It was not.
        """
        differences = describe_differences(self.config(), asdict(config), may_differ=_KEYS_THAT_MAY_DIFFER)
        if self.space_text() != space_text:
            differences = "; ".join(filter(None, [differences, "its space was another one"]))
        if differences:
            raise UserError(
                f"search_dir={self.path} is a search with other settings ({differences}): choose another search_dir"
            )

    def config(self) -> dict[str, Any]:
        """Returns the settings as `search.yaml` has them.

        Raises:
            UserError: There is no search here.
        """
        if not self.is_started():
            raise UserError(f"search_dir={self.path} holds no search: expected the directory of one")
        config = yaml.safe_load(files.read_text(files.join(self.path, _CONFIG_FILE)))
        if not isinstance(config, dict):
            raise UserError(f"{files.join(self.path, _CONFIG_FILE)} is damaged: choose another search_dir")
        return config

    def space_text(self) -> str:
        """Returns the YAML of the space that is searched."""
        return files.read_text(files.join(self.path, _SPACE_FILE))

    def write_best(self, overrides: Sequence[str], *, comment: str) -> None:
        """Writes the settings of the winner as overrides of `beamtune train`.

        Args:
            overrides: `key=value` each.
            comment: What the first line of the file says.
        """
        text = yaml.safe_dump(list(overrides), default_flow_style=False, allow_unicode=True, width=1_000_000)
        files.write_text(self.best_path, f"# {comment}\n{text}")

    def test_score(self) -> dict[str, Any] | None:
        """Returns what was found out on the test split; None where nobody looked."""
        path = files.join(self.path, _TEST_FILE)
        return json.loads(files.read_text(path)) if files.exists(path) else None

    def write_test_score(self, score: Mapping[str, Any]) -> None:
        """Writes what was found out on the test split."""
        files.write_text(files.join(self.path, _TEST_FILE), json.dumps(score, indent=2, ensure_ascii=False) + "\n")
