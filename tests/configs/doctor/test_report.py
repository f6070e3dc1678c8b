"""Findings as table, json and csv."""

import io
import json

import pytest

from configs.doctor.findings import BROKEN, MISSING, OK, UNCHECKED, UNSUPPORTED, Finding, has_problem
from configs.doctor.report import print_findings

FINDINGS = [
    Finding("version", "Python", OK, "3.11.7"),
    Finding("version", "h5py", BROKEN, "3.1, x", expected="it works", fix="pip install h5py"),
    Finding("extra", "gpu", MISSING, "without [cuda]", fix="pip install 'beamtune[gpu]'"),
]


def printed(output_format):
    stream = io.StringIO()
    print_findings(FINDINGS, output_format=output_format, stream=stream)
    return stream.getvalue()


def test_a_piped_table_is_plain_and_followed_by_what_to_type():
    assert [line.rstrip() for line in printed("table").splitlines()] == [
        "beamtune doctor",
        " part     name    state    found",
        " version  Python  ok       3.11.7",
        " version  h5py    broken   3.1, x",
        " extra    gpu     missing  without [cuda]",
        "broken: version h5py: 3.1, x, expected it works: pip install h5py",
        "missing: extra gpu: without [cuda]: pip install 'beamtune[gpu]'",
    ]


def test_missing_extras_are_one_line():
    found = [
        *(Finding("extra", name, MISSING, "x", fix=f"pip install 'beamtune[{name}]'") for name in ("all", "dask")),
        Finding("extra", "io", MISSING, "x", fix="pip install 'beamtune[io]'"),
        Finding("extra", "gpu", MISSING, "x", fix="pip uninstall y"),
        Finding("extra", "serve", MISSING, "x", fix="pip install 'beamtune[serve]'"),
    ]
    stream = io.StringIO()
    print_findings(found, output_format="table", stream=stream)
    assert stream.getvalue().splitlines()[-3:] == [
        "missing: extras dask, serve: pip install 'beamtune[dask,serve]', or some of them",
        "missing: extra io: x: pip install 'beamtune[io]'",
        "missing: extra gpu: x: pip uninstall y",
    ]


def test_json_has_everything():
    content = json.loads(printed("json"))
    assert content["ok"] is False
    assert content["findings"][0] == {
        "part": "version",
        "name": "Python",
        "state": "ok",
        "found": "3.11.7",
        "expected": None,
        "fix": None,
    }
    assert [one["name"] for one in content["findings"]] == ["Python", "h5py", "gpu"]


def test_csv_has_a_row_for_each():
    assert printed("csv").splitlines() == [
        "part,name,state,found,expected,fix",
        "version,Python,ok,3.11.7,,",
        'version,h5py,broken,"3.1, x",it works,pip install h5py',
        "extra,gpu,missing,without [cuda],,pip install 'beamtune[gpu]'",
    ]


@pytest.mark.parametrize(
    ("state", "expected"), [(OK, False), (MISSING, False), (UNCHECKED, False), (BROKEN, True), (UNSUPPORTED, True)]
)
def test_only_what_is_installed_can_be_a_problem(state, expected):
    assert has_problem([Finding("version", "x", state, "1")]) is expected
