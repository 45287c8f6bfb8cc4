"""Completions of a partly typed command, for shells.

Only the files of `conf/` are read: neither Hydra nor torch nor a YAML parser is imported, so that Tab answers at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from actbench.choices import Listed, choices_of, groups, parameters_of, plain_parameters
from actbench.command import arguments, own_models
from actbench.command.candidates import Candidate as Candidate
from actbench.command.candidates import options, plain
from actbench.command.chosen import chosen, parameters
from actbench.command.rules import in_words, plain_rules, rule_of
from actbench.settings import GROUPS

COMMANDS = {
    "list": "what can be chosen",
    "report": "the comparison again, from files",
    "open": "the page of a study, in the browser",
    "more": "more seeds for what is undecided in a study",
    "try": "the remedies of a run's diagnosis, tried",
    "kernels": "what each activation costs on this device",
    "completion": "the script for a shell",
}
FLAGS = {
    "-m": "a sweep over comma-separated values",
    "--multirun": "a sweep over comma-separated values",
    "--detach": "ends when the jobs are in Slurm's queue",
    "--cfg": "print the configuration as it would run",
    "--help": "what can be typed",
    "--version": "print the version",
    "--hydra-help": "what Hydra's own flags do",
}
SHELLS = ("bash", "zsh", "fish")
FOLDERS = "folders"  # in place of words: what follows is the path of a folder

_OF_KEYS = ("train", "decide")  # groups of keys that are no choices
_OF_SEARCH = (
    "hydra.sweeper.n_trials", "hydra.sweeper.n_jobs", "hydra.sweeper.storage", "hydra.sweeper.study_name",
    "hydra.sweeper.sampler.seed", "hydra/sweeper/pruner",
)  # fmt: skip
_OF_HYDRA = {  # choice of Hydra's -> the keys that it brings
    "hydra/launcher=joblib": ("hydra.launcher.n_jobs",),
    "hydra/launcher=slurm": (
        "hydra.launcher.partition",
        "hydra.launcher.timeout_min",
        "hydra.launcher.cpus_per_task",
        "hydra.launcher.gpus_per_node",
        "hydra.launcher.mem_gb",
        "hydra.launcher.array_parallelism",
    ),
    "hydra/sweeper=optuna": _OF_SEARCH,
    **{f"+search={name}": _OF_SEARCH for name in ("tpe", "random", "grid", "cmaes", "nsgaii")},
}


# ---------------------------------------------------------------- what may follow


def candidates(words: Sequence[str], current: str) -> list[Candidate] | str:
    """What may stand in the place of `current`, each beginning with it, or FOLDERS where that is a path.

    Args:
        words: the others of the command line, without the command itself; those before the cursor come first.
        current: what has been typed of the word at the cursor.
    """
    command = words[0] if words and words[0] in COMMANDS else ""
    answer = _SUBCOMMANDS[command](words[1:], current) if command else _training(words, current)
    if isinstance(answer, str):
        return answer
    return [candidate for candidate in answer if candidate.word.startswith(current) and candidate.word != ""]


def _training(words: Sequence[str], current: str) -> Iterable[Candidate] | str:
    if words and words[-1] == "--cfg":
        return plain(("job", "hydra", "all"))
    if current.startswith("-"):
        return [Candidate(flag, description) for flag, description in FLAGS.items() if flag not in words]
    key, equals, value = current.partition("=")
    if equals:
        return _values(words, key, value)
    first = [] if words else [Candidate(name, description) for name, description in COMMANDS.items()]
    return [*first, *_keys(words, current)]


def _keys(words: Sequence[str], current: str) -> list[Candidate]:
    """The keys that can be typed; those that have been are left out."""
    typed = {word.partition("=")[0] for word in words}
    group, dot, _ = current.partition(".")
    if dot and group in GROUPS:
        keys = [(f"{group}.{name}", description) for name, description in parameters(words, group)]
    else:
        keys = [(group, "") for group in groups() if group not in ("sweep", "search")] + [("upper_activation", "")]
        keys += [(key, description) for key, description in _plain_keys() if dot or "." not in key]
        keys += [("hydra/launcher", ""), ("hydra/sweeper", "")] if _sweeps(words) or current.startswith("h") else []
        keys += [("hydra/sweeper/sampler", "")] if "hydra/sweeper=optuna" in words else []
        keys += [(key, "") for chosen, own in _OF_HYDRA.items() if chosen in words for key in own]
    found = [
        Candidate(f"{key}=", description, open=True) for key, description in dict(keys).items() if key not in typed
    ]
    if current and not dot:  # a key has others below it
        below = {key.partition(".")[0] for key, _ in _plain_keys() if "." in key}
        below |= {group for group in GROUPS if group.startswith(current) and parameters(words, group)}
        found += [Candidate(f"{key}.", open=True) for key in sorted(below)]
    elif not dot:
        found += [Candidate(f"{key}.", open=True) for key in _OF_KEYS if key == "train" or _sweeps(words)]
    if "+sweep" not in typed and (current.startswith("+") or _sweeps(words)):
        found.append(Candidate("+sweep=", "a preset sweep, with -m", open=True))
    if "+search" not in typed and (current.startswith("+") or _sweeps(words)):
        found.append(Candidate("+search=", "a search by validation accuracy, with -m", open=True))
    return found


def _values(words: Sequence[str], key: str, value: str) -> list[Candidate] | str:
    """Whole words `key=...` for what a key may hold; behind a comma, the further values of a sweep."""
    if key == "output_dir":
        return FOLDERS
    known = _held(words, key)
    if key == "model" and ":" in (begun := value.rpartition(",")[2]):
        known = dict.fromkeys(own_models.beginning_with(begun), "")
    done, comma, _ = value.rpartition(",")
    before = f"{key}={done}{comma}"
    used = done.split(",") if comma else []
    single = key in ("experiment", "+sweep", "+search", "study") or key.startswith("hydra")
    if comma and single and key != "experiment":
        return []
    goes_on = _sweeps(words) and not single  # a comma may follow
    return [
        Candidate(before + word, description, open=goes_on) for word, description in known.items() if word not in used
    ]


def _held(words: Sequence[str], key: str) -> dict[str, str]:
    """What a key may hold -> what that is."""
    group, _, parameter = key.partition(".")
    if key in ("+sweep", "+search"):
        return _described(choices_of(key.lstrip("+")))
    if key in ("hydra/launcher", "hydra/sweeper", "hydra/sweeper/sampler", "hydra/sweeper/pruner"):
        return dict.fromkeys(_plugins(key), "")
    if key == "upper_activation":
        return {"none": "", **_described(choices_of("activation"))}
    if key in groups() and key not in ("sweep", "search"):
        return _described(choices_of(key))
    if key == "study":
        return dict.fromkeys(_studies(words), "")
    if group in GROUPS and parameter:
        items = [item for choice in chosen(words, group) for item in parameters_of(choice) if item.name == parameter]
        return {word: "" for item in items for word in rule_of(group, parameter, item.default, item.comment).words}
    if key == "hydra.sweeper.direction":
        return {"maximize": ""}
    rules = plain_rules()
    return dict.fromkeys(rules[key].words if key in rules else (), "")


def _described(choices: Iterable[Listed]) -> dict[str, str]:
    return {choice.name: choice.description for choice in choices}


def _plain_keys() -> list[tuple[str, str]]:
    """The keys that are in no group, with what is said of them."""
    keys = [key for key in plain_parameters() if key.name not in _OF_KEYS]
    return [(key.name, in_words(key.comment, key.default, ranges=False) or key.default) for key in keys]


def _sweeps(words: Sequence[str]) -> bool:
    return "-m" in words or "--multirun" in words


def _studies(words: Sequence[str]) -> list[str]:
    """Folders with runs, in the folder of outputs."""
    output = next((word.partition("=")[2] for word in words if word.startswith("output_dir=")), "outputs")
    names = {path.parent.parent.name for path in Path(output).glob("*/*/settings.yaml")}
    return sorted(name for name in names if re.fullmatch(r"[\w.+-]+", name))  # others need quotes


def _plugins(key: str) -> list[str]:
    """What is installed for one of Hydra's groups, by the texts of its plugins."""
    from importlib.util import find_spec

    spec = find_spec("hydra_plugins")
    folders = spec.submodule_search_locations or () if spec else ()
    texts = [path.read_text(encoding="utf-8") for folder in folders for path in Path(folder).glob("*/*.py")]
    pattern = rf"""group=["']{key}["'],\s*name=["'](\w+)["']"""
    names = {name for text in texts for name in re.findall(pattern, text)}
    ours = {
        "hydra/launcher": {"basic", *({"slurm"} if "submitit_slurm" in names else ())},
        "hydra/sweeper": {"basic", "optuna", "race"},
        "hydra/sweeper/sampler": {"tpe", "random", "grid", "cmaes", "nsgaii"},
        "hydra/sweeper/pruner": {"none", "median", "wilcoxon"},
    }
    return sorted(names | ours.get(key, set()))


# ---------------------------------------------------------------- subcommands


def _of_list(words: Sequence[str], current: str) -> list[Candidate] | str:
    """Groups and choices; behind a group its own choices first."""
    from actbench.command import glossary

    names = dict.fromkeys((*groups(), "upper_activation"), "a group")
    names |= {"measures": "what is measured", "findings": "what is diagnosed"}
    names |= {"sites": "the activations of a network of your own"}
    before = words[-1] if words else ""
    if words[:1] == ["sites"]:
        return _of_sites(words[1:], current)
    if before == "findings":
        names = {**glossary.codes(), **names}
    elif before in names:
        group = "activation" if before == "upper_activation" else before
        names = {**_described(choices_of(group)), **names}
    elif current:
        names = {**glossary.codes(), **names}
        for group in groups():
            names = {**_described(choices_of(group)), **names}
    return [Candidate(name, what) for name, what in names.items() if name not in words]


def _of_sites(words: Sequence[str], current: str) -> list[Candidate] | str:
    """KEY=VALUE as for training; first of all the network."""
    key, equals, value = current.partition("=")
    if equals:
        return _values(words, key, value)
    keys = _keys(words, current)
    return keys if any(word.startswith("model=") for word in words) else [key for key in keys if key.word == "model="]


def _of_report(words: Sequence[str], current: str) -> list[Candidate] | str:
    keys = [*(group for group in GROUPS if group != "dataset"), *(key for key, _ in _plain_keys()), "none"]
    values = {"--baseline": [choice.name for choice in choices_of("activation")], "--per": keys, "--output": FOLDERS}
    return options(arguments.report_parser(), words, current, values, FOLDERS)


def _of_open(words: Sequence[str], current: str) -> list[Candidate] | str:
    if words or current.startswith("-") or "/" in current:
        return options(arguments.opening_parser(), words, current, {}, FOLDERS)
    return plain(_studies(())) or FOLDERS


def _of_more(words: Sequence[str], current: str) -> list[Candidate] | str:
    return options(arguments.more_parser(), words, current, {}, FOLDERS)


def _of_kernels(words: Sequence[str], current: str) -> list[Candidate] | str:
    activations = [choice.name for choice in choices_of("activation")]
    values: dict[str, Sequence[str] | str] = {"--device": plain_rules()["train.device"].words, "--output": FOLDERS}
    return options(arguments.kernels_parser(), words, current, values, activations)


def _of_try(words: Sequence[str], current: str) -> list[Candidate] | str:
    from actbench.command import glossary

    if current.startswith("t"):
        return [Candidate("trust=", "a package of yours, typed again", open=True)]
    return options(arguments.remedies_parser(), words, current, {"--finding": [*glossary.codes()]}, FOLDERS)


def _of_completion(words: Sequence[str], current: str) -> list[Candidate] | str:
    return options(arguments.completion_parser(), words, current, {}, () if {*words} & {*SHELLS} else SHELLS)


_SUBCOMMANDS: dict[str, Callable[[Sequence[str], str], list[Candidate] | str]] = {
    "list": _of_list,
    "report": _of_report,
    "open": _of_open,
    "more": _of_more,
    "try": _of_try,
    "kernels": _of_kernels,
    "completion": _of_completion,
}
