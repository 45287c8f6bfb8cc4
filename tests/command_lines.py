"""Command lines in one process each, without training: what would start is printed instead."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import sys
from dataclasses import dataclass

from hydra import compose

NEVER = (
    "Traceback", "HYDRA_FULL_ERROR", "hydra.cc", "mismatched input", "extraneous input", "no viable alternative",
    "token recognition error", "LexerNoViable",
)  # fmt: skip


@functools.cache
def _composed(name, overrides, return_hydra_config):
    return compose(name, overrides=list(overrides), return_hydra_config=return_hydra_config)


def remembered(name, overrides=(), return_hydra_config=False):
    """Hydra's compose, once for each list of overrides: most lines have most of it in common."""
    return _composed(name, tuple(overrides), return_hydra_config)


@dataclass
class Answer:
    code: int
    text: str


def answer(words, folder, monkeypatch, checked=False) -> Answer:
    """What `actbench WORDS` answers in a folder; `starts: ...` where it would begin to train.

    With `checked`, what is composed is built and checked as well before it would start.
    """
    from actbench import cli
    from actbench.command import auto, planning, showing, starting, training
    from actbench.train import checks

    if not (folder / "conf").exists():
        monkeypatch.setattr(planning, "compose", remembered)

    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys, "argv", ["actbench", *words])
    monkeypatch.setattr(starting, "start", _starts)
    monkeypatch.setattr(showing, "show", lambda flags, overrides: print("starts:", *flags, *overrides))
    monkeypatch.setattr(auto, "decide", lambda: auto.ASSUMED)
    if not checked:
        monkeypatch.setattr(checks, "check", lambda settings, quick, elsewhere: None)  # what is composed is enough
    monkeypatch.setattr(training, "_exit_code_by_files", lambda jobs: 0)
    monkeypatch.setattr(training, "_compare", lambda studies, **_told: 0)
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            cli.main()
            code = 0
        except SystemExit as ended:
            code = ended.code or 0
    os.chdir("/")
    return Answer(code, out.getvalue())


def _starts(jobs, overrides, command, *, multirun, terms, begin):  # noqa: ARG001
    print("starts:", *(["--multirun"] if multirun else []), *overrides)
    return jobs


def check(given: Answer, folder, before=()) -> None:
    """What holds for every answer: an exit code of ours, nothing of a parser or a traceback, nothing written."""
    assert given.code in (0, 2), given.text
    for words in NEVER:
        assert words not in given.text, given.text
    assert given.text.startswith("error: ") == (given.code == 2) or "replaced by" in given.text, given.text
    assert sorted(path.name for path in folder.iterdir()) == sorted(before)
