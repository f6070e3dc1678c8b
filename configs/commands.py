"""The commands of `beamtune`, in the order in which its help lists them."""

from configs import data_commands, model_commands
from configs.doctor import command as doctor

COMMANDS = {command.name: command for command in (*data_commands.COMMANDS, *model_commands.COMMANDS, doctor.COMMAND)}
