"""`beamtune launch kubernetes COMMAND …`: prints manifests, or applies them with kubectl, once."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

import yaml

from beam_pipelines.common.errors import UserError
from beam_pipelines.common.paths import is_in_bucket
from configs.command import Invocation
from configs.launch.dialogue import ask, say
from configs.launch.external_program import run_program
from configs.launch.identity import LAUNCH_LABEL
from configs.launch.kubernetes.config import KubernetesLaunchConfig
from configs.launch.kubernetes.plan import KubernetesPlan, describe, make_kubernetes_plan

_MISSING = "install it, or apply what --dry-run prints where it is"
_RUNS, _SUCCEEDED, _FAILED = "runs", "has succeeded", "has failed"


def launch_on_kubernetes(
    config: KubernetesLaunchConfig, name: str, paths: Sequence[str], words: Sequence[str], invocation: Invocation
) -> int:
    """Prints the manifests of a command, or applies them; returns the exit code.

    Raises:
        UserError: A setting is wrong, kubectl is missing or refuses something, or nobody could be asked.
    """
    plan = make_kubernetes_plan(config, name, paths, words)
    if not invocation.dry_run:
        return _apply(plan, assume_yes=invocation.assume_yes, stream=sys.stdout)
    say(describe(plan))
    if invocation.output_format == "json":
        print(json.dumps({"apiVersion": "v1", "kind": "List", "items": list(plan.manifests)}, indent=2))
    else:
        print(to_yaml(plan.manifests), end="")
    return 0


def to_yaml(manifests: Sequence[Mapping[str, Any]]) -> str:
    """Returns manifests as YAML, a document each."""
    return yaml.dump_all(manifests, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1_000)


class _Dumper(yaml.SafeDumper):
    """Writes repeated values in full, as people write manifests: without anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _apply(plan: KubernetesPlan, *, assume_yes: bool, stream: TextIO) -> int:
    states = _states(plan)
    if not plan.is_service and states:
        words = "; ".join(f"{name} {state}" for name, state in states.items())
        is_failed, is_running = _FAILED in states.values(), _RUNS in states.values()
        if is_running or not (is_failed or plan.config.again):
            again = "" if is_running else "; launch.again=true starts it anew"
            print(f"{words}: it has the same command and settings, and is not started again{again}", file=stream)
            say(_follow(plan))
            return 0
    _check_buckets(plan)
    say(describe(plan))
    if not assume_yes:
        ask(f"{'start it anew' if states else 'apply this'} in {plan.config.namespace}?")
    text = to_yaml(plan.manifests)
    if states and not plan.is_service:  # Jobs cannot be changed
        _kubectl(plan, "delete", "-f", "-", "--ignore-not-found", standard_input=text)
    print(_kubectl(plan, "apply", "-f", "-", standard_input=text), end="", file=stream)
    say(_follow(plan))
    return 0


def _states(plan: KubernetesPlan) -> dict[str, str]:
    """Returns what became of the Jobs of a launch that are there, by name; {} for a service."""
    if plan.is_service:
        return {}
    selector = f"{LAUNCH_LABEL}={plan.identity.key}"
    text = _kubectl(plan, "get", "jobs", "--selector", selector, "--output", "json")
    try:
        jobs = json.loads(text)["items"]
        return {job["metadata"]["name"]: _state(job.get("status", {})) for job in jobs}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"kubectl get has not printed a list of Jobs ({type(error).__name__})") from error


def _state(status: Mapping[str, Any]) -> str:
    true = {one["type"] for one in status.get("conditions", ()) if one.get("status") == "True"}
    if true & {"Failed", "FailureTarget"}:
        return _FAILED
    return _SUCCEEDED if "Complete" in true else _RUNS


def _check_buckets(plan: KubernetesPlan) -> None:
    """Checks data and runs that are in buckets; those on volumes are out of reach here."""
    launched = plan.launched
    one = launched.launchable
    keys = [*one.read, *one.data, *one.written]
    paths = [*launched.paths, *(path for _, path in launched.values(keys))]
    if plan.is_service or not all(map(is_in_bucket, paths)):
        return
    from configs.launch.data_checks import check_data

    check_data(launched)


def _follow(plan: KubernetesPlan) -> list[str]:
    """Returns the commands that show, and end, what was started."""
    kubectl = f"kubectl --namespace={plan.config.namespace}"
    selector = f"app.kubernetes.io/instance={plan.name}"
    if plan.is_service:
        return [
            f"{kubectl} rollout status deployment/{plan.name}",
            f"{kubectl} port-forward service/{plan.name} 8080:80",
            f"{kubectl} delete deployment,service,hpa,pdb --selector={selector}",
        ]
    return [
        f"{kubectl} get jobs,pods --selector={selector}",
        f"{kubectl} logs --selector={selector} --prefix --follow",
        f"{kubectl} delete job,service,networkpolicy --selector={selector}  # what is saved is kept",
    ]


def _kubectl(plan: KubernetesPlan, *words: str, standard_input: str | None = None) -> str:
    context = [] if plan.config.context is None else [f"--context={plan.config.context}"]
    place = [*context, f"--namespace={plan.config.namespace}"]
    return run_program(["kubectl", *words, *place], missing=_MISSING, standard_input=standard_input)
