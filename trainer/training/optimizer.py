"""AdamW and its learning rate."""

import keras

from trainer.training.config import OptimizerConfig

# Names of the weights without decay: a smaller bias or normalisation scale does not make a model simpler.
_UNDECAYED_WEIGHTS = ["bias", "gamma", "beta"]


def make_schedule(
    config: OptimizerConfig, *, epochs: int, steps_per_epoch: int
) -> keras.optimizers.schedules.CosineDecay:
    """Returns the learning rate by step: a linear rise, and then what `schedule` says.

    That is half a cosine down to 0 at the end of the last epoch, or the highest rate. The rise starts at the highest
    rate divided by the number of warm-up steps, because a first step at rate 0 would change nothing. A warm-up that is
    as long as the run or longer ends one step before the run, unless the rate stays, and then depends on no `epochs`.
    """
    warmup_steps = round(config.warmup_epochs * steps_per_epoch)
    if config.schedule == "constant":
        # A cosine from the highest rate to the same one.
        decay_steps, share_at_end = 1, 1.0
    else:
        num_steps = epochs * steps_per_epoch
        warmup_steps = min(warmup_steps, num_steps - 1)
        decay_steps, share_at_end = num_steps - warmup_steps, 0.0
    if warmup_steps == 0:
        return keras.optimizers.schedules.CosineDecay(config.learning_rate, decay_steps=decay_steps, alpha=share_at_end)
    return keras.optimizers.schedules.CosineDecay(
        config.learning_rate / warmup_steps,
        decay_steps=decay_steps,
        alpha=share_at_end,
        warmup_target=config.learning_rate,
        warmup_steps=warmup_steps,
    )


def make_optimizer(
    config: OptimizerConfig,
    *,
    epochs: int,
    steps_per_epoch: int,
    ema_decay: float | None = None,
    scales_loss: bool = False,
) -> keras.optimizers.Optimizer:
    """Returns AdamW without gradient clipping: the training loop clips the gradient over all replicas.

    Args:
        config: Learning rate and weight decay.
        epochs: Length of the run.
        steps_per_epoch: Updates in an epoch.
        ema_decay: The decay of the moving average of the weights; None keeps no average.
        scales_loss: Whether the loss is scaled dynamically, so that gradients do not underflow in float16.
    """
    optimizer = keras.optimizers.AdamW(
        learning_rate=make_schedule(config, epochs=epochs, steps_per_epoch=steps_per_epoch),
        weight_decay=config.weight_decay,
        use_ema=ema_decay is not None,
        ema_momentum=0.0 if ema_decay is None else ema_decay,
    )
    optimizer.exclude_from_weight_decay(var_names=_UNDECAYED_WEIGHTS)
    return keras.optimizers.LossScaleOptimizer(optimizer) if scales_loss else optimizer
