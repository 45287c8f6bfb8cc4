"""A folder of images by class, as people have them: which file is for what use, and of which class. Nothing is read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from actbench.errors import Problem, UserError, printable

_USES = {
    "train": "train training trn train_set training_set trainset train_data training_data",
    "val": "val valid validation dev eval val_set validation_set valset val_data validation_data",
    "test": "test testing tst test_set testing_set testset test_data testing_data",
}
_USE_OF = {name: use for use, names in _USES.items() for name in names.split()}
SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".pgm", ".ppm", ".pbm", ".pnm",
    ".avif", ".heic",
)  # fmt: skip
_HIDDEN = (".", "__MACOSX", "@eaDir")  # how the names of files that systems leave behind begin
_LAYOUT = "one folder for each class in it, or train, val and test folders with those in them"


@dataclass(frozen=True)
class ClassFiles:
    """The files of one use, in a fixed order, and the class of each."""

    files: tuple[Path, ...]
    classes: tuple[str, ...]


def find(folder: Path) -> tuple[dict[str, ClassFiles], list[str]]:
    """Use (`train`, perhaps `val` and `test`) -> its images; and a sentence on each thing that is passed over.

    Folders are recognised by any usual name. A folder around them is looked into. A validation folder without one for
    the test is the test. Nothing is said of hidden files, and of those that are no images by their name.

    Raises:
        UserError: there are no images by class; with the folders that are to blame.
    """
    if not folder.exists():
        how = f"dataset.path=FOLDER; a relative one is looked for from {Path.cwd()}"
        raise UserError("there is no such folder", where=str(folder), how=how)
    if not folder.is_dir():
        raise UserError("is a file, not a folder", where=str(folder), how="unpack it, if it is an archive")
    by_use, others = _uses(_inner(folder))
    problems: list[Problem] = []
    found, notes = {}, []
    for use, path in by_use.items():
        try:
            found[use] = _by_class(_inner(path))
            notes += _loose(_inner(path))
        except UserError as error:
            problems += error.problems
            if use != "train":
                how = f"or move {path.name} away: a part of the training images is taken instead"
                problems[-1] = replace(problems[-1], how=f"{problems[-1].how}; {how}")
    if problems:
        raise UserError.of(problems)
    if others:
        notes.append(f"Not used, besides {', '.join(path.name for path in by_use.values())}: {_named(others)}")
    if "val" in found and "test" not in found:
        found["test"] = found.pop("val")
        notes.append(
            "The validation folder is the test set, since there is none for it; validation is part of the training set"
        )
    return found, notes


def _uses(folder: Path) -> tuple[dict[str, Path], list[Path]]:
    """Use -> its folder, and the folders that are for none; the folder itself is for training where it has classes.

    Raises:
        UserError: two are for the same use, or none is for training.
    """
    inside = _folders(folder)
    by_use: dict[str, Path] = {}
    for path in inside:
        if use := _USE_OF.get(path.name.lower().replace("-", "_").replace(" ", "_")):
            if use in by_use:
                what = f"{by_use[use].name} and {path.name} are both for {use}"
                raise UserError(what, where=str(folder), how="keep one")
            by_use[use] = path
    others = [path for path in inside if path not in by_use.values()]
    if "train" in by_use and others and not _folders(by_use["train"]):  # trains are a class, beside ships
        by_use = {}
    if "train" in by_use:
        return by_use, others
    if by_use and not others:
        there = ", ".join(path.name for path in by_use.values())
        raise UserError(f"has {there}, but no folder for training", where=str(folder), how=_LAYOUT)
    return {"train": folder}, []


def _loose(folder: Path) -> list[str]:
    """A sentence on images beside the folders of classes."""
    number = len(list(_images(folder, deep=False)))
    images = "1 image" if number == 1 else f"{number:,} images"
    return [f"Not used: {images} in {folder.name}, in no folder of a class"] if number else []


def _named(folders: Sequence[Path]) -> str:
    more = f" and {len(folders) - 5} more" if len(folders) > 5 else ""
    return printable(", ".join(path.name for path in folders[:5]) + more)


def _inner(folder: Path) -> Path:
    """The folder itself, or the only one in it that has others in turn: archives are often packed like that."""
    while True:
        inside = _folders(folder)
        if len(inside) != 1 or any(_images(folder, deep=False)) or not _folders(inside[0]):
            return folder
        folder = inside[0]


def _by_class(folder: Path) -> ClassFiles:
    files, classes, problems = [], [], []
    for path in _folders(folder):
        images = sorted(_images(path), key=lambda image: image.relative_to(path).as_posix())
        if not images:
            others = sorted({file.suffix or file.name for file in path.rglob("*") if file.is_file()})
            what = f"has no image, only {', '.join(others[:5])}" if others else "is empty"
            problems.append(Problem(what, str(path), f"images of this class ({', '.join(_COMMON)}), or no such folder"))
        files += images
        classes += [path.name] * len(images)
    if problems:
        raise UserError.of(problems)
    if not files:
        loose = len(list(_images(folder, deep=False)))
        what = "has no folders of classes with images in them"
        if loose:
            what = f"has {loose:,} image{'s' if loose > 1 else ''} in no folder of a class"
        raise UserError(what, where=str(folder), how=_LAYOUT)
    return ClassFiles(tuple(files), tuple(classes))


_COMMON = ("jpg", "png", "bmp", "webp", "tif")


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(_HIDDEN))
    except PermissionError as error:
        raise UserError("cannot be read (Permission denied)", where=str(folder), how="make it readable") from error


def _images(folder: Path, *, deep: bool = True) -> Iterator[Path]:
    for path in folder.rglob("*") if deep else folder.iterdir():
        hidden = any(part.startswith(_HIDDEN) for part in path.relative_to(folder).parts)
        if path.suffix.lower() in SUFFIXES and not hidden and not path.is_dir():
            yield path
