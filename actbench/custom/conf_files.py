"""What a YAML file of a `conf` folder may say.

The folder may come from a stranger, so that each file is read as text and checked before it is composed. A file may
choose and set values. It may not trust code, look things up outside the configuration (`${oc.env:...}`), put values
where they do not belong, write outside of the current folder, or tell Hydra how to start programs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from yaml import YAMLError

from actbench.custom import sweep_lines
from actbench.errors import Problem, UserError, printable
from actbench.files.reading import NotReadable, parse_yaml, read_text
from actbench.settings import GROUPS

LIMIT = 200_000  # bytes of one file


def load(path: Path, config: str) -> str:
    """The text of a file, once everything in it is known to be allowed.

    Args:
        path: where it is.
        config: its name within the `conf` folder, such as `activation/bent`.

    Raises:
        UserError: with everything in it that is not allowed.
    """
    where = printable(str(near(path)))
    try:
        text = read_text(path, LIMIT)
    except IsADirectoryError as error:
        raise UserError(
            "is a folder, where a YAML file is expected", where=where, how="give it another name"
        ) from error
    except (NotReadable, OSError) as error:
        why = (isinstance(error, OSError) and error.strerror) or str(error)
        raise UserError(f"cannot be read ({printable(why)})", where=where) from error
    except ValueError as error:
        raise UserError(f"is not YAML: {printable(' '.join(str(error).split()))}", where=where) from error
    try:
        content = parse_yaml(text)
    except (ValueError, YAMLError) as error:
        raise UserError(f"is not YAML: {printable(' '.join(str(error).split()))}", where=where) from error
    if content is None:
        content = {}
    if not isinstance(content, dict):
        raise UserError("does not hold keys and values", where=where)
    packages = [package.strip() for package in _HEADER.findall(text)]
    problems = [Problem(what, where, how) for what, how in (*_lines(text), *_problems(config, content, packages))]
    if problems:
        raise UserError.of(problems)
    return text


def near(path: Path) -> Path:
    """A path as a person would type it: relative to the current folder where it is below it."""
    try:
        return path.relative_to(Path.cwd())
    except (ValueError, FileNotFoundError):  # it is not below, or the current folder is gone
        return path


_HEADER = re.compile(r"^\s*#\s*@\s*package\s*:?\s*(.*)$", re.MULTILINE)


Violation = tuple[str, str]  # what is wrong, how to mend it

_BREAK = re.compile("[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]|\r(?!\n)")  # where Python ends a line and YAML need not
_DIRECTIVE = re.compile(r"^\s*#\s*@(?!\s*package\b).*$", re.MULTILINE)


def _lines(text: str) -> Iterator[Violation]:
    """Whoever composes the file reads directives off its first lines: they must be the lines that are judged here."""
    if _BREAK.search(text):
        yield "has line ends that are not plain", "save it with ordinary line ends"
    for line in _DIRECTIVE.findall(text):
        yield f"`{_short(line)}` would be a directive of Hydra's", f"write it without @: # {_short(line.lstrip('# @'))}"


def _problems(config: str, content: Mapping[Any, Any], packages: Sequence[str]) -> Iterator[Violation]:
    *group, _ = PurePosixPath(config).parts
    if not all(_FOLDER.fullmatch(part) for part in group):
        yield f"`{_short('/'.join(group))}` is no name for a group", "a folder of letters, digits and _"
        return
    of_hydra = group[:1] == ["hydra"]
    of_choices = group[:1] and group[0] in GROUPS
    for package in packages:
        if package not in ("_group_", ".".join(group), *(() if of_hydra or of_choices else ("_global_",))):
            how = "leave that line out" if of_hydra or of_choices else "# @package _global_"
            yield f"`@package {_short(package)}` puts its values where they do not belong", how
    yield from _looked_up(content)
    yield from _defaults(content.get("defaults"), of_hydra=of_hydra)
    values = {key: value for key, value in content.items() if key != "defaults"}
    if of_hydra:
        yield from _hydra(".".join(group), values)
    else:
        if group == ["sweep"]:
            yield from sweep_lines.mistyped(values)
        if sweep_lines.KEY in values and group == ["sweep"]:
            yield from sweep_lines.violations(values[sweep_lines.KEY])
        elif sweep_lines.KEY in values and not of_choices:
            yield f"`{sweep_lines.KEY}` is for a file of conf/sweep", "move it there: actbench -m +sweep=NAME"
        yield from _plain_keys(values)


_FOLDER = re.compile(r"[A-Za-z][\w-]*")


def _looked_up(content: Any) -> Iterator[Violation]:
    """Interpolations that are more than the name of another key."""
    for value in _words(content):
        _, opened, rest = value.partition("${")
        if opened and ":" in rest:
            yield (
                f"`{_short(value)}` would look something up outside the configuration",
                "a plain value, or ${KEY} of the configuration; type it if you need it",
            )


def _words(content: Any) -> Iterator[str]:
    if isinstance(content, str):
        yield content
    elif isinstance(content, dict):
        for key, value in content.items():
            yield from _words(key)
            yield from _words(value)
    elif isinstance(content, list):
        for item in content:
            yield from _words(item)


def _short(value: Any) -> str:
    text = printable(" ".join(str(value).split()))
    return text if len(text) <= 60 else f"{text[:57]}..."


# ---------------------------------------------------------------- defaults


def _defaults(defaults: Any, *, of_hydra: bool) -> Iterator[Violation]:
    """Other files may be chosen, each for its own place."""
    if defaults is None:
        return
    if not isinstance(defaults, list):
        yield "`defaults` is not a list", _DEFAULT
        return
    for entry in defaults:
        choice = None
        key: Any = entry
        if isinstance(entry, dict) and len(entry) == 1:
            ((key, choice),) = entry.items()
        reason = _wrong_default(key, choice, of_hydra) if isinstance(key, str) else "is not a choice"
        if reason:
            yield f"`- {_short(entry if choice is None else f'{key}: {choice}')}` in `defaults` {reason}", _DEFAULT


_DEFAULT = "- override /GROUP: CHOICE"


def _wrong_default(key: str, choice: Any, of_hydra: bool) -> str:
    *words, last = key.split() or [""]
    path, _, package = last.partition("@")
    group = path.strip("/") if choice is not None else path.strip("/").rpartition("/")[0]
    chosen = choice if isinstance(choice, list) else [choice]
    if not _PATH.fullmatch(path) or ".." in path or {*words} - {"override", "optional"}:
        return "is not a choice"
    if not all(name is None or _CHOICE.fullmatch(str(name)) for name in chosen) or ".." in str(choice):
        return "is not a choice"
    if package and package not in (group.replace("/", "."), f"_global_.{group.replace('/', '.')}"):
        return "puts its values where they do not belong"
    if of_hydra and ("/" in path or package):  # what is within Hydra's launcher is built with it
        return "is not one of Hydra's own beside it"
    if group.split("/")[0] == "hydra" and group not in _OF_HYDRA:
        return "is a part of Hydra that is not for a file"
    return ""


_OF_HYDRA = ("hydra/launcher", "hydra/sweeper", "hydra/sweeper/sampler", "hydra/sweeper/pruner")
_PATH = re.compile(r"[\w/.-]*")
_CHOICE = re.compile(r"[\w .+=/-]*")


# ---------------------------------------------------------------- keys of the whole configuration


def _plain_keys(values: Mapping[Any, Any]) -> Iterator[Violation]:
    for key, value in values.items():
        if key == "trust":
            yield "`trust` cannot be switched on by a file", "type trust=NAME yourself, if NAME is yours"
        elif key == "hydra":
            yield from _hydra("hydra", value)
        elif key == "output_dir" and not is_inside(value):
            yield f"`output_dir: {_short(value)}` leads out of this folder", f"type output_dir={_short(value)}"


def is_inside(folder: Any) -> bool:
    """Whether an `output_dir` is below where the command is typed."""
    path = PurePosixPath(str(folder))
    return isinstance(folder, str) and not path.is_absolute() and ".." not in path.parts and folder[:1] not in "~$\\"


_LAUNCHER = (
    "n_jobs|timeout_min|cpus_per_task|gpus_per_node|gpus_per_task|tasks_per_node|nodes|mem_gb|mem_per_cpu|mem_per_gpu|"
    "partition|qos|account|constraint|array_parallelism|max_num_timeout|signal_delay_s"
)
_ALLOWED = re.compile(
    rf"hydra\.(launcher\.({_LAUNCHER})|sweeper\.(n_trials|n_jobs|max_batch_size|direction|sampler\.seed))"
)
_WORD = re.compile(r"[\w.,:+%-]*")
_SWEPT = re.compile(r"[A-Za-z]\w*([./]\w+)*")


def _hydra(key: str, value: Any) -> Iterator[Violation]:
    """Of Hydra's own keys: what is swept, how often, how many at once, and what a cluster shall reserve."""
    if key == "hydra.sweeper.params":
        yield from _swept(value)
    elif isinstance(value, dict):
        for inner, item in value.items():
            yield from _hydra(f"{key}.{inner}", item)
    elif not _ALLOWED.fullmatch(key):
        yield f"`{_short(key)}` is not for a file", f"type {_short(key)}=... if you know what it does"
    elif isinstance(value, list) or not _WORD.fullmatch(str(value)):
        yield f"`{_short(key)}: {_short(value)}` is not a plain word or number", "a number, or a name"


def _swept(params: Any) -> Iterator[Violation]:
    if params is None:
        return
    if not isinstance(params, dict):
        yield "`hydra.sweeper.params` does not hold keys and values", "activation: relu,gelu"
        return
    for key, value in params.items():
        if not isinstance(key, str) or not _SWEPT.fullmatch(key) or "_target_" in key:
            yield f"`{_short(key)}` is no key that can be swept", "actbench --help shows all keys"
        elif re.split(r"[./]", key)[0] in ("trust", "hydra", "output_dir"):
            yield f"`{_short(key)}` cannot be swept by a file", f"type {_short(key)}=... yourself"
        elif isinstance(value, (dict, list)) or "${" in str(value):
            yield f"`{_short(key)}: {_short(value)}` is not a list of values", f"{_short(key)}: a,b"
