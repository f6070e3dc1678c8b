"""Settings of `beamtune launch slurm`: a frozen dataclass that checks its values.

Values of lines `#SBATCH` have letters, digits and few other characters: sbatch has rules of its own for quotes.
"""

import re
from dataclasses import dataclass, field

from beam_pipelines.common.checks import check, check_choice
from configs.launch.config import LaunchConfig
from configs.launch.one_line_words import check_values, check_words
from configs.launch.setting_checks import check_environment, check_range, check_text, check_texts

NONE, APPTAINER, PYXIS = "none", "apptainer", "pyxis"
CONTAINERS = (NONE, APPTAINER, PYXIS)
_DAY_S = 86_400
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_NAMES = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.,-]{0,255}")
_GPU_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_FEATURES = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.&|-]{0,255}")
_MEMORY = re.compile(r"[1-9][0-9]{0,6}[KMGT]")
_PATH = re.compile(r"/[A-Za-z0-9_./+@,=-]{0,1023}")
_MODULE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+/-]{0,127}")
_IMAGE = re.compile(r"[A-Za-z0-9/][A-Za-z0-9_./:@#+-]{0,1023}")
_MOUNT = re.compile(r"(/[A-Za-z0-9_./+@=-]*)(:/[A-Za-z0-9_./+@=-]*)?(:ro)?")
_PATH_FORM = "an absolute path of letters, digits and _ . / + @ , = -"


@dataclass(frozen=True)
class SlurmLaunchConfig(LaunchConfig):
    """Slurm: the command runs in a batch job.

    Attributes:
        partition: The partition, or several with commas between; None is that of the cluster.
        account: The account that is charged; None is the own one.
        qos: The quality of service; None is that of the account.
        constraint: Features that nodes must have, such as "a100&nvlink"; None for any.
        reservation: A reservation; None for none.
        nodes: Nodes. Several of them train together (train), or are the workers of a search (tune).
        gpus_per_node: GPUs of each node.
        gpu_type: Their type, as the cluster names it; None for any.
        cpus_per_task: Cores of each node.
        memory: Memory of each node, such as 32G.
        exclusive: Whether nodes are shared with no other job.
        time_limit_s: The job is ended after so many seconds.
        signal_before_s: How many seconds before that it receives SIGTERM, to save its work.
        requeue: Whether the job is queued again after it was interrupted, and after a node has failed.
        max_requeues: How often at most.
        max_restarts: How often each process of a search is started again in the job after it was killed.
        work_dir: The working folder, on a disk that all nodes share; None is the folder of the launch.
        log_dir: The folder of the log, likewise; None is the working folder.
        modules: Modules that are loaded first, such as [cuda/12.4].
        prologue: The words of one command that runs in the shell of the job before, such as [source, /opt/env.sh].
        venv: The virtual environment that has beamtune; None for the command on PATH.
        container: none, apptainer (also singularity) or pyxis (the plugin of srun for enroot).
        image: The image of the container: an absolute path, docker://… for apptainer, or what pyxis takes.
        mounts: Folders in the container, each as `/PATH[:/PATH IN THE CONTAINER][:ro]`.
        environment: Variables of the command; only names of an allow list, none of which holds a secret.
    """

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    reservation: str | None = None
    nodes: int = 1
    gpus_per_node: int = 0
    gpu_type: str | None = None
    cpus_per_task: int = 4
    memory: str | None = "16G"
    exclusive: bool = False
    time_limit_s: int = _DAY_S
    signal_before_s: int = 120
    requeue: bool = True
    max_requeues: int = 20
    max_restarts: int = 5
    work_dir: str | None = None
    log_dir: str | None = None
    modules: list[str] = field(default_factory=list)
    prologue: list[str] = field(default_factory=list)
    venv: str | None = None
    container: str = NONE
    image: str | None = None
    mounts: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._check_texts()
        self._check_numbers()
        self._check_container()
        check_words(self.prologue)
        check_environment(self.environment)
        check_values(self.environment)

    def _check_texts(self) -> None:
        check_texts(
            self,
            (
                ("partition", _NAMES, "names of partitions with commas between, which sinfo prints, or null"),
                ("account", _NAME, "the name of an account, or null"),
                ("qos", _NAME, "the name of a quality of service, or null"),
                ("constraint", _FEATURES, "features with & or | between, which sinfo --format=%f prints, or null"),
                ("reservation", _NAMES, "the name of a reservation, or null"),
                ("gpu_type", _GPU_TYPE, "a type of GPUs, which sinfo --format=%G prints, or null"),
                ("memory", _MEMORY, "a size, such as 32G or 500M, or null for that of the cluster"),
                ("work_dir", _PATH, f"{_PATH_FORM}, or null"),
                ("log_dir", _PATH, f"{_PATH_FORM}, or null"),
                ("venv", _PATH, f"{_PATH_FORM}, or null"),
                ("image", _IMAGE, "an absolute path, docker://…, or the name of an image, or null"),
            ),
        )
        for module in self.modules:
            check_text(module, _MODULE, key="launch.modules", expected="names of modules, such as cuda/12.4")

    def _check_numbers(self) -> None:
        for name, least, most in (
            ("nodes", 1, 128),
            ("gpus_per_node", 0, 16),
            ("cpus_per_task", 1, 1_024),
            ("time_limit_s", 60, 366 * _DAY_S),
            ("signal_before_s", 10, 65_535),
            ("max_requeues", 0, 1_000),
            ("max_restarts", 0, 1_000),
        ):
            check_range(self, name, least, most)
        check(
            self.signal_before_s < self.time_limit_s,
            key="launch.signal_before_s",
            value=self.signal_before_s,
            expected=f"less than launch.time_limit_s={self.time_limit_s}",
        )
        check(
            self.gpu_type is None or self.gpus_per_node > 0,
            key="launch.gpu_type",
            value=self.gpu_type,
            expected="launch.gpus_per_node with it, or null",
        )

    def _check_container(self) -> None:
        check_choice(self.container, CONTAINERS, key="launch.container")
        has_container = self.container != NONE
        check(
            (self.image is not None) == has_container,
            key="launch.image",
            value=self.image,
            expected=f"an image with launch.container={self.container}"
            if has_container
            else "launch.container with it",
        )
        check(
            self.venv is None or not has_container,
            key="launch.venv",
            value=self.venv,
            expected="null with launch.container: the image has beamtune",
        )
        check(
            not self.mounts or has_container,
            key="launch.mounts",
            value=self.mounts,
            expected="launch.container with it",
        )
        for mount in self.mounts:
            check_text(mount, _MOUNT, key="launch.mounts", expected="/PATH[:/PATH IN THE CONTAINER][:ro]")
