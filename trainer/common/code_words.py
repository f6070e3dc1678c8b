"""The codes of a prepared data set's tables in words, for the pages and texts that people read."""

from collections.abc import Mapping

SPLIT_SOURCES = {
    "group": "whole groups (artists, albums or recordings) were assigned to the splits",
    "folds": "whole groups (artists, albums or recordings) were divided into folds",
    "official": "they are the official splits of the data set",
    "fault_filtered": "they are the fault-filtered split of GTZAN",
    "random": "tracks were assigned at random",
    "random_segments": "segments were assigned at random",
}
REJECT_REASONS = {
    "missing": "file is missing",
    "changed": "file has changed",
    "vanished": "file has vanished",
    "unreadable": "unreadable file",
    "empty_file": "empty file",
    "no_audio": "no audio",
    "undecodable": "not decodable",
    "damaged": "damaged file",
    "bad_header": "implausible header",
    "not_finite": "values not finite",
    "too_short": "too short",
    "unexpected": "unexpected error",
    "silent": "silent",
    "excluded": "excluded by split",
    "duplicate": "duplicate",
}
DUPLICATE_KINDS = {"exact": "same audio", "near": "same recording"}
DUPLICATE_OUTCOMES = {
    "same_split": "were in one split already",
    "joined": "groups were moved to one split",
    "left_out": "one was left out",
    "reported": "nothing was changed",
}


def words_of(code: str, words: Mapping[str, str]) -> str:
    """Returns the words of a code; of an unknown one its own, without underscores."""
    return words.get(code, code.replace("_", " "))
