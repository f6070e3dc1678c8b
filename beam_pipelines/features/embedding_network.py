"""A network that the user brings, whatever runs it: its inputs and outputs, and how one of each is chosen."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from beam_pipelines.common.checks import check_choice
from beam_pipelines.common.errors import UserError

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Port:
    """An input or an output of a network.

    Attributes:
        name: Its name.
        shape: Its sizes, None where any is accepted; None for any number of axes.
        dtype: The numpy name of its type, such as "float32".
    """

    name: str
    shape: Shape | None
    dtype: str


@dataclass(frozen=True)
class OwnNetwork:
    """A network with one input and one output, on the CPU.

    Attributes:
        input: Its input.
        run: From an array of the input's shape and type to the output. Thread-safe, and equal inputs give equal bits.
        graph: For a network of TensorFlow: given the sizes of the input, returns the same as a function for graphs of
            TensorFlow, without variables; None for other networks.
    """

    input: Port
    run: Callable[[npt.NDArray[Any]], npt.NDArray[Any]]
    graph: Callable[[Shape], Callable[[Any], Any]] | None = None


def only_input(ports: Sequence[Port], *, name: str | None, key: str) -> Port:
    """Returns the input of a network.

    Args:
        ports: Its inputs.
        name: The name in the settings; None if they have none.
        key: The key of the feature, for messages.

    Raises:
        UserError: It has not exactly one input, or that has another name.
    """
    names = [port.name for port in ports]
    if len(names) != 1:
        raise UserError(
            f"{key}.path: the network has {len(names)} inputs ({', '.join(names) or 'none'}), expected one: export it "
            "with the audio as its only input"
        )
    if name is not None:
        check_choice(name, names, key=f"{key}.input_name")
    return ports[0]


def chosen_output(names: Sequence[str], *, name: str | None, key: str) -> int:
    """Returns the index of the output of the settings.

    Args:
        names: The names of the outputs.
        name: The name in the settings; None is the only output.
        key: The key of the feature, for messages.

    Raises:
        UserError: There is no such output, or there are several and the settings name none.
    """
    if name is not None:
        check_choice(name, names, key=f"{key}.output_name")
        return list(names).index(name)
    if len(names) != 1:
        raise UserError(
            f"{key}.output_name is not set, and the network has {len(names)} outputs ({', '.join(names) or 'none'}): "
            "choose one"
        )
    return 0
