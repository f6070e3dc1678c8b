"""The names of the files by which the directory of a cross-validation is known."""

RESULT_FILE = "crossval.json"
SETTINGS_FILE = "crossval.yaml"
