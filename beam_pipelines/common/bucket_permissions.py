"""What an answer that an object is forbidden means: to who may not list a bucket, a missing object is forbidden too.

https://cloud.google.com/storage/docs/json_api/v1/status-codes#403-forbidden
"""

from functools import cache

from beam_pipelines.common.bucket_client import client
from beam_pipelines.common.bucket_errors import BucketError
from beam_pipelines.common.bucket_requests import timeout_s
from beam_pipelines.common.paths import bucket_and_name
from beam_pipelines.common.retries import with_retries

_GET = "storage.objects.get"


def is_missing(path: str, error: BucketError) -> bool:
    """Returns whether an object that is forbidden does not exist: the account may read all objects of its bucket.

    Args:
        path: The gs:// path of the object.
        error: The error of a request for it.
    """
    from google.api_core.exceptions import Forbidden

    return isinstance(error.__cause__, Forbidden) and _may_read_objects(bucket_and_name(path)[0])


@cache
def _may_read_objects(bucket: str) -> bool:
    """Returns whether the account may read all objects of a bucket; False if that is not known."""
    from google.api_core.exceptions import GoogleAPICallError

    def ask() -> bool:
        granted = client().bucket(bucket).test_iam_permissions([_GET], timeout=timeout_s(), retry=None)
        return _GET in granted

    try:
        return with_retries(ask, path=f"gs://{bucket}")
    except (BucketError, GoogleAPICallError):
        return False
