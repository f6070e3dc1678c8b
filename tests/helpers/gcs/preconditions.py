"""Preconditions on generations, as the service defines them: an object that does not exist has generation 0.

https://cloud.google.com/storage/docs/request-preconditions
"""

from collections.abc import Callable, Mapping
from typing import Any

from gcs.calls import Answer, Call, error_answer

Resource = Mapping[str, Any]
Lookup = Callable[[str, str], Resource | None]

_FIELDS = {"Generation": "generation", "Metageneration": "metageneration"}
_HEADERS = {
    "x-goog-if-generation-match": "ifGenerationMatch",
    "x-goog-if-metageneration-match": "ifMetagenerationMatch",
}


def refusal(call: Call, lookup: Lookup) -> Answer | None:
    """Returns the answer to a request whose preconditions do not hold; None if they hold.

    Args:
        call: The request.
        lookup: Returns the resource of an object by bucket and name; None if there is none.
    """
    if not call.name or call.kind in {"list", "bucket"}:
        return None
    query = {parameter: call.headers[header] for header, parameter in _HEADERS.items() if header in call.headers}
    query |= call.query
    found = lookup(call.bucket, call.name)
    if call.kind in {"get", "stat", "delete", "patch"} and not _is_current(found, query.get("generation")):
        return missing_object(call.bucket, call.name)
    is_read = call.kind in {"get", "stat"}
    answer = _first_failure(query, found, prefix="if", is_read=is_read)
    if answer is None and call.source is not None:
        source = lookup(*call.source)
        if not _is_current(source, query.get("sourceGeneration")):
            return missing_object(*call.source)
        answer = _first_failure(query, source, prefix="ifSource", is_read=False)
    return answer


def missing_object(bucket: str, name: str) -> Answer:
    """Returns the answer to a request for an object that does not exist."""
    return error_answer(404, "notFound", f"No such object: {bucket}/{name}")


def _is_current(found: Resource | None, generation: str | None) -> bool:
    return found is not None and generation in (None, found["generation"])


def _first_failure(query: Mapping[str, str], found: Resource | None, *, prefix: str, is_read: bool) -> Answer | None:
    for parameter, field in _FIELDS.items():
        present = int(found[field]) if found is not None else 0
        expected = query.get(f"{prefix}{parameter}Match")
        refused = query.get(f"{prefix}{parameter}NotMatch")
        if expected is not None and int(expected) != present:
            return _condition_not_met()
        if refused is not None and int(refused) == present:
            return Answer(304, {}, b"") if is_read else _condition_not_met()
    return None


def _condition_not_met() -> Answer:
    return error_answer(412, "conditionNotMet", "At least one of the pre-conditions you specified did not hold.")
