"""The folder of `beamtune quick`: its settings, and the folders of its steps."""

from dataclasses import asdict

import yaml

from beam_pipelines.common.errors import UserError
from beam_pipelines.common.saved_settings import describe_differences
from trainer.common import files
from trainer.common.output_folder import check_output_dir, write_texts
from trainer.quick.config import QuickConfig

SETTINGS_FILE = "quick.yaml"
_FINISHED_FILE = "_SUCCESS"
# Settings that do not change results.
_KEYS_THAT_MAY_DIFFER = {"output_dir", "max_reject_fraction", "runner.", "storage."}


class QuickDir:
    """The results of a `beamtune quick` on disk, local or gs://.

    Attributes:
        path: The folder.
        prepared: The prepared data.
        crossval: The cross-validation.
        run: The run of the model that is fitted on all tracks.
        export: Its export.
        report: The report of the cross-validation.
    """

    def __init__(self, path: str) -> None:
        """Reads and writes no files yet."""
        self.path = path
        self.prepared = files.join(path, "prepared")
        self.crossval = files.join(path, "crossval")
        self.run = files.join(path, "run")
        self.export = files.join(path, "export")
        self.report = files.join(path, "report")

    def check(self, config: QuickConfig) -> None:
        """Checks that the folder is new or empty, or holds results with the same settings.

        Raises:
            UserError: It does not.
        """
        check_output_dir(self.path, written=SETTINGS_FILE, command="quick")
        path = files.join(self.path, SETTINGS_FILE)
        if not files.exists(path):
            return
        saved = yaml.safe_load(files.read_text(path))
        if not isinstance(saved, dict):
            raise UserError(f"{path} is damaged: choose another output_dir")
        differences = describe_differences(saved, asdict(config), may_differ=_KEYS_THAT_MAY_DIFFER, defaults_of=None)
        if differences:
            raise UserError(
                f"output_dir={self.path} has results with other settings ({differences}): choose another output_dir"
            )

    def start(self, config: QuickConfig) -> None:
        """Checks the folder as `check` does, and writes the settings.

        Raises:
            UserError: The folder holds something else, or cannot be written.
        """
        self.check(config)
        text = yaml.safe_dump(asdict(config), sort_keys=False, allow_unicode=True)
        files.make_dirs(self.path)
        write_texts(self.path, {SETTINGS_FILE: text})

    def is_finished(self) -> bool:
        """Returns whether all steps are finished."""
        return files.exists(files.join(self.path, _FINISHED_FILE))

    def mark_finished(self) -> None:
        """Marks all steps as finished; the last file that is written."""
        write_texts(self.path, {_FINISHED_FILE: ""})
