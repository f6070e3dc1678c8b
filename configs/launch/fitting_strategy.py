"""Whether a command can use the machines of a job, and which strategy of tf.distribute fits them."""

from beam_pipelines.common.checks import check
from configs.launch.launched import CROSSVAL, TRAIN, TUNE, Launched


def check_machines(
    launched: Launched,
    *,
    machines: int,
    machines_key: str,
    accelerators: int,
    accelerators_key: str,
    place: str = "on one machine",
) -> None:
    """Raises a UserError if a command uses fewer machines or accelerators than it would get.

    Args:
        launched: The command.
        machines: How many machines it would get.
        machines_key: The setting that says so.
        accelerators: GPUs or TPU chips of each machine.
        accelerators_key: The setting that says so.
        place: Where the command runs if it takes one machine, for the message.
    """
    check(
        machines == 1 or launched.takes_several_machines,
        key=machines_key,
        value=machines,
        expected=f"1: {launched.title} runs {place}",
    )
    most = launched.launchable.most_accelerators
    check(
        most is None or accelerators <= most,
        key=accelerators_key,
        value=accelerators,
        expected=f"{most}: {launched.name} uses no more",
    )


def with_strategy(
    launched: Launched, *, machines: int, accelerators: int, where: str, accelerators_key: str, is_tpu: bool = False
) -> Launched:
    """Returns a command with the strategy that fits its machines, unless it has one or does not train.

    Args:
        launched: The command.
        machines: How many machines train together, if it is `train`. Those of a search train by themselves.
        accelerators: GPUs or TPU chips of each machine.
        where: The settings of the launch that decide, for messages.
        accelerators_key: The one of them that is the number of accelerators.
        is_tpu: Whether the accelerators are TPUs.

    Raises:
        UserError: The given strategy does not fit.
    """
    if launched.name not in (TRAIN, TUNE, CROSSVAL):
        return launched
    is_several = machines > 1 and launched.name == TRAIN
    if is_tpu:
        fitting = "tpu"
    elif is_several:
        fitting = "multi_worker"
    else:
        fitting = "mirrored" if accelerators > 1 else "none"
    if launched.strategy is None:
        return launched if fitting == "none" else launched.adding([f"strategy={fitting}"])
    check(
        (launched.strategy == "multi_worker") == is_several and (launched.strategy == "tpu") == is_tpu,
        key="strategy",
        value=launched.strategy,
        expected=f"{fitting} with {where}, or nothing: it is chosen by these",
    )
    num_devices, most = launched.config.strategy.num_devices, max(accelerators, 1)
    check(
        num_devices is None or num_devices <= most or not accelerators,
        key="strategy.num_devices",
        value=num_devices,
        expected=f"at most {most} with {accelerators_key}={accelerators}",
    )
    return launched
