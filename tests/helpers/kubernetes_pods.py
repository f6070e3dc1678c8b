"""What Kubernetes starts for manifests, as its documentation says: pods, each with its words and variables."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Manifest = Mapping[str, Any]


@dataclass(frozen=True)
class Pod:
    """A pod of one container.

    Attributes:
        job: The name of its Job or Deployment.
        index: Its index in the Job.
        domain_name: Its name in the DNS of the cluster; None if it has none.
        words: Its command and the arguments.
        environment: The variables that the manifest sets.
        container: The container in the form of the API.
    """

    job: str
    index: int
    domain_name: str | None
    words: Sequence[str]
    environment: Mapping[str, str]
    container: Mapping[str, Any]


def pods_of(manifests: Sequence[Manifest]) -> list[Pod]:
    """Returns the pods of Jobs and Deployments, one of each Deployment.

    https://kubernetes.io/docs/concepts/workloads/controllers/job and …/services-networking/dns-pod-service.
    """
    services = {one["metadata"]["name"]: one for one in manifests if one["kind"] == "Service"}
    found = []
    for manifest in manifests:
        if manifest["kind"] not in ("Job", "Deployment"):
            continue
        template, name = manifest["spec"]["template"], manifest["metadata"]["name"]
        for index in range(manifest["spec"].get("completions", 1)):
            [container] = template["spec"]["containers"]
            subdomain = template["spec"].get("subdomain")
            domain_name = None
            if subdomain is not None:
                service = services[subdomain]["spec"]
                assert service["clusterIP"] == "None" and service["publishNotReadyAddresses"]
                assert service["selector"].items() <= template["metadata"]["labels"].items()
                domain_name = f"{name}-{index}.{subdomain}.{manifest['metadata']['namespace']}.svc"
                assert len(f"{name}-{index}") <= 63
            environment = _environment(container, index)
            words = [expanded(word, environment) for word in (*container["command"], *container["args"])]
            found.append(Pod(name, index, domain_name, words, environment, container))
    return found


def _environment(container: Mapping[str, Any], index: int) -> dict[str, str]:
    known: dict[str, str] = {}
    for variable in container["env"]:
        if "value" in variable:
            known[variable["name"]] = expanded(variable["value"], known)
        else:
            path = variable["valueFrom"]["fieldRef"]["fieldPath"]
            assert path == "metadata.annotations['batch.kubernetes.io/job-completion-index']"
            known[variable["name"]] = str(index)
    return known


def expanded(text: str, variables: Mapping[str, str]) -> str:
    """Returns a text as Kubernetes passes it on.

    "$(NAME)" is the variable, and stays if there is none; "$$" is "$". (Documentation of Container v1 core, `args`, and
    k8s.io/kubernetes/third_party/forked/golang/expansion.)
    """

    def replace(found: re.Match[str]) -> str:
        if found["name"] is None:
            return "$"
        return variables.get(found["name"], found[0])

    return re.sub(r"\$\$|\$\((?P<name>[^)]*)\)", replace, text)
