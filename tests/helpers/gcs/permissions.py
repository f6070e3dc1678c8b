"""The IAM permissions that requests need, and what the service answers where one is missing.

https://cloud.google.com/storage/docs/access-control/iam-json
"""

from collections.abc import Collection

from gcs.calls import Answer, Call, error_answer, json_answer
from gcs.certificates import ACCOUNT

_OBJECTS = ("create", "delete", "get", "list", "update")
# Of Google's roles, what concerns buckets and objects.
ROLES = {
    "roles/storage.objectAdmin": frozenset(f"storage.objects.{action}" for action in _OBJECTS),
    "roles/storage.objectViewer": frozenset({"storage.objects.get", "storage.objects.list"}),
    "roles/storage.objectCreator": frozenset({"storage.objects.create"}),
    "roles/storage.legacyBucketReader": frozenset({"storage.buckets.get", "storage.objects.list"}),
}
_NEEDED = {
    "insert": ("storage.objects.create",),
    "rewrite": ("storage.objects.create",),
    "compose": ("storage.objects.create", "storage.objects.get"),
    "patch": ("storage.objects.update",),
    "delete": ("storage.objects.delete",),
    "get": ("storage.objects.get",),
    "stat": ("storage.objects.get",),
    "list": ("storage.objects.list",),
    "bucket": ("storage.buckets.get",),
    "buckets": ("storage.buckets.list",),
}


def refusal(call: Call, granted: Collection[str], *, exists: bool) -> Answer | None:
    """Returns the answer to a request that lacks a permission; None if it lacks none.

    Args:
        call: The request.
        granted: The permissions, such as "storage.objects.get".
        exists: Whether the object exists.
    """
    needed = list(_NEEDED.get(call.kind, ()))
    if exists and call.kind in {"insert", "rewrite", "compose"}:
        needed.append("storage.objects.delete")  # that of the object which is replaced
    if not exists and call.kind in {"get", "stat"}:
        needed.append("storage.objects.list")  # without it, nobody may know that the object is missing
    if call.source is not None:
        needed.append("storage.objects.get")
    missing = next((permission for permission in needed if permission not in granted), None)
    if missing is None:
        return None
    if call.kind in {"get", "stat"}:
        missing = "storage.objects.get"
    resource = "object" if ".objects." in missing and call.kind != "list" else "bucket"
    return error_answer(
        403,
        "forbidden",
        f"{ACCOUNT} does not have {missing} access to the Google Cloud Storage {resource}. "
        f"Permission '{missing}' denied on resource (or it may not exist).",
    )


def tested(asked: Collection[str], granted: Collection[str]) -> Answer:
    """Returns the answer to the question which of some permissions are granted."""
    found = [permission for permission in asked if permission in granted]
    return json_answer(200, {"kind": "storage#testIamPermissionsResponse", "permissions": found})
