"""`settings.yaml`: what a run was asked for, from which it can be repeated."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from actbench.errors import UserError, printable
from actbench.files.atomic import write_text
from actbench.files.reading import is_printable, read_text
from actbench.files.sections import parse_in_sections
from actbench.settings import DROPOUT_KINDS, GROUPS, Choice, Settings, Train
from actbench.store.plausible import AWAY, check_stays, is_amount, lacking, reason, words


def write_settings(folder: Path, settings: Settings) -> None:
    text = yaml.safe_dump(settings.to_dict(), sort_keys=False, allow_unicode=True)
    write_text(folder / "settings.yaml", text)


def settings_of(folder: Path) -> Settings:
    """What `settings.yaml` says.

    Raises:
        UserError: it is missing, damaged, of another version, or has been changed by hand.
    """
    path = f"{folder}/settings.yaml"
    try:
        check_stays(path)
        text = read_text(path)
        content = parse_in_sections(text, _built)
        wrong = lacking(content, Settings, folder, beside=["id"])
        if wrong:
            raise UserError(wrong, where=path, how=AWAY)
        stored = Settings.from_dict(content)
        if not is_printable(text) and any(printable(word) != word for word in words(asdict(stored))):
            raise TypeError("it has characters in it that a terminal would obey")
        _check_types(stored)
        seeds, again = stored.seeds, stored.id
    except FileNotFoundError as error:
        raise UserError("is missing", where=path, how=AWAY) from error
    except (OSError, ValueError, yaml.YAMLError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"cannot be read ({reason(error)})", where=path, how=AWAY) from error
    if again != content["id"] or not seeds:
        raise UserError(
            f"its id {content['id']} is not that of its content ({again}): it was changed by hand",
            where=path,
            how=AWAY,
        )
    return stored


def _built(key: str, value: Any) -> Any:
    """The object that a section of the file describes: runs with the same choice share it."""
    return Choice(**value) if key in GROUPS else Train(**value) if key == "train" else value


def _check_types(settings: Settings) -> None:
    """Raises a TypeError where a value is of another kind than `Settings` says."""
    choices = {**{group: getattr(settings, group) for group in GROUPS}, **{m.name: m for m in settings.measures}}
    for group, choice in choices.items():
        if not (isinstance(choice.name, str) and isinstance(choice.params, dict)):
            raise TypeError(f"`{group}` is not a choice")
        if not all(word is None or isinstance(word, str) for word in (choice.target, choice.content)):
            raise TypeError(f"`{group}` has no `target`")
    train = settings.train
    for name, value in {
        "seed": settings.seed, "num_seeds": settings.num_seeds, "epochs": train.epochs, "batch_size": train.batch_size
    }.items():  # fmt: skip
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
            raise TypeError(f"`{name}` is not a whole number")
    patterns = settings.sites if isinstance(settings.sites, tuple) else (settings.sites,)
    if not all(isinstance(word, str) for word in (*patterns, settings.weights or "", settings.weights_content or "")):
        raise TypeError("`sites` or `weights` is not what it should be")
    if settings.dropout_kind not in DROPOUT_KINDS:
        raise TypeError("`dropout_kind` is not what it should be")
    every, detail = settings.tensorboard_every, settings.tensorboard_detail
    if type(every) is not int or every < 1 or detail not in ("full", "scalars", "mean"):
        raise TypeError("`tensorboard_every` or `tensorboard_detail` is not what it should be")
    if type(settings.checkpoints) is not bool:
        raise TypeError("`checkpoints` is not what it should be")
    if settings.num_seeds > _SEEDS:
        raise TypeError(f"`num_seeds` is more than {_SEEDS:,}")
    if not (is_amount(settings.dropout) and is_amount(settings.split) and isinstance(settings.study, str)):
        raise TypeError("`dropout`, `split` or `study` is not what it should be")


_SEEDS = 100_000  # of one run; they are listed one by one
