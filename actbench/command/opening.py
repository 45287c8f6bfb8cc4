"""`actbench open STUDY`: the page of a study in the browser, made first where it lacks runs; its path in any case."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

from actbench.command import arguments, task_function
from actbench.command.complaints import complain
from actbench.errors import Problem, UserError
from actbench.files.output import telling
from actbench.report import pages

_OUTPUTS = Path("outputs")
_TEXT = ("w3m", "lynx", "links", "links2", "elinks", "browsh", "www-browser")  # would take the terminal
_WAIT = 3.0  # seconds for a browser to fail in; one that still runs has opened the page
_STARTED: list[subprocess.Popen[bytes]] = []  # which outlive the command
_START = "import sys, webbrowser; sys.exit(not webbrowser.open(sys.argv[1]))"


def main(words: Sequence[str]) -> int:
    """`actbench open` with these words; returns the exit code.

    Raises:
        UserError: there is no page, and no run to make one of; or it cannot be written.
    """
    asked = arguments.opening(words)
    path, problems = _page(asked.study)
    print(path, flush=True)
    if missing := start(path):
        print(f"{missing}: the file can be opened in any browser", file=sys.stderr)
    return complain(UserError.of(problems)) if problems else 0


def _page(typed: Path) -> tuple[Path, list[Problem]]:
    """The page that is meant, up to date as far as its study is known; and problems with files of the study."""
    folder = _folder(typed)
    if folder is None:
        return typed, []
    if (folder / pages.FILE).is_file() and not any(folder.glob("*/settings.yaml")):
        return folder / pages.FILE, []  # of `actbench report ... --output FOLDER`
    earlier = folder / "report" / pages.FILE
    try:
        with telling() as tell:
            page = pages.current(folder, of_command=True, tell=tell)
    except UserError as error:
        if not earlier.is_file():
            raise
        made = f"{datetime.fromtimestamp(earlier.stat().st_mtime):%Y-%m-%d %H:%M}"
        return earlier, [Problem(f"this page is of {made}, and could not be made anew", str(earlier)), *error.problems]
    if page.made:
        print(f"made in {max(1, round(page.made))} s", file=sys.stderr)
    return page.path, page.problems


def _folder(typed: Path) -> Path | None:
    """The folder of the study, from its name, a run in it, or its page; None for a page that is in no study."""
    path = typed
    try:
        path.exists()
    except OSError as error:  # the name is too long
        raise UserError(error.strerror or str(error), where=str(typed)[:60], how="the folder of a study") from error
    if not path.exists() and (_OUTPUTS / path).is_dir():
        path = _OUTPUTS / path
    if path.is_file() and path.suffix == ".html":
        if path.name != pages.FILE or path.absolute().parent.name != "report":
            return None
        path = path.parent
    if path.absolute().name == "report" and (path / pages.FILE).is_file():
        path = path.parent
    if (path / "settings.yaml").is_file():  # of a run
        path = path.absolute().parent
    return task_function.relative(path.absolute()) if path.is_absolute() else path


# ---------------------------------------------------------------- the browser


def start(path: Path) -> str:
    """Opens a page in the browser; returns why there is none, or nothing.

    It never waits for a browser that runs, and starts none that would take the terminal.
    """
    if missing := lacking(os.environ, sys.platform):
        return missing
    environment = {key: value for key, value in os.environ.items() if key != "TERM"}  # without it no text browser
    command = [sys.executable, "-c", _START, path.absolute().as_uri()]
    nowhere = subprocess.DEVNULL
    try:
        browser = subprocess.Popen(
            command, env=environment, stdin=nowhere, stdout=nowhere, stderr=nowhere, start_new_session=True
        )
        _STARTED.append(browser)
        return "no browser could be started" if browser.wait(_WAIT) else ""
    except subprocess.TimeoutExpired:
        return ""
    except OSError:
        return "no browser could be started"


def lacking(environment: Mapping[str, str], platform: str) -> str:
    """Why there is no browser here that has windows; nothing where there is one."""
    named = [entry for entry in environment.get("BROWSER", "").split(os.pathsep) if entry.strip()]
    if named:
        return "$BROWSER names a browser of the terminal" if all(map(_is_text, named)) else ""
    if environment.get("SSH_CONNECTION") or environment.get("SSH_TTY"):
        return "no browser is opened over ssh"
    windows = platform in ("darwin", "win32") or environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY")
    return "" if windows else "there is no display"


def _is_text(entry: str) -> bool:
    try:
        words = shlex.split(entry)
    except ValueError:
        words = entry.split()
    return not words or Path(words[0]).name in _TEXT
