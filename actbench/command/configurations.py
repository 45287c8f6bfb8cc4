"""A preset that lists configurations, one a line, in place of a product (`custom/sweep_lines.py` has the form).

What else is swept multiplies them: each line with each value. The parts of a line belong together, so that a key which
a line sets cannot be typed beside the preset.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig

from actbench.choices import Listed, choices_of
from actbench.command.override import TypedOverride, key_of, read
from actbench.command.quoting import as_typed, for_hydra
from actbench.command.suggestions import brief, counted, enumerated
from actbench.custom import conf_files
from actbench.custom.sweep_lines import KEY, words_of
from actbench.errors import Problem
from actbench.files.reading import parse_yaml
from actbench.settings import GROUPS

_FEW = 3  # lines that are named in one message


@dataclass(frozen=True)
class Line:
    """One line of a preset: its text, the file that it is in, and its overrides in Hydra's grammar."""

    text: str
    file: str
    overrides: tuple[TypedOverride, ...]

    @property
    def shown(self) -> str:
        """For a message."""
        return f"{self.file}, `- {brief(self.text)}`"


def presets_of(overrides: Sequence[TypedOverride]) -> list[Listed]:
    """The presets that `+sweep=NAME` or `+sweep=[A,B]` choose."""
    named: list[Any] = []
    for override in overrides:
        if override.key == "sweep" and override.parsed is not None and not override.is_sweep:
            value = override.parsed.value()
            named += value if isinstance(value, list) else [value]
    return [choice for name in map(str, named) for choice in choices_of("sweep") if choice.name == name]


def contents(preset: Listed) -> Any:
    """The checked file of a preset as YAML.

    Raises:
        UserError: something in it is not allowed.
    """
    return parse_yaml(conf_files.load(preset.path, f"sweep/{preset.name}"))


def listing(presets: Sequence[Listed]) -> list[Listed]:
    """Those of some presets that list configurations."""
    return [preset for preset in presets if isinstance(found := contents(preset), dict) and KEY in found]


def lines_of(config: DictConfig, overrides: Sequence[TypedOverride]) -> tuple[list[Line], list[Problem]]:
    """The lines of the chosen preset, and what is wrong with them beside what is typed.

    Args:
        config: what Hydra composes of what is fixed.
        overrides: all of the command, with what presets sweep.
    """
    if KEY not in config:
        return [], []
    presets = presets_of(overrides)
    having = listing(presets)
    typed = next((as_typed(o.text) for o in overrides if o.key == "sweep"), KEY)
    if len(having) > 1:
        names = enumerated([preset.name for preset in having])
        return [], [Problem(f"{names} list configurations, each of its own", typed, "one of them, or a file with all")]
    file = str(conf_files.near((having or presets)[0].path)) if presets else typed
    lines = [
        Line(" ".join(text.split()), file, tuple(read(for_hydra(word, multirun=True)) for word in words_of(text)))
        for text in config[KEY]
    ]
    return lines, [*_typed_beside(lines, overrides)]


def _typed_beside(lines: Sequence[Line], overrides: Sequence[TypedOverride]) -> Iterator[Problem]:
    for override in overrides:
        setting = [line for line in lines if override.key in {own.key for own in line.overrides}]
        if setting:
            what = f"is set by {counted(len(setting), 'line')} already: {_named(setting)}"
            yield Problem(what, as_typed(override.text), "leave it out, or change it in the file")


def keys_set(lines: Sequence[Line]) -> set[str]:
    """The keys that at least one line sets."""
    return {override.key for line in lines for override in line.overrides}


def chosen_by(presets: Sequence[Listed]) -> set[str]:
    """The groups in which lines of some presets choose, and `experiment`, which chooses in several."""
    lines = [line for preset in listing(presets) for line in contents(preset)[KEY]]
    return {key_of(word) for line in lines for word in words_of(line)} & {*GROUPS, "experiment"}


def in_a_search(lines: Sequence[Line], preset: TypedOverride) -> Problem:
    """The problem of a search beside a preset that lists configurations."""
    how = "a search chooses from values: type them, or leave hydra/sweeper=... out"
    return Problem(f"lists {len(lines)} configurations, from which a search cannot choose", as_typed(preset.text), how)


def placed(problems: Sequence[Problem], lines: Sequence[Line]) -> list[Problem]:
    """The problems, of which those with what a line sets say in which line; they have to be mended in the file."""
    return [_placed(problem, lines) for problem in problems]


def _placed(problem: Problem, lines: Sequence[Line]) -> Problem:
    same = [line for line in lines if any(as_typed(o.text) == problem.where for o in line.overrides)]
    same = same or [line for line in lines if any(o.key == key_of(problem.where) for o in line.overrides)]
    if not same or not problem.where or problem.what.startswith("is set by"):
        return problem
    more = f" (and {counted(len(same) - 1, 'more line')})" if len(same) > 1 else ""
    return Problem(f"{problem.where}: {problem.what}", f"{same[0].shown}{more}", problem.how)


def _named(lines: Sequence[Line]) -> str:
    shown = [f"`- {brief(line.text)}`" for line in lines[:_FEW]]
    return f"{lines[0].file}, {', '.join(shown)}{', ...' if len(lines) > _FEW else ''}"
