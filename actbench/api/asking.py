"""What is said to somebody who works in Python: calls in the place of commands, arguments in that of options."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from actbench.errors import Problem, UserError
from actbench.report import sentences, typed_command
from actbench.report.asking import another
from actbench.report.comparison import Comparison
from actbench.report.configurations import Configuration
from actbench.report.more_command import study_of
from actbench.report.runs import Run
from actbench.report.simultaneous import MIN_SEEDS

if TYPE_CHECKING:
    from actbench.report.verdict import Verdict


class InPython:
    """The parts of a verdict that name what to do next (`report.asking.Asking`), by calls."""

    of_these_images = ""  # which only a command asks about

    def margin(self, points: str) -> str:
        """An argument of `compare` and `load`."""
        return f"margin={points}"

    def more(
        self, verdict: Verdict, configurations: Sequence[Configuration], seeds: int = 0, *, everyone: bool = False
    ) -> str:
        """The call that trained them, with more seeds; it trains what is missing of the others, too."""
        del verdict, everyone
        there = max((one.n for one in configurations), default=0)
        return _same_call([run for one in configurations for run in one.counting], max(there + seeds, MIN_SEEDS))

    def to_go_on(self, unfinished: Iterable[Run]) -> str:
        """The call that trained them."""
        call = _same_call([*unfinished])
        return f"{call[0].upper()}{call[1:]} goes on where they stopped."

    def for_another(self, configuration: Configuration) -> str:
        """The call with another activation beside it."""
        name = configuration.settings.activation.name
        keywords = [f"activations={[name, another(name)]}", *_study(configuration.counting)]
        return f"`actbench.compare` with `{', '.join(keywords)}` compares it with {another(name)}."


IN_PYTHON = InPython()


def told(of: Comparison) -> Comparison:
    """The same, whose verdict speaks to somebody who works in Python."""
    said = sentences.of(of.verdict, of.block, IN_PYTHON)
    return replace(of, verdict=replace(of.verdict, sentences=tuple(said)))


def _same_call(runs: Sequence[Run], seeds: int = 0) -> str:
    """The call that trained some runs, with another number of seeds where one is given."""
    study = _study(runs)
    words = typed_command.words_of(runs)
    if not words or words[0] in typed_command.NOT_TRAINING:
        keywords = [*([f"seeds={seeds}"] if seeds else []), *study]
        return f"the same call with `{', '.join(keywords)}`" if keywords else "the same call"
    number = ["seeds=" if "-m" in words else "num_seeds="] if seeds else []
    left_out = (*(["num_seeds="] if seeds else []), *(["study="] if study else []))
    kept = [word for word in words if not word.startswith(left_out)] if left_out else words
    return f"`{_call(kept, [*(f'{one}{seeds}' for one in number), *study])}`"


def _study(runs: Sequence[Run]) -> list[str]:
    """The argument for the study in which they all are; nothing where they are in several."""
    names = {study_of(run.folder).resolve().name for run in runs}
    return [f"study={name!r}" for name in names] if len(names) == 1 else []


def _call(words: Sequence[str], keywords: Sequence[str] = ()) -> str:
    """The call that does what a command line does.

    >>> print(_call(["-m", "activation=relu,gelu"], ["study='mine'"]))
    actbench.compare("activation=relu,gelu", study='mine')
    """
    overrides = [json.dumps(word, ensure_ascii=False) for word in words if not word.startswith("-")]
    return f"actbench.{'compare' if '-m' in words else 'run'}({', '.join([*overrides, *keywords])})"


# ---------------------------------------------------------------- problems

_COMMAND = re.compile(r"\bactbench((?: (?:-m|'[^']+'|[^\s;']+=[^\s;,]*(?:,[^\s;,]+)*))+)")
_WORDS = (  # of whoever types a command; and of whoever writes a call
    (r"`actbench ([^`]*)`", r"what `actbench \1` shows in a shell"),
    (r"(?<!`)\bactbench (list |--)", r"in a shell, actbench \1"),
    (r"=1 before the command", "=1 in the environment"),
    (r"has no effect without -m", "is for several configurations, which actbench.compare trains"),
    (r"(?<!\w)-m makes (a sweep|one of them)", "actbench.compare in the place of actbench.run"),
    (r"typed again when (.*), the command tries", r"when \1, the same call tries"),
    (r"typed again, the command tries", "the same call tries"),
    (r"\b(the same|the|this) command\b", r"\1 call"),
    (r"where you type\b", "where your program runs"),
    (r"\btyped\b", "given"),
    (r"\btype\b(?= (?:it|them|[\w.]+=))", "give"),
    (r"--margin (?=[\d.]+)", "margin="),
)


def in_python(text: str) -> str:
    """A message about words of a command line, for somebody who gave them as arguments.

    >>> in_python("a race is between several: actbench -m activation=relu,gelu decide.margin=0.1")
    'a race is between several: actbench.compare("activation=relu,gelu", "decide.margin=0.1")'
    >>> in_python("to go on with that:  actbench -m 'study=a b' activation=relu,gelu")
    'to go on with that:  actbench.compare("study=a b", "activation=relu,gelu")'
    >>> in_python("is typed twice; the same command goes on"), in_python("actbench list dataset shows what there is")
    ('is given twice; the same call goes on', 'in a shell, actbench list dataset shows what there is')
    """
    text = _COMMAND.sub(lambda found: _call(shlex.split(found[1])), text)
    for words, instead in _WORDS:
        text = re.sub(words, instead, text)
    return text


def problem_in_python(problem: Problem) -> Problem:
    """The same; `where` is a key, which both have."""
    return replace(problem, what=in_python(problem.what), how=in_python(problem.how))


@contextmanager
def errors_in_python() -> Iterator[None]:
    """Within the block a UserError is raised as somebody who calls it needs it."""
    try:
        yield
    except UserError as error:
        error.problems = tuple(map(problem_in_python, error.problems))
        raise
