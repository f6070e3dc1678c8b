"""The commands of `beamtune`, in the order in which its help lists them."""

from configs import data_commands, predict_commands, run_commands, training_commands
from configs.doctor import command as doctor
from configs.launch import command as launch

COMMANDS = {
    command.name: command
    for command in (
        *data_commands.COMMANDS,
        *training_commands.COMMANDS,
        *predict_commands.COMMANDS,
        *run_commands.COMMANDS,
        launch.COMMAND,
        doctor.COMMAND,
    )
}
