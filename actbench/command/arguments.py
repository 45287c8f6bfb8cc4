"""The arguments of the subcommands. Their help and their error messages need neither torch nor SciPy."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from actbench.errors import Problem, UserError
from actbench.report import conditions

MIN_SEEDS = 3  # with fewer nothing can be said


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(message, where=self.prog, how=f"{self.prog} --help")


def report(arguments: Sequence[str]) -> argparse.Namespace:
    """The arguments of `actbench report`: paths, margin (float or None), test_set, baseline, per, fail_if, output, ...

    `fail_if` is a `report.conditions.Condition`, or None.

    Raises:
        UserError: they cannot be understood.
    """
    asked = report_parser().parse_args(arguments)
    problems: list[Problem] = []
    for name, read in (("margin", _margin), ("fail_if", conditions.parse)):
        if (typed := getattr(asked, name)) is not None:
            try:
                setattr(asked, name, read(typed))
            except UserError as error:
                problems += error.problems
    if problems:
        raise UserError.of(problems)
    return asked


def _margin(typed: str) -> float:
    """Percentage points above 0; raises a UserError."""
    try:
        value = float(typed)
    except ValueError:
        value = math.nan
    if not 0 < value < 100:
        what = "is not a number of percentage points above 0 and below 100"
        raise UserError(what, where=f"--margin {typed}", how="--margin 0.1: what differs by less is as good")
    return value


def report_parser() -> argparse.ArgumentParser:
    """What `actbench report` accepts, and its help."""
    parser = _Parser(
        prog="actbench report",
        description="Compares runs, from their files alone: which one is better, and which cannot be distinguished.",
        epilog="Writes report.html, report.md, verdict.json, results.csv and plots into PATH/report. "
        "Exit codes: 0; 1 and 2 after an error; with --fail-if, 3 where the condition holds and 4 where these runs "
        "cannot decide it.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "paths",
        nargs="*",
        type=Path,
        default=[Path("outputs")],
        metavar="PATH",
        help="runs, sweeps or studies (default: outputs)",
    )
    parser.add_argument(
        "--margin",
        metavar="POINTS",
        help="percentage points within which configurations are as good as each other (default: the study's, else 0.1)",
    )
    parser.add_argument(
        "--baseline", metavar="NAME", help="compare with it too, besides the best: `relu`, `gelu lr=0.003`"
    )
    parser.add_argument(
        "--test-set",
        choices=("new", "fixed"),
        help="intervals for new seeds and new test images, or for new seeds on these images (default: the study's, "
        "else new)",
    )
    parser.add_argument(
        "--fail-if",
        metavar="CONDITION",
        help='for CI: "gelu worse than relu by 0.2", "relu not best", "undecided"; exits with 3 where it holds, with 4 '
        "where these runs cannot decide it",
    )
    parser.add_argument(
        "--per", metavar="KEY", help="tune each value of KEY on equal terms (default: activation; `none`: do not)"
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FOLDER",
        help="where to write (default: PATH/report; of several paths, the folder above them)",
    )
    parser.add_argument("--full", action="store_true", help="print every table, not only what a screen has room for")
    parser.add_argument("--table", action="store_true", help="print, and write nothing")
    parser.add_argument(
        "--published", action="store_true", help="published figures too, with the runs of the same set-up beside them"
    )
    return parser


def opening(arguments: Sequence[str]) -> argparse.Namespace:
    """The arguments of `actbench open`: study.

    Raises:
        UserError: they cannot be understood.
    """
    if not arguments:
        raise UserError("which study?", where="actbench open", how="actbench open outputs/NAME")
    return opening_parser().parse_args(arguments)


def opening_parser() -> argparse.ArgumentParser:
    """What `actbench open` accepts, and its help."""
    parser = _Parser(
        prog="actbench open",
        description="Opens the page of a study in the browser, and prints its path. The page is made first where there "
        "is none, or where runs were added since.",
        epilog="$BROWSER names the browser. Over ssh and without a display nothing is opened.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "study", type=Path, metavar="STUDY", help="the name or the folder of a study, one of its runs, or a page"
    )
    return parser


def more(arguments: Sequence[str]) -> argparse.Namespace:
    """The arguments of `actbench more`: study, overrides, all, margin, test_set, max_seeds.

    Raises:
        UserError: they cannot be understood.
    """
    if not arguments:
        raise UserError("which study?", where="actbench more", how="actbench more outputs/NAME")
    asked = more_parser().parse_intermixed_args(arguments)
    problems = [
        Problem("is not KEY=VALUE, which may follow the study", word, "one study at a time")
        for word in asked.overrides
        if "=" not in word
    ]
    if asked.margin is not None:
        try:
            asked.margin = _margin(asked.margin)
        except UserError as error:
            problems += error.problems
    if asked.max_seeds is not None and asked.max_seeds < MIN_SEEDS:
        problems.append(Problem(f"is not a number of {MIN_SEEDS} or more", f"--max-seeds {asked.max_seeds}"))
    if problems:
        raise UserError.of(problems)
    return asked


def more_parser() -> argparse.ArgumentParser:
    """What `actbench more` accepts, and its help."""
    parser = _Parser(
        prog="actbench more",
        description="Trains more seeds of what is undecided in a study, in rounds, until it is settled.",
        epilog="What was typed for the runs is in their folders. What would be another configuration today is named.",
        allow_abbrev=False,
    )
    parser.add_argument("study", type=Path, metavar="STUDY", help="the folder of a study: outputs/NAME")
    parser.add_argument(
        "overrides", nargs="*", metavar="KEY=VALUE", help="trust=NAME, train.device=cuda, hydra/launcher=joblib ..."
    )
    parser.add_argument("--all", action="store_true", help="add seeds to all configurations, to decided ones as well")
    parser.add_argument(
        "--margin",
        metavar="POINTS",
        help="percentage points within which all is as good (default: the study's, else 0.1)",
    )
    parser.add_argument(
        "--test-set", choices=("new", "fixed"), help="what it shall hold for (default: the study's, else new)"
    )
    parser.add_argument(
        "--max-seeds", type=int, metavar="N", help="of each configuration (default: 40, or three times what there is)"
    )
    return parser


_SIZES = "64x512,1000x512,64x16x28x28,16x64x56x56"
_DEPTHS = (18, 34, 50, 101, 152)


def kernels(arguments: Sequence[str]) -> argparse.Namespace:
    """The arguments of `actbench kernels`: activations, sizes, device, threads, rounds, compiled, resnet, batch, ...

    Raises:
        UserError: they cannot be understood.
    """
    asked = kernels_parser().parse_args(arguments)
    for name in ("rounds", "batch", "threads"):
        value = getattr(asked, name)
        if value is not None and value < 1:
            raise UserError("is not a number of 1 or more", where=f"--{name} {value}")
    return asked


def kernels_parser() -> argparse.ArgumentParser:
    """What `actbench kernels` accepts, and its help."""
    parser = _Parser(
        prog="actbench kernels",
        description="What an activation costs by itself on this device, beside ReLU and beside copying its input.",
        allow_abbrev=False,
    )
    parser.add_argument("activations", nargs="*", metavar="ACTIVATION", help="(default: all)")
    parser.add_argument("--sizes", default=_SIZES, help=f"shapes, the second axis being the units (default: {_SIZES})")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N, mps")
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's own choice)")
    parser.add_argument("--rounds", type=int, default=7, help="how often each is timed (default: 7)")
    parser.add_argument("--compiled", action="store_true", help="torch.compile them as well (takes minutes)")
    parser.add_argument(
        "--resnet", type=int, choices=_DEPTHS, metavar="DEPTH", help="the share of activations in a ResNet's step too"
    )
    parser.add_argument("--batch", type=int, default=8, help="images in a step of the ResNet (default: 8)")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="(default: outputs/kernels/DEVICE)")
    return parser


def remedies(arguments: Sequence[str]) -> argparse.Namespace:
    """The arguments of `actbench try`: run, finding, only, overrides.

    Raises:
        UserError: they cannot be understood.
    """
    if not arguments:
        raise UserError("which run?", where="actbench try", how="actbench try outputs/STUDY/RUN")
    asked = remedies_parser().parse_args(arguments)
    asked.overrides += [word for word in asked.only or () if word.startswith("trust=")]  # typed behind --only
    asked.only = [word for word in asked.only or () if not word.startswith("trust=")]
    return asked


def remedies_parser() -> argparse.ArgumentParser:
    """What `actbench try` accepts, and its help."""
    parser = _Parser(
        prog="actbench try",
        description="Tries each remedy that the diagnosis of a run offers, with the same seeds: which one cures it, "
        "and what becomes of the accuracy.",
        epilog="Trains in a study of its own beside that of the run, which is only read, and leaves try.json and a "
        "report there. The same command goes on where it was stopped.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "run", type=Path, metavar="RUN", help="the folder of a run, or of a study with one that has findings"
    )
    parser.add_argument(
        "overrides", nargs="*", metavar="KEY=VALUE", help="what has to be typed again: trust=NAME; or train.device=cuda"
    )
    parser.add_argument("--finding", metavar="CODE", help="only what is offered for this finding: dead-units, say")
    parser.add_argument(
        "--only", nargs="+", metavar="REMEDY", help="only these: norm=batch 'init=he_normal init.gain=auto'"
    )
    return parser


_INSTALLING = """\
to have it in every shell:
  bash  eval "$(actbench completion bash)"      a line for ~/.bashrc
  zsh   eval "$(actbench completion zsh)"       a line for ~/.zshrc, below compinit
  fish  actbench completion fish > ~/.config/fish/completions/actbench.fish
"""


def completion(arguments: Sequence[str]) -> argparse.Namespace:
    """The arguments of `actbench completion`: shell.

    Raises:
        UserError: they cannot be understood.
    """
    return completion_parser().parse_args(arguments)


def completion_parser() -> argparse.ArgumentParser:
    """What `actbench completion` accepts, and its help."""
    parser = _Parser(
        prog="actbench completion",
        description="Prints a script with which a shell completes groups, choices, keys, values and options.",
        epilog=_INSTALLING,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("shell", choices=("bash", "zsh", "fish"), help="the shell that you use")
    return parser
