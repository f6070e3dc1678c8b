"""Runs a batch script of Slurm with bash, where srun, scontrol and the modules are stand-ins on this machine."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

_REPOSITORY = Path(__file__).resolve().parents[2]

# As the real one, it ends with the code of the task, or with 128 and the number of the signal that has ended it.
_SRUN = """\
#!{python}
import json, os, signal, subprocess, sys
words = sys.argv[1:]
options = []
while words[0].startswith("--"):
    options.append(words.pop(0))
host = next((one.partition("=")[2] for one in options if one.startswith("--nodelist=")), "node1")
variables = {{"SLURM_NTASKS": "1", "SLURM_PROCID": "0", "SLURMD_NODENAME": host}}
task = subprocess.Popen(words, env={{**os.environ, **variables}})
signal.signal(signal.SIGTERM, lambda *_: task.send_signal(signal.SIGTERM))
with open({log!r}, "a") as file:
    file.write(json.dumps({{"pid": task.pid, "options": options, "host": host, "words": words,
                           "TF_CONFIG": os.environ.get("TF_CONFIG")}}) + "\\n")
code = task.wait()
sys.exit(code if code >= 0 else 128 - code)
"""
_SCONTROL = """\
#!/bin/sh
if [ "$1" = show ]; then printf '%s\\n' {hosts}; else echo "$@" >>{log}; fi
"""
_BEAMTUNE = """\
#!/bin/sh
PYTHONPATH={repository} exec {python} -c 'from configs.cli import run; run()' "$@"
"""


class SlurmJob:
    """A job whose nodes are all this machine.

    Attributes:
        process: The process of the script.
        srun_log: A line of JSON for each step that was started.
        requests: What was asked of scontrol, besides the names of the nodes; it may not exist.
    """

    def __init__(self, script: str, folder: Path, *, hosts: Sequence[str], environment: Mapping[str, str]) -> None:
        """Starts it.

        Args:
            script: The batch script.
            folder: A folder that does not exist, for the stand-ins and what they write.
            hosts: What the nodes are called: names or addresses of this machine.
            environment: The variables of the user, without PATH.
        """
        folder.mkdir()
        self.srun_log = folder / "steps.jsonl"
        self.requests = folder / "requests"
        programs = {
            "srun": _SRUN.format(python=sys.executable, log=str(self.srun_log)),
            "scontrol": _SCONTROL.format(hosts=" ".join(hosts), log=self.requests),
            "beamtune": _BEAMTUNE.format(python=sys.executable, repository=_REPOSITORY),
        }
        for name, text in programs.items():
            (folder / name).write_text(text)
            (folder / name).chmod(0o755)
        (folder / "job.sh").write_text(script)
        variables = {"SLURM_JOB_ID": str(os.getpid()), "SLURM_JOB_NODELIST": "node[1-2]"}
        path = f"{folder}{os.pathsep}{os.environ['PATH']}"
        self.process = subprocess.Popen(
            ["/bin/bash", str(folder / "job.sh")],
            cwd=folder,
            env={**environment, **variables, "PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def finish(self, timeout_s: float = 600.0) -> tuple[int, str]:
        """Waits for the end; returns the exit code and what was printed."""
        try:
            out, _ = self.process.communicate(timeout=timeout_s)
        finally:
            self.process.kill()
        return self.process.returncode, out
