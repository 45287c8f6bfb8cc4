"""Images of one's own: a folder of them by class."""

from __future__ import annotations

import hashlib
import warnings
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from actbench.datasets.assembling import Samples, assemble
from actbench.datasets.class_folders import ClassFiles, find
from actbench.datasets.memory import kept, shortage
from actbench.datasets.on_disk import foreign
from actbench.datasets.paths import given
from actbench.datasets.pixels import GREY, pixels_of
from actbench.datasets.progress import shown
from actbench.datasets.splits import Scaling, Splits
from actbench.datasets.streaming import Stored, taken
from actbench.errors import Problem, UserError, printable

_SHOWN = 5  # files that a message names; it counts the rest


def images(
    *,
    path: str | None = None,
    size: int | None = None,
    colour: Literal["auto", "grey", "rgb"] = "auto",
    train_size: int | None = None,
    scaling: Scaling = "standard",
) -> Splits:
    """A folder of images: one folder for each class in it, or folders for training, validation and test with those.

    What is missing is taken from the training images, the same ones for every run: a fifth of each class for the test,
    a tenth for validation. With a validation folder and none for the test, as ImageNet has them, that is the test set.
    Images that do not fit into memory are decoded once into a file below the data folder (`decoded`), and read from it.

    Args:
        path: the folder; the names of the classes are those of their folders.
        size: sides in pixels to which images are brought, the shorter side scaled and the longer one cropped in its
            middle; None where all have the same size already.
        colour: `grey` and `rgb` convert; `auto` takes grey where all images are grey, and else colours.
        train_size: a stratified part of the training images; None for all of them.
        scaling: what the network is fed, see `make_splits`; `standard` takes the training images' mean and standard
            deviation of each channel.

    Raises:
        UserError: there are no images by class, some cannot be read, their sizes differ, or a class has too few.
    """
    folder = given(path, "dataset.path", "dataset.path=FOLDER with a folder for each class in it")
    where = str(folder)
    found, notes = find(folder)
    everything = [file for of_use in found.values() for file in of_use.files]
    heads = _heads(everything)
    side = _sides(heads, size, where)
    grey = colour == "grey" or (colour == "auto" and all(mode in GREY for _, mode in heads.values()))
    parts = _read(found, side, grey, where)
    return assemble(
        name=folder.resolve().name or "images", where=where, train=parts["train"], val=parts.get("val"),
        test=parts.get("test"), train_size=train_size, scaling=scaling, note=". ".join(notes),
    )  # fmt: skip


# ---------------------------------------------------------------- before the pixels are read


def _heads(files: Sequence[Path]) -> dict[Path, tuple[tuple[int, int], str]]:
    """File -> its height and width, and Pillow's mode.

    Raises:
        UserError: with the files that are no images.
    """
    heads, problems = {}, []
    for file in shown(files, "looking at images"):
        try:
            with _opened(file) as image:
                width, height = image.size
                turned = image.getexif().get(_ORIENTATION, 1) >= 5  # lies on its side
                heads[file] = ((width, height) if turned else (height, width)), image.mode
        except Exception as error:  # Pillow has any for damaged files
            problems.append(_unreadable(file, error))
    if problems:  # those whose head alone is whole are told as well
        _raise([*problems, *_damaged(list(heads))])
    return heads


_ORIENTATION = 0x0112  # the EXIF tag


def _damaged(files: Sequence[Path]) -> list[Problem]:
    problems = []
    for file in shown(files, "looking for damaged images"):
        try:
            with _opened(file) as image:
                image.load()
        except Exception as error:
            problems.append(_unreadable(file, error))
    return problems


def _opened(file: Path) -> Any:
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of strange metadata
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        return Image.open(file)


def _unreadable(file: Path, error: Exception) -> Problem:
    if not file.exists():
        return Problem("is a link to nowhere", str(file), "mend it or move it away")
    try:
        with file.open("rb") as opened:
            beginning = opened.read(200)
        said = (str(error).splitlines() or [type(error).__name__])[0]
        reason = foreign(beginning) or (said if beginning else "the file is empty")
    except OSError as cannot:
        reason = cannot.strerror or str(cannot)
    reason = reason.replace(f"cannot identify image file {str(file)!r}", "it is of no format that Pillow knows")
    return Problem(printable(f"is no image that can be read: {reason}"), str(file), "mend it or move it away")


def _raise(problems: Sequence[Problem]) -> None:
    if len(problems) > _SHOWN:
        rest = f"{len(problems) - _SHOWN:,} more files cannot be read either"
        problems = [*problems[:_SHOWN], Problem(rest, str(Path(problems[-1].where).parent), "mend them as well")]
    if problems:
        raise UserError.of(problems)


def _sides(heads: dict[Path, tuple[tuple[int, int], str]], size: int | None, where: str) -> tuple[int, int]:
    """Height and width of all images."""
    if size is not None:
        return size, size
    counts = Counter(sides for sides, _ in heads.values())
    if len(counts) == 1:
        return next(iter(counts))
    (usual, number), *rest = counts.most_common()
    other = next(file for file, (sides, _) in heads.items() if sides != usual)
    shortest = min(min(sides) for sides in counts)
    what = (
        f"images are of {len(counts)} sizes: {number:,} of {len(heads):,} have {usual[0]}×{usual[1]} pixels, and "
        f"{other} has {rest[0][0][0]}×{rest[0][0][1]}" if len(rest) == 1 else
        f"images are of {len(counts)} sizes, from {min(counts)[0]}×{min(counts)[1]} (height × width) to "
        f"{max(counts)[0]}×{max(counts)[1]} pixels; {other}, say, differs from the most frequent, {usual[0]}×{usual[1]}"
    )  # fmt: skip
    how = f"dataset.size={min(shortest, 64)} brings all to one: the shorter side is scaled, the longer one cropped"
    raise UserError(what, where=where, how=how)


# ---------------------------------------------------------------- the pixels


def _read(found: dict[str, ClassFiles], side: tuple[int, int], grey: bool, where: str) -> dict[str, Samples]:
    """Use -> its samples, in memory if they fit, and else in a file of their pixels that is made once.

    Raises:
        UserError: with the files that are damaged.
    """
    files = [file for of_use in found.values() for file in of_use.files]
    shape = (len(files), 1 if grey else 3, *side)
    fill = partial(_decode, files, side, grey)
    pixels: np.ndarray | Stored
    if why := shortage(len(files), shape[1:]):
        pixels = Stored(kept(_fingerprint(files, shape), shape, fill, where), why)
    else:
        fill(pixels := np.empty(shape, dtype=np.uint8))
    parts, start = {}, 0
    for use, of_use in found.items():
        part = taken(pixels, slice(start, start + len(of_use.files)))
        parts[use] = Samples(part, np.array(of_use.classes), [str(file) for file in of_use.files])
        start += len(of_use.files)
    return parts


def _decode(files: Sequence[Path], side: tuple[int, int], grey: bool, pixels: np.ndarray) -> None:
    problems = []
    for row, file in enumerate(shown(files, "decoding images")):
        try:
            with _opened(file) as image:
                pixels[row] = pixels_of(image, side, grey)
        except Exception as error:  # Pillow has any for damaged files
            problems.append(_unreadable(file, error))
    _raise(problems)


def _fingerprint(files: Sequence[Path], shape: tuple[int, ...]) -> str:
    """Of what pixels are decoded from, and how."""
    total = hashlib.sha256(f"1 {shape}".encode())
    for file in files:
        stat = file.stat()
        total.update(f"{file.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
    return total.hexdigest()[:24]
