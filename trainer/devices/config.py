"""Settings of the devices."""

from dataclasses import dataclass

from beam_pipelines.common.checks import check, check_choice

NO_STRATEGY, MULTI_WORKER = "none", "multi_worker"
STRATEGY_KINDS = (NO_STRATEGY, "mirrored", MULTI_WORKER, "tpu")


@dataclass(frozen=True)
class StrategyConfig:
    """Which devices train.

    Attributes:
        kind: none, a single device: the first GPU, or the CPU of a machine without GPUs; mirrored, all devices of this
            machine; multi_worker, several machines, which TF_CONFIG lists; tpu, a TPU.
        num_devices: For mirrored: the number of GPUs, or of logical CPU devices on a machine without GPUs; None is all
            GPUs.
        tpu_name: For tpu: its name or its grpc:// address; None is the TPU of this machine.
        tpu_zone: For tpu: its zone; None is the zone of this machine.
        tpu_project: For tpu: its Google Cloud project; None is the project of this machine.
    """

    kind: str = NO_STRATEGY
    num_devices: int | None = None
    tpu_name: str | None = None
    tpu_zone: str | None = None
    tpu_project: str | None = None

    def __post_init__(self) -> None:
        check_choice(self.kind, STRATEGY_KINDS, key="strategy.kind")
        check(
            self.num_devices is None or (self.kind == "mirrored" and 1 <= self.num_devices <= 64),
            key="strategy.num_devices",
            value=self.num_devices,
            expected="1 to 64 devices with strategy=mirrored, or null",
        )
        for name in ("tpu_name", "tpu_zone", "tpu_project"):
            value = getattr(self, name)
            check(
                value is None or self.kind == "tpu",
                key=f"strategy.{name}",
                value=value,
                expected="a value with strategy=tpu only, or null",
            )
