"""The three clients of production against the emulator: TensorFlow, Beam and Google's client for Python."""

import subprocess
import sys

import pytest
from gcs.faults import Faults

pytestmark = pytest.mark.slow

# Each client writes, and each reads what all wrote.
ALL_CLIENTS = """
import sys
import tensorflow as tf
from apache_beam.io.filesystems import FileSystems
from google.cloud import storage

url = sys.argv[1]
content = bytes(range(256)) * 12_000
bucket, _, prefix = url.removeprefix("gs://").partition("/")
client = storage.Client()
with tf.io.gfile.GFile(f"{url}/a b/tensorflow", "wb") as file:
    file.write(content)
with FileSystems.create(f"{url}/a b/beam") as file:
    file.write(content)
client.bucket(bucket).blob(f"{prefix}/a b/python").upload_from_string(content, if_generation_match=0)
assert sorted(tf.io.gfile.listdir(f"{url}/a b")) == ["beam", "python", "tensorflow"]
[found] = FileSystems.match([f"{url}/**"])
assert len(found.metadata_list) == 3
for name in ("beam", "python", "tensorflow"):
    path = f"{url}/a b/{name}"
    with tf.io.gfile.GFile(path, "rb") as file:
        assert file.read() == content
        file.seek(1_000_000)
        assert file.read(10) == content[1_000_000:1_000_010]
    with FileSystems.open(path) as file:
        assert file.read() == content
    blob = client.bucket(bucket).blob(path.removeprefix(f"gs://{bucket}/"))
    assert blob.download_as_bytes() == content
    assert blob.download_as_bytes(start=5, end=9) == content[5:10]
tf.io.gfile.rename(f"{url}/a b/python", f"{url}/b/python")
FileSystems.rename([f"{url}/a b/beam"], [f"{url}/b/beam"])
tf.io.gfile.rmtree(f"{url}/a b")
print(sorted(blob.name for blob in client.list_blobs(bucket)))
"""

WRITE_BY_TENSORFLOW = """
import sys
import tensorflow as tf

for name in "abcd":
    with tf.io.gfile.GFile(f"{sys.argv[1]}/{name}", "wb") as file:
        file.write(name.encode() * 3_000_000)
"""


def run(gcs, code, url):
    done = subprocess.run(
        [sys.executable, "-c", code, url],
        capture_output=True,
        text=True,
        env=gcs.environment,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_all_clients_agree_on_the_objects(gcs):
    assert run(gcs, ALL_CLIENTS, gcs.url) == "['data/b/beam', 'data/b/python']\n"
    gcs.check_network("tensorflow", "beam", "python")


def test_tensorflow_resumes_uploads(gcs):
    kinds = ("unavailable", "cut_before", "cut_upload", "cut_after")
    gcs.set_faults(Faults(**{f"{kind}_share": 0.1 for kind in kinds}, kinds=("chunk",), seed=40))
    run(gcs, WRITE_BY_TENSORFLOW, gcs.url)
    assert gcs.contents() == {name: name.encode() * 3_000_000 for name in "abcd"}
    chunks = [record for record in gcs.requests() if record.kind == "chunk"]
    assert {record.fault for record in chunks} == {"", *kinds}
    assert {record.name for record in chunks} == {f"data/{name}" for name in "abcd"}
