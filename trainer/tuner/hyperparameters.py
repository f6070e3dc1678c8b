"""A search space as KerasTuner has it."""

from contextlib import ExitStack

import keras_tuner

from trainer.tuner.space import Parameter, Range, Space


def to_hyperparameters(space: Space) -> keras_tuner.HyperParameters:
    """Returns the parameters of a space, each in the scopes of its conditions."""
    hyperparameters = keras_tuner.HyperParameters()
    for parameter in space.parameters:
        with ExitStack() as scopes:
            for condition in space.all_conditions(parameter):
                parent = space.parameter(condition.name)
                values = [parent.encode(value) for value in condition.values]
                scopes.enter_context(hyperparameters.conditional_scope(condition.name, values))
            _add(hyperparameters, parameter)
    return hyperparameters


def _add(hyperparameters: keras_tuner.HyperParameters, parameter: Parameter) -> None:
    domain = parameter.domain
    if isinstance(domain, Range):
        add = hyperparameters.Int if domain.is_whole else hyperparameters.Float
        add(parameter.name, domain.low, domain.high, sampling="log" if domain.is_log else "linear")
    else:
        hyperparameters.Choice(parameter.name, [parameter.encode(value) for value in domain.values])
