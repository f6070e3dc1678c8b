"""The directory of a search: its settings, its space, and its results."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import yaml

from beam_pipelines.common.errors import UserError
from beam_pipelines.common.lease import LEASE_FILES
from beam_pipelines.common.saved_settings import describe_differences
from trainer.common import files
from trainer.tuner.config import SearchConfig

SEARCH_FILE = "search.yaml"

# Settings that may change when a search is resumed: they do not decide what a trial is and how it is trained.
_KEYS_THAT_MAY_DIFFER = frozenset(
    {"run_dir", "search_dir", "space", "checkpoint_interval_s", "trial_timeout_s", "workers", "max_restarts", "refit"}
    | {
        "evaluate_again",
        "cache",
        "strategy.kind",
        "strategy.num_devices",
        "board.",
        "budget.",
        "service.",
        "pruning.",
        "storage.",
        "mlflow.",
    }
)


class SearchDir:
    """The files of one search, local or gs://."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.logs_dir = files.join(path, "logs")
        self.best_path = files.join(path, "best.yaml")
        self._config_path = files.join(path, SEARCH_FILE)
        self._space_path = files.join(path, "space.yaml")
        self._test_path = files.join(path, "test.json")

    def is_started(self) -> bool:
        return files.exists(self._config_path)

    def check_is_empty(self) -> None:
        """Checks that a search may be started here: in a new or empty directory.

        Raises:
            UserError: The directory holds files of the user or of another command.
        """
        if files.exists(self.path) and not files.is_dir(self.path):
            raise UserError(f"search_dir={self.path} is a file: choose a new or empty folder")
        names = files.list_dir(self.path) if files.exists(self.path) else []
        # What a search leaves that was interrupted before it wrote its settings.
        ours = {"logs", "state", "space.yaml", *LEASE_FILES}
        others = [name for name in names if name.rstrip("/") not in ours and not name.endswith(".tmp")]
        if others:
            raise UserError(
                f"search_dir={self.path} is not empty and holds no search ({others[0]}): choose another search_dir"
            )

    def start(self, config: SearchConfig, *, space_text: str) -> None:
        """Writes the settings and the space.

        Raises:
            UserError: The directory is not writable.
        """
        try:
            files.make_dirs(self.path)
            files.write_text(self._space_path, space_text)
            # Last: with this file the search is started.
            files.write_text(self._config_path, yaml.safe_dump(asdict(config), sort_keys=False, allow_unicode=True))
        except files.FileError as error:
            raise UserError(f"search_dir={self.path} is not writable: {error.message}") from error

    def check_same(self, config: SearchConfig, *, space_text: str) -> None:
        """Raises a UserError unless the search was started with the same settings and the same space."""
        differences = describe_differences(
            self.config(), asdict(config), may_differ=_KEYS_THAT_MAY_DIFFER, defaults_of=config
        )
        if self.space_text() != space_text:
            differences = "; ".join(filter(None, [differences, "its space was different"]))
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
            raise UserError(f"search_dir={self.path} has no search: expected the directory of one")
        config = yaml.safe_load(files.read_text(self._config_path))
        if not isinstance(config, dict):
            raise UserError(f"{self._config_path} is damaged: choose another search_dir")
        return config

    def space_text(self) -> str:
        """Returns the YAML of the search space."""
        return files.read_text(self._space_path)

    def test_score(self) -> dict[str, Any] | None:
        """Returns the metrics on the test split; None if no trial was evaluated on it."""
        return json.loads(files.read_text(self._test_path)) if files.exists(self._test_path) else None

    def write_test_score(self, score: Mapping[str, Any]) -> None:
        files.write_text(self._test_path, json.dumps(score, indent=2, ensure_ascii=False) + "\n")
