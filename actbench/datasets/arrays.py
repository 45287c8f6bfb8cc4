"""NumPy files of one's own: an .npz archive, or .npy files beside each other."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from actbench.datasets.assembling import Samples, assemble
from actbench.datasets.memory import fits, room, shortage, unpacked
from actbench.datasets.paths import given
from actbench.datasets.scaling import chunks
from actbench.datasets.splits import Scaling, Splits
from actbench.datasets.streaming import Stored
from actbench.errors import Problem, UserError, in_a_line

_USES = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val"}
_USES |= {"test": "test", "testing": "test"}
_KINDS = dict.fromkeys(("x", "images", "image", "data", "features", "inputs", "samples", "arr0"), "x")
_KINDS |= dict.fromkeys(("y", "labels", "label", "targets", "target", "classes", "class", "arr1"), "y")
_NAMES = "x and y, images and labels or data and target, with or without train, val and test: x_train, y_train, x_test"

Named = tuple[str, np.ndarray]  # what an array is called, for messages, and the array


def arrays(
    *,
    path: str | None = None,
    shape: Sequence[int] | None = None,
    train_size: int | None = None,
    scaling: Scaling = "standard",
) -> Splits:
    """Arrays of samples and labels: an .npz archive with both, or .npy files beside each other.

    What an array is, its name says: `x_train`, `y_train`, `x_test`, `y_test` (Keras), `train_images`, `train_labels`
    (MedMNIST), `images` and `labels`, `X` and `y`. What is missing is taken from the training samples, as for `images`.

    Samples (N, F) are features; (N, H, W) are grey images if they are whole numbers of 0..255, and square where their
    type is a float, and else sequences (N, T, F); (N, H, W, C) and (N, C, H, W) are images. Labels (N,) are whole
    numbers or words. Arrays that do not fit into memory stay in their file, or are unpacked on disk.

    Args:
        path: the archive, one of the .npy files, or the folder that they are in.
        shape: of one sample, where it is not what the array has: [1,28,28] of 784 pixels.
        train_size: a stratified part of the training samples; None for all of them.
        scaling: what the network is fed, see `assemble`.

    Raises:
        UserError: a file cannot be read, or its arrays are not as is said above; with all that is wrong.
    """
    file = given(path, "dataset.path", "dataset.path=FILE.npz, or x.npy with y.npy beside it")
    found = _found(file)
    problems: list[Problem] = []
    parts = {}
    for use in ("train", "val", "test"):
        x, y = found.get((use, "x")), found.get((use, "y"))
        if x is None and y is None:
            continue
        if x is None or y is None:
            present, missing = (y, "samples") if x is None else (x, "labels")
            problems.append(Problem(f"there are no {missing} for it", (present or ("", 0))[0], _NAMES))
            continue
        try:
            parts[use] = Samples(as_samples(*x, shape), as_labels(*y))
        except UserError as error:
            problems += error.problems
    if not problems and "train" not in parts:
        problems.append(Problem("has no training samples", str(file), _NAMES))
    if problems:
        raise UserError.of(problems)
    if why := shortage(sum(len(part.x) for part in parts.values()), parts["train"].x.shape[1:]):
        parts = {use: replace(part, x=Stored(np.asanyarray(part.x), why)) for use, part in parts.items()}
    return assemble(
        name=file.stem, where=str(file), train=parts["train"], val=parts.get("val"), test=parts.get("test"),
        train_size=train_size, scaling=scaling, note=_note(parts["train"].x.shape[1:], shape),
    )  # fmt: skip


def _note(sample: Sequence[int], asked: Sequence[int] | None) -> str:
    """That samples which look like images, but are no levels of 0..255, are taken as sequences."""
    if asked is not None or len(sample) != 2 or sample[0] != sample[1]:
        return ""
    height, width = sample
    sequences = f"Samples of {height}×{width} numbers are taken as sequences (T, F)"
    return f"{sequences}; dataset.shape=[1,{height},{width}] makes images of them"


# ---------------------------------------------------------------- files


def _found(file: Path) -> dict[tuple[str, str], Named]:
    """(use, `x` or `y`) -> the array."""
    if not file.exists():
        how = f"dataset.path=FILE; a relative one is looked for from {Path.cwd()}"
        raise UserError("there is no such file", where=str(file), how=how)
    content: dict[str, tuple[str, np.ndarray | None]]
    if file.is_file() and file.suffix.lower() == ".npz":
        content = {f"{file}, array {name}": (name, array) for name, array in _archive(file).items()}
    else:
        folder = file if file.is_dir() else file.parent
        files = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".npy")
        if file.is_file():
            _, kind, rest = _parsed(file.stem)
            if file not in files:
                raise UserError("is neither .npz nor .npy", where=str(file), how="numpy.savez(FILE, x=..., y=...)")
            if not kind:
                raise UserError("has no name that says what is in it", where=str(file), how=_NAMES)
            files = [path for path in files if _parsed(path.stem)[2] == rest]
        content = {str(path): (path.stem, None) for path in files}
    found: dict[tuple[str, str], Named] = {}
    for place, (name, array) in content.items():
        use, kind, _ = _parsed(name)
        if not kind:
            continue
        if (use, kind) in found:
            raise UserError(f"is the same as {found[use, kind][0]} by its name", where=place, how="one of them")
        found[use, kind] = (place, array if array is not None else _array(Path(place)))
    if not found:
        names = ", ".join(name for name, _ in list(content.values())[:8]) or "nothing"
        raise UserError(f"has no array with a name that says what it is: {names}", where=str(file), how=_NAMES)
    return found


def _parsed(name: str) -> tuple[str, str, str]:
    """What an array is for, `x` or `y` or nothing, and the rest of its name: `set1_X_train` -> train, x, set1."""
    separate = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.replace("arr_", "arr"))
    words = [word for word in re.split(r"[^A-Za-z0-9]+", separate.lower()) if word]
    words = [part for word in words for part in _apart(word)]
    use = next((_USES[word] for word in words if word in _USES), "train")
    kind = next((_KINDS[word] for word in words if word in _KINDS), "")
    return use, kind, "_".join(word for word in words if word not in _USES and word not in _KINDS)


def _apart(word: str) -> list[str]:
    match = re.fullmatch(r"([xy])(train|val|valid|test)|(train|val|valid|test)([xy])", word)
    return [part for part in match.groups() if part] if match else [word]


def _archive(file: Path) -> dict[str, np.ndarray]:
    if not zipfile.is_zipfile(file):
        what = "is no archive of arrays, whatever its name says: a page that was saved, or half a download"
        raise UserError(what, where=str(file), how="numpy.savez(FILE, x=..., y=...)")
    try:
        with np.load(file, allow_pickle=False) as content:
            return {name: _member(content, name, file) for name in content.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise _unreadable(file, error) from error


def _member(content: Any, name: str, file: Path) -> np.ndarray:
    """An array of an open archive: in memory, or unpacked on disk where it does not fit."""
    archive: zipfile.ZipFile = content.zip
    member = f"{name}.npy" if f"{name}.npy" in archive.namelist() else name
    needed = archive.getinfo(member).file_size
    if not _parsed(name)[1] or fits(needed, ()):
        return np.asarray(content[name])
    with archive.open(member) as packed:
        return unpacked(packed, needed, str(file))


def _array(file: Path) -> np.ndarray:
    large = not fits(file.stat().st_size, ())
    try:
        return np.load(file, allow_pickle=False, mmap_mode="r" if large else None)
    except (ValueError, OSError, EOFError) as error:
        raise _unreadable(file, error) from error


def _unreadable(file: Path, error: Exception) -> UserError:
    if "allow_pickle" in str(error) or "Object arrays" in str(error) or "Python objects" in str(error):
        what = "holds Python objects, which are not loaded, since loading them could run anything"
        return UserError(
            what, where=str(file), how="arrays of numbers, and labels that are numbers or words: str dtype"
        )
    how = "fetch it again, or save it anew: numpy.savez(FILE, x=..., y=...)"
    return UserError(f"cannot be read: {in_a_line(error)}", where=str(file), how=how)


# ---------------------------------------------------------------- arrays


def as_samples(place: str, x: np.ndarray, shape: Sequence[int] | None = None) -> np.ndarray:
    """The array as images (N, C, H, W), sequences (N, T, F) or features (N, F).

    Raises:
        UserError: it is none of these.
    """
    if x.dtype.kind not in "buif":
        raise UserError(f"is {x.dtype}, not numbers", where=place, how="an array of numbers")
    if shape is not None:
        if not 1 <= len(shape) <= 3 or x.ndim < 1 or x.size != len(x) * int(np.prod(shape)):
            what = f"has {x.size // max(1, len(x)):,} values a sample" if x.ndim else "is a single number"
            raise UserError(what, where=place, how=f"another dataset.shape than {list(shape)}")
        x = x.reshape(len(x), *shape)
        return _as_levels(x, place) if len(shape) == 3 else x
    may_be_grey = x.ndim == 3 and (x.dtype.kind in "biu" or x.shape[1] == x.shape[2])
    if may_be_grey and (levels := _as_levels(x, place)).dtype == np.uint8:
        return levels[:, None]
    if x.ndim in (2, 3):
        return x
    if x.ndim != 4:
        how = "(N, F) features, (N, H, W) or (N, H, W, C) images, (N, T, F) sequences; or dataset.shape=[C,H,W]"
        raise UserError(f"has the shape {x.shape}", where=place, how=how)
    channels_last = x.shape[3] in (1, 3, 4) and x.shape[1] not in (1, 3, 4)
    return _as_levels(x.transpose(0, 3, 1, 2) if channels_last else x, place)


def _as_levels(x: np.ndarray, place: str) -> np.ndarray:
    """Images as uint8, if all values are whole numbers of 0..255 and not only 0 and 1; on disk, if they are there."""
    if x.dtype == np.uint8 or x.size == 0 or not all(_are_levels(part) for part in chunks(x)):
        return x
    if max(part.max() for part in chunks(x)) <= 1:
        return x
    levels = room(x.shape, np.dtype(np.uint8), place) if isinstance(x, np.memmap) else np.empty(x.shape, dtype=np.uint8)
    start = 0
    for part in chunks(x):
        levels[start : start + len(part)] = part
        start += len(part)
    return levels


def _are_levels(x: np.ndarray) -> bool:
    return bool(x.min() >= 0 and x.max() <= 255 and (x.dtype.kind in "biu" or np.array_equal(x, np.floor(x))))


def as_labels(place: str, y: np.ndarray) -> np.ndarray:
    """The labels (N,), whole numbers or words.

    Raises:
        UserError: they are something else.
    """
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.dtype.kind == "S":
        try:
            y = np.char.decode(y, "utf-8")
        except UnicodeDecodeError as error:
            raise UserError("has labels that are not UTF-8", where=place, how="str, or whole numbers") from error
    what, how = "", ""
    if y.ndim == 2:
        what, how = f"has the shape {y.shape}: one-hot, or of several labels a sample, not (N,)", "y.argmax(1)"
    elif y.ndim != 1:
        what, how = f"has the shape {y.shape}, not (N,)", "one label for each sample"
    elif y.dtype.kind == "f":
        missing = int(np.isnan(y).sum())
        what = (
            f"has {missing:,} labels that are missing (NaN)" if missing else f"is {y.dtype}: labels are whole numbers"
        )
        how = "drop these samples, then .astype(int)" if missing else ".astype(int), if they are classes"
    elif y.dtype.kind not in "biuU":
        what, how = f"is {y.dtype}, neither whole numbers nor words", "whole numbers or words (str)"
    elif y.dtype.kind == "U" and (empty := np.flatnonzero(np.char.str_len(y) == 0)).size:
        what, how = f"has {empty.size:,} labels that are empty, the first is number {empty[0]}", "name or drop them"
    if what:
        raise UserError(what, where=place, how=how)
    return y.astype(np.int64) if y.dtype.kind == "b" else y
