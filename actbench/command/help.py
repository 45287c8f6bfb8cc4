"""`actbench --help`, and the first two lines of a bare `actbench`. Reads only the files of `conf/`."""

from __future__ import annotations

from rich.text import Text

from actbench.choices import choices_of, groups, plain_parameters, usual_choices, usual_values
from actbench.command import rules
from actbench.command.columns import rows, width, wrapped
from actbench.files.output import ShowingConsole

_COMMANDS = (
    ("actbench activation=leaky_relu", "train 5 seeds together; ends with a table"),
    ("actbench -m activation=relu,leaky_relu,gelu", "a sweep: one run for each, and a comparison"),
    ("actbench experiment=article_mlp activation=elu", "a published set-up with one thing changed"),
    ("actbench -m +sweep=activations", "a preset sweep; ends in one comparison"),
    ("actbench -m activation=relu,gelu decide.margin=0.1", "a race: seeds in rounds until it is decided to 0.1 points"),
    ("actbench more outputs/STUDY", "more seeds for what is undecided, until it is settled (--help)"),
    ("actbench report PATH ...", "the comparison again, from files (--help shows how)"),
    ("actbench open STUDY", "its page in the browser"),
    ("actbench try RUN", "try each remedy that its diagnosis offers (--help shows how)"),
    ("actbench kernels", "what each activation costs on this device (--help shows how)"),
    ("actbench list [GROUP|CHOICE ...]", "what can be chosen, with one line each; of a choice its parameters"),
    ("actbench list measures|findings", "what is measured and diagnosed, with definitions"),
    ("actbench completion bash|zsh|fish", "the shell completes all of this (--help shows how)"),
    ("tensorboard --logdir outputs", "look inside"),
)

_FLAGS = (
    ("-m, --multirun", "a sweep over comma-separated values"),
    ("--detach", "with -m hydra/launcher=slurm: ends when the jobs are queued; the same command follows them"),
    ("--cfg job", "print the configuration as it would run, and stop"),
    ("--version", "print the version"),
    ("--hydra-help", "what Hydra's own flags do (launchers, ...)"),
)


def show() -> int:
    """Prints what can be typed; returns the exit code."""
    room = width()
    usual = usual_choices()
    lines = wrapped("actbench: which activation function should I use here, and why does this one fail?", room)
    lines += ["", "Usage", *rows(_COMMANDS, room)]
    lines += ["", *wrapped("Choices (GROUP=CHOICE; parameters are GROUP.PARAMETER=VALUE)", room)]
    choices = []
    for group in groups():
        names = [choice.name + " (default)" * (choice.name == usual.get(group)) for choice in choices_of(group)]
        choices.append((group, ", ".join(names)))
        if group == "activation":
            choices.append(("upper_activation", "none (default), or any activation: for the upper half of the network"))
    lines += rows(choices, room)
    lines += ["", *wrapped("Keys and their defaults (KEY=VALUE)", room), *_keys(room)]
    lines += ["", "Flags", *rows(_FLAGS, room)]
    console = ShowingConsole(highlight=False, soft_wrap=True)
    for line in lines:
        console.print(Text(line))
    return 0


def _keys(room: int) -> list[str]:
    """What `config.yaml` has between the list of groups and what concerns Hydra alone, as one types it."""
    pairs = []
    for key in plain_parameters():
        default = "(a time stamp)" if key.default.startswith("$") else key.default
        if default:
            pairs.append((f"{key.name}={default}", rules.in_words(key.comment, key.default, ranges=False)))
        elif key.comment:  # of keys below it, and a switch itself
            pairs.append((f"{key.name}=true", key.comment))
    return rows(pairs, room)


def of_a_bare_command() -> tuple[str, str]:
    """Two lines: what is trained where nothing is chosen, and how to choose."""
    chosen, values = usual_choices(), usual_values()
    return (
        f"nothing chosen, so: activation={chosen['activation']}, model={chosen['model']}, {values['num_seeds']} seeds, "
        f"{values['train.epochs']} epochs, MNIST or else the digits",
        "to choose: actbench activation=gelu; -m activation=relu,gelu; actbench list; actbench --help",
    )
