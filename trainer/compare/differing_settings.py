"""The settings in which compared results differ, as a table."""

import json
from collections.abc import Sequence

from trainer.compare.compared_results import ComparedResult

TITLE = "settings that differ"

# Of cross-validations, these do not change scores; folds and seeds are in the column of the split.
_NOT_SHOWN = frozenset({"output_dir", "folds_dir", "keep_folds", "folds", "seeds", "runner", "max_reject_fraction"})


def differing_settings(results: Sequence[ComparedResult]) -> list[list[str]]:
    """Returns the header and the rows of a table of the settings that differ; none if none does.

    A result that has no settings of a group, as a network has none of baselines, does not differ in them. Settings of
    the model are left out between different models.

    Returns:
        A row for each result, or a row for each setting where there are not more results than settings.
    """
    has_one_model = len({result.model.name for result in results}) == 1
    keys = list(dict.fromkeys(key for result in results for key in result.settings))
    columns = [
        [key, *(_text(result, key) for result in results)]
        for key in keys
        if (has_one_model or _group(key) != "model") and _group(key) not in _NOT_SHOWN and _differs(results, key)
    ]
    if not columns:
        return []
    named = [["run", *(result.path for result in results)], *columns]
    if len(results) > len(columns):
        return [list(row) for row in zip(*named, strict=True)]
    return [["setting", *named[0][1:]], *columns]


def _differs(results: Sequence[ComparedResult], key: str) -> bool:
    return len({result.settings.get(key) for result in results if _has(result, key)}) > 1


def _has(result: ComparedResult, key: str) -> bool:
    return any(_group(other) == _group(key) for other in result.settings)


def _group(key: str) -> str:
    return key.partition(".")[0]


def _text(result: ComparedResult, key: str) -> str:
    if key not in result.settings:
        return "–"
    value = result.settings[key]
    return value if isinstance(value, str) else json.dumps(value)
