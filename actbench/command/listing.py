"""`actbench list`: all choices, those of a group, or one choice. Reads only the files of `conf/`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from actbench.choices import (
    Listed,
    Parameter,
    builds,
    choices_of,
    contents,
    groups,
    parameters_of,
    usual_choices,
)
from actbench.command import glossary, rules
from actbench.command.columns import rows, width, wrapped
from actbench.command.suggestions import choice_meant
from actbench.custom import sweep_lines
from actbench.errors import Problem, UserError, printable
from actbench.files.output import ShowingConsole

_HELP = """\
usage: actbench list [GROUP | CHOICE | measures | findings | FINDING ...]
       actbench list sites model=mynet:Net [KEY=VALUE ...]

All groups, the choices of a GROUP (activation), or a CHOICE with its parameters (relu, activation=relu).
`measures` are all measured quantities with their definitions, `findings` what a run is examined for, and a FINDING
(dead-units) is explained: what, why, an example, and what helps. `sites` are the activations of a network of your own,
and what would be exchanged, without training it."""
_PRESETS = ("experiment", "sweep", "search")  # their files set other groups' keys
_UPPER = "upper_activation"


def show(arguments: Sequence[str]) -> int:
    """Prints all groups, or what is named; returns the exit code.

    A choice is named by itself (`relu`: in each group that has a choice of that name), behind its group, as one types
    it (`activation=relu`), or by what else it is called (`lrelu`).

    Raises:
        UserError: there is no such group, choice or finding; with all of those that there are not.
    """
    console = ShowingConsole(highlight=False, soft_wrap=True)
    if {"--help", "-h"} & {*arguments}:
        console.print(_HELP, markup=False)
        return 0
    if arguments[:1] == ["sites"]:
        from actbench.command import site_listing  # and with it Hydra

        site_listing.show(arguments[1:], console)
        return 0
    asked = _asked(arguments)
    for group in groups() if not arguments else ():
        _show_group(group, console)
    for topic in asked:
        if isinstance(topic, Listed):
            _show_choice(topic, console)
        elif topic in glossary.TOPICS or topic in glossary.codes():
            glossary.show(topic, console)
        else:
            _show_group(topic, console)
    if not arguments:
        how = "actbench GROUP=CHOICE ...; actbench list CHOICE shows its parameters, GROUP.PARAMETER=VALUE"
        console.print("\n" + "\n".join(wrapped(how, width())))
        how = "actbench list measures: what is measured, with definitions; actbench list findings: what is diagnosed"
        console.print("\n".join(wrapped(how, width())))
    return 0


def _asked(arguments: Sequence[str]) -> list[str | Listed]:
    """The groups, choices and topics that some words name."""
    known = [*groups(), _UPPER, *glossary.TOPICS]
    asked: list[list[str | Listed]] = []  # by each word
    problems = []
    before = ""
    for word in (part for argument in arguments for part in argument.split("=")):
        meant: list[str | Listed] = [word] if word in known else []
        name = (choice_meant(before, word, alike=False) or word) if before in (*groups(), _UPPER) else ""
        if name and any(choice.name == name for choice in _choices(before)):
            if before in asked[-1]:
                asked.pop()  # the group was named for the sake of its choice
            meant = [*(choice for choice in _choices(before) if choice.name == name), *meant]
        else:
            before = word if word in known else ""
            meant += _anywhere(word)
        if not meant:
            problems.append(Problem("there is no such group or choice", word, _near(word, known)))
        asked.append(meant)
    if problems:
        raise UserError.of(problems)
    return [topic for meant in asked for topic in meant]


def _anywhere(word: str) -> list[str | Listed]:
    """The choices of that name in all groups, or the finding; else those that are also called so."""
    named: list[str | Listed] = [choice for group in groups() for choice in choices_of(group) if choice.name == word]
    named += [word] if word in glossary.codes() else []
    also = {group: choice_meant(group, word, alike=False) for group in groups()} if not named else {}
    return named or [choice for group in also for choice in choices_of(group) if choice.name == also[group]]


def _choices(group: str) -> list[Listed]:
    return choices_of("activation" if group == _UPPER else group)


def _near(word: str, known: Sequence[str]) -> str:
    names = [*glossary.codes(), *(choice.name for group in groups() for choice in choices_of(group))]
    near = difflib.get_close_matches(word.lower(), dict.fromkeys([*known, *names]), n=3, cutoff=0.65)
    if near:
        return f"did you mean {' or '.join([', '.join(near[:-1]), near[-1]] if near[1:] else near)}?"
    return "groups: " + ", ".join(known)


def _show_group(group: str, console: Console) -> None:
    usual = usual_choices()
    pairs = [("none", "the activation of the lower half (default)")] if group == _UPPER else []
    for choice in _choices(group):
        marks = " (default)" * (usual.get(group) == choice.name) + " (yours)" * choice.own
        pairs.append((choice.name, choice.description + marks))
    if group == "model":
        pairs.append(("mynet:Net", "a network of your own: the class or function Net of your mynet.py"))
    console.print(Text(group, style="bold"))
    for line in rows(pairs, width()):
        console.print(Text(line))


# ---------------------------------------------------------------- one choice


def _show_choice(choice: Listed, console: Console) -> None:
    room = width()
    marks = " (default)" * (usual_choices().get(choice.group) == choice.name) + " (yours)" * choice.own
    console.print(Text.assemble((f"{choice.group}={choice.name}", "bold"), marks))
    for line in wrapped(choice.description, room, indent="  "):
        console.print(Text(line))
    if choice.group not in _PRESETS:
        pairs = [(f"{choice.group}.{item.name}", _described(item)) for item in parameters_of(choice)]
        head = "parameters, with their defaults" if pairs else "no parameters"
        console.print("\n".join(wrapped(head, room, indent="  ")))
        for line in rows(pairs, room, indent=4):
            console.print(Text(line))
    for line in rows(_how_to_type(choice), room, left=8):
        console.print(Text(line))


def _described(parameter: Parameter) -> str:
    """`0.01` and the comment, which says what it may be."""
    follows = re.fullmatch(r"\$\{(.+)\}", parameter.default)
    default = f"as {follows[1]}" if follows else parameter.default
    return "  ".join(filter(None, [default, rules.in_words(parameter.comment, parameter.default)]))


def _example(choice: Listed, parameter: Parameter) -> str | None:
    """The override that a comment gives as an example: `the file: dataset.path=mnist.npz`."""
    found = re.search(rf"\b{choice.group}\.{parameter.name}=[^\s;,)]+", parameter.comment)
    return found[0] if found else None


def _how_to_type(choice: Listed) -> Iterator[tuple[str, str]]:
    typed = f"{choice.group}={choice.name}"
    if choice.group == "sweep":
        content = contents(choice)
        lines = content.get(sweep_lines.KEY)
        for line in lines if isinstance(lines, list) else ():
            yield "trains", printable(" ".join(str(line).split()))
        for key, values in _flat({key: value for key, value in content.items() if key != sweep_lines.KEY}).items():
            yield "sweeps", f"{key.removeprefix('hydra.sweeper.params.')}: {values.replace(',', ', ')}"
        yield "type", f"actbench -m +{typed}"
        singular = choice.name.removesuffix("s")
        if singular in groups():
            yield "see", f"actbench list {singular}: its choices"
        return
    if choice.group == "search":
        yield "type", f"actbench -m +{typed} 'optimizer.lr=tag(log,interval(1e-4,1e-1))' activation=relu,gelu"
        yield "keys", "hydra.sweeper.n_trials=20, .storage=URL, .study_name=NAME, .sampler.seed=0"
        yield "or", "hydra/sweeper/pruner=median or wilcoxon: gives trials up by epoch"
        return
    if choice.group == "experiment":
        yield "sets", " ".join(f"{key}={value}" for key, value in _flat(contents(choice)).items())
        yield "type", f"actbench {typed}; whatever is typed behind it changes it"
        return
    if choice.group == "activation" and contents(choice).get("_target_") is None:  # of a network of the user's own
        yield "type", f"actbench {typed} model=mynet:Net"
        return
    if builds(choice):
        yield "builds", builds(choice)
    parameters = [item for item in parameters_of(choice) if not item.default.startswith("$")]
    parameters.sort(key=lambda item: re.match(r"-?[\d.]+$", item.default) is None)  # a number shows best how it is done
    parameters.sort(key=lambda item: _example(choice, item) is None)  # unless a comment shows it
    yield (
        "type",
        " ".join(
            [
                "actbench",
                typed,
                *(_example(choice, item) or f"{choice.group}.{item.name}={item.default}" for item in parameters[:1]),
            ]
        ),
    )
    if choice.group == "activation":
        yield "or", f"actbench {_UPPER}={choice.name}: for the upper half of the network alone"
    if choice.own:
        yield "file", str(choice.path)


def _flat(content: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Key -> value as it is typed; of `defaults` the groups that are chosen."""
    flat: dict[str, str] = {}
    for key, value in content.items():
        if key == "defaults" and not prefix:
            chosen = [entry for entry in value or () if isinstance(entry, dict)]
            flat |= {str(name).split("/")[-1]: str(picked) for entry in chosen for name, picked in entry.items()}
        elif isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = str(value).replace(" ", "").replace("None", "null")
    return flat
