"""What is sent to Dataflow, up to the service: a server on this machine takes the request in its place."""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import GoogleCloudOptions
from apache_beam.runners.dataflow.internal.apiclient import DataflowApplicationClient

from beam_pipelines.common.errors import RunFailedError, UserError
from beam_pipelines.datasets.config import CsvDatasetConfig, FolderDatasetConfig
from beam_pipelines.features.config import LogMelConfig
from beam_pipelines.prepare.config import PrepareConfig
from beam_pipelines.prepare.pipeline import build_pipeline, prepare
from beam_pipelines.runners.counters import progress_of
from beam_pipelines.runners.dataflow import dataflow_options
from beam_pipelines.runners.dataflow_config import DataflowRunnerConfig
from beam_pipelines.runners.live_counters import LiveCounters
from beam_pipelines.runners.run_pipeline import run_pipeline
from beam_pipelines.runners.work_progress import WorkProgress

JOBS = "/v1b3/projects/my-project/locations/us-central1/jobs"
# Beam 2.72 sends the names of enums, and Beam 2.77 their numbers.
BATCH_JOB = ("JOB_TYPE_BATCH", 1)
PUBLIC_IP = ("WORKER_IP_PUBLIC", 1)
PRIVATE_IP = ("WORKER_IP_PRIVATE", 2)
IMAGE = "us-central1-docker.pkg.dev/my-project/images/beamtune:1"


class Service:
    """A fake of Dataflow: records the jobs that it gets, and reports at once that they are done."""

    def __init__(self, *, state: str = "JOB_STATE_DONE") -> None:
        self.requests: list[tuple[str, dict]] = []
        self.metrics: list[dict] = []
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                job = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                service.requests.append((self.path.partition("?")[0], job))
                self._answer({"id": "job-1", "name": job["name"], "currentState": state})

            def do_GET(self) -> None:
                assert self.path.partition("?")[0] == f"{JOBS}/job-1/metrics"
                self._answer({"metrics": service.metrics})

            def _answer(self, content: dict) -> None:
                answer = json.dumps(content).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        # The name, not the number: Beam's check of the address takes no numbers.
        self.endpoint = f"http://localhost:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def service():
    service = Service()
    yield service
    service.close()


@pytest.fixture
def staged(monkeypatch):
    """The names of what is put into the bucket, in place of the bucket."""
    names: list[str] = []
    monkeypatch.setattr(GoogleCloudOptions, "_warn_if_soft_delete_policy_enabled", lambda self, name: None)
    monkeypatch.setattr(
        DataflowApplicationClient,
        "stage_file_with_retry",
        lambda self, folder, name, *_, **__: names.append(f"{folder}/{name}"),
    )
    return names


def config_for(service: Service | None = None, **changes) -> DataflowRunnerConfig:
    options = [] if service is None else [f"--dataflow_endpoint={service.endpoint}", "--no_auth"]
    return DataflowRunnerConfig(
        **{
            "project": "my-project",
            "temp_location": "gs://my-bucket/temp",
            "worker_image": IMAGE,
            "options": [*options, *changes.pop("options", [])],
            **changes,
        }
    )


def prepare_config(runner: DataflowRunnerConfig, **changes) -> PrepareConfig:
    return PrepareConfig(
        **{
            "output_dir": "gs://my-bucket/prepared",
            "dataset": FolderDatasetConfig(root="gs://my-bucket/music"),
            "features": {"log_mel": LogMelConfig()},
            "runner": runner,
            **changes,
        }
    )


def submit(runner: DataflowRunnerConfig, *, counters: LiveCounters | None = None) -> None:
    run_pipeline(
        lambda pipeline: build_pipeline(pipeline, plans=[], config=prepare_config(runner), labels=["a"]),
        runner,
        job_name="beamtune-prepare",
        counters=counters,
    )


def sdk_options(job: dict) -> dict:
    return job["environment"]["sdkPipelineOptions"]["options"]


def test_the_request_holds_the_settings(service, staged):
    submit(
        config_for(
            service,
            region="europe-west4",
            machine_type="n2-highmem-8",
            max_workers=7,
            service_account_email="worker@my-project.iam.gserviceaccount.com",
            subnetwork="regions/europe-west4/subnetworks/inner",
            use_public_ips=False,
            labels={"team": "music", "stage": "test"},
            options=["--disk_size_gb=40"],
        )
    )
    [(path, job)] = service.requests
    assert path == "/v1b3/projects/my-project/locations/europe-west4/jobs"
    assert job["type"] in BATCH_JOB
    assert re.fullmatch(r"beamtune-prepare-\d{8}-\d{6}-[0-9a-f]{6}", job["name"])
    assert job["labels"] == {"team": "music", "stage": "test"}
    environment = job["environment"]
    assert environment["tempStoragePrefix"].startswith("storage.googleapis.com/my-bucket/temp")
    assert environment["serviceAccountEmail"] == "worker@my-project.iam.gserviceaccount.com"
    assert {"use_runner_v2", "no_use_multiple_sdk_containers"} <= set(environment["experiments"])
    assert "use_multiple_sdk_containers" not in environment["experiments"]
    [pool] = environment["workerPools"]
    assert pool["machineType"] == "n2-highmem-8"
    assert pool["numThreadsPerWorker"] == 8
    assert pool["autoscalingSettings"] == {"maxNumWorkers": 7}
    assert pool["diskSizeGb"] == 40
    assert pool["ipConfiguration"] in PRIVATE_IP
    assert pool["subnetwork"] == "regions/europe-west4/subnetworks/inner"
    assert pool["workerHarnessContainerImage"] == IMAGE
    assert [image["containerImage"] for image in pool["sdkHarnessContainerImages"]] == [IMAGE]
    assert sdk_options(job)["save_main_session"] is False
    assert all(name.startswith("gs://my-bucket/temp/") for name in staged)
    assert any(name.endswith("/pipeline.pb") for name in staged)


def test_what_is_not_set_is_left_to_the_service_but_threads_are_capped(service, staged):
    submit(config_for(service, machine_type="custom-2-8192"))
    submit(config_for(service, harness_threads=1))
    [(path, first), (_, second)] = service.requests
    [pool] = first["environment"]["workerPools"]
    assert path == JOBS
    assert (pool["machineType"], pool["numThreadsPerWorker"]) == ("custom-2-8192", 2)
    assert pool["ipConfiguration"] in PUBLIC_IP
    assert pool.keys().isdisjoint({"subnetwork", "diskSizeGb"})
    assert "serviceAccountEmail" not in first["environment"]
    [pool] = second["environment"]["workerPools"]
    assert (pool["machineType"], pool["numThreadsPerWorker"]) == ("n2-standard-4", 1)
    assert first["name"] != second["name"]


def test_settings_of_the_service_are_passed_on(service, staged):
    key = "projects/p/locations/us-central1/keyRings/ring/cryptoKeys/key"
    submit(
        config_for(
            service,
            num_workers=2,
            autoscaling_algorithm="NONE",
            disk_size_gb=60,
            worker_zone="us-central1-b",
            flexrs_goal="COST_OPTIMIZED",
            dataflow_service_options=["enable_google_cloud_profiler", "min_num_workers=2"],
            dataflow_kms_key=key,
            element_processing_timeout_minutes=90,
        )
    )
    [(_, job)] = service.requests
    environment = job["environment"]
    [pool] = environment["workerPools"]
    assert pool["numWorkers"] == 2
    assert pool["autoscalingSettings"]["algorithm"] in ("AUTOSCALING_ALGORITHM_NONE", 1)
    assert pool["diskSizeGb"] == 60
    assert environment["workerZone"] == "us-central1-b"
    assert environment["flexResourceSchedulingGoal"] in ("FLEXRS_COST_OPTIMIZED", 2)
    assert environment["serviceKmsKeyName"] == key
    assert {"enable_google_cloud_profiler", "min_num_workers=2"} <= set(environment["serviceOptions"])
    options = sdk_options(job)
    assert options["element_processing_timeout_minutes"] == 90
    assert options["worker_zone"] == "us-central1-b"


def test_machines_that_the_service_chooses_have_no_type(service, staged):
    submit(config_for(service, dataflow_service_options=["enable_prime"]))
    [(_, job)] = service.requests
    [pool] = job["environment"]["workerPools"]
    assert "machineType" not in pool
    assert "enable_prime" in job["environment"]["serviceOptions"]


def test_a_job_is_started_as_another_account():
    account = "a@my-project.iam.gserviceaccount.com,b@my-project.iam.gserviceaccount.com"
    options = dataflow_options(config_for(impersonate_service_account=account), job_name="beamtune-prepare")
    assert options.view_as(GoogleCloudOptions).impersonate_service_account == account


def test_a_failed_job_fails_the_run(staged):
    service = Service(state="JOB_STATE_FAILED")
    try:
        with pytest.raises(RunFailedError, match="a step of the pipeline failed: "):
            submit(config_for(service))
    finally:
        service.close()


def test_an_interrupted_run_cancels_its_job(service, staged, monkeypatch):
    cancelled = []

    def interrupt(self, duration=None):
        raise KeyboardInterrupt

    result = "apache_beam.runners.dataflow.dataflow_runner.DataflowPipelineResult"
    monkeypatch.setattr(f"{result}.wait_until_finish", interrupt)
    monkeypatch.setattr(f"{result}.cancel", lambda self: cancelled.append(self.job_id()))
    with pytest.raises(KeyboardInterrupt):
        submit(config_for(service))
    assert cancelled == ["job-1"]


def metric(name: str, committed: object, tentative: object, *, kind="scalar", namespace="prepare") -> list[dict]:
    """Returns a metric as the service reports it, twice: the second value includes what unfinished work has counted."""
    context = {"step": "s3", "namespace": namespace}
    return [
        {"name": {"origin": "user", "name": name, "context": {**context, **more}}, kind: value}
        for value, more in ((committed, {}), (tentative, {"tentative": "true"}))
    ]


def test_the_counters_of_a_running_job_are_read(service, staged, monkeypatch):
    counters = LiveCounters("prepare")
    found = [counters.read()]
    decode_ms = {"count": 31, "min": 2, "max": 90, "sum": 700}
    answers = [
        [],
        metric("tracks", 10, 30),
        [
            *metric("tracks", 10, 31),
            *metric("reject_missing", 0, 2),
            *metric("audio_ms", 300_000, 930_500),
            *metric("decode_ms", decode_ms, decode_ms, kind="distribution"),
            *metric("tracks", 99, 99, namespace="another"),
        ],
    ]

    def wait(self, duration=None):
        for service.metrics in answers:
            found.append(counters.read())

    monkeypatch.setattr("apache_beam.runners.dataflow.dataflow_runner.DataflowPipelineResult.wait_until_finish", wait)
    submit(config_for(service), counters=counters)
    last = {"tracks": 31, "reject_missing": 2, "audio_ms": 930_500}
    assert found == [{}, {}, {"tracks": 30}, last]
    assert progress_of(found[-1], unit="tracks") == WorkProgress(num_done=33, num_rejects=2, audio_s=930.5)


@pytest.mark.parametrize(
    ("runner", "changes", "message"),
    [
        ({}, {"output_dir": "prepared/mine"}, "output_dir=prepared/mine: expected a path that begins with gs://"),
        (
            {},
            {"dataset": FolderDatasetConfig(root="/music")},
            "dataset.root=/music: expected a path that begins with gs://",
        ),
        ({"worker_image": None}, {}, "runner.worker_image=null: expected an image that contains beamtune"),
        ({"worker_image": None, "options": ["--extra_package=x.whl"]}, {"output_dir": "x"}, "output_dir=x: expected"),
    ],
)
def test_what_workers_could_not_do_is_refused_before_anything_is_sent(runner, changes, message):
    with pytest.raises(UserError) as caught:
        prepare(prepare_config(config_for(**runner), **changes))
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_audio_of_a_table_must_be_in_a_bucket(make_collection, tmp_path):
    make_collection(tmp_path)
    (tmp_path / "tracks.csv").write_text("path,genre,artist\ngenre0/artist0/0.wav,a,x\ngenre1/artist0/0.wav,b,y\n")
    config = prepare_config(config_for(), dataset=CsvDatasetConfig(path=str(tmp_path / "tracks.csv")))
    with pytest.raises(
        UserError, match=r"the audio of genre0/artist0/0.wav=.*: expected a path that begins with gs://"
    ):
        prepare(config)


def test_a_pipeline_of_any_kind_needs_the_options_that_beam_requires(staged):
    with pytest.raises(UserError, match="the runner refuses its options: .*job_name"):
        run_pipeline(lambda pipeline: pipeline | beam.Create([1]), config_for(), job_name="Not A Name")
