"""Every state that a data folder may be in: the data are taken, or one message says why not, and nothing is lost."""

from __future__ import annotations

import errno
import gzip
import os
import subprocess
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_datasets import (  # noqa: F401 - fixtures too
    CONTENTS,
    FAMILY,
    IMAGES,
    MD5,
    SHAPES,
    check_loaded,
    fill,
    folder,
    nobody,
    server,
    silent,
    small_mnist,
    use,
)

from actbench.datasets import Unavailable, auto, idx, mirrors
from actbench.datasets.on_disk import belongs, header_of
from actbench.errors import UserError

HTML = b"<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head></html>"


@pytest.fixture(autouse=True)
def _every_remark_is_said():
    idx._say.cache_clear()


def everything(root: Path) -> dict[str, bytes]:
    """All files below a folder, but for the lock and what is noted of files that were unpacked."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != ".download.lock" and path.suffix != ".md5"
    }


def dotted(name: str) -> str:
    return name.replace("-idx", ".idx")


LAYOUTS = {
    "torchvision": lambda name: ("FakeMNIST/raw/" + name, False),
    "with a dot": lambda name: ("FakeMNIST/raw/" + dotted(name), False),
    "packed": lambda name: (f"FakeMNIST/raw/{name}.gz", True),
    "packed with a dot": lambda name: (f"FakeMNIST/raw/{dotted(name)}.gz", True),
    "in the dataset's folder": lambda name: (f"FakeMNIST/{name}", False),
    "packed in the dataset's folder": lambda name: (f"FakeMNIST/{dotted(name)}.gz", True),
    "in the root": lambda name: (dotted(name), False),
    "packed in the root": lambda name: (f"{name}.gz", True),
    "in folders of their names": lambda name: (f"{dotted(name)}/{dotted(name)}", False),
    "called packed, and unpacked on the way": lambda name: (f"FakeMNIST/raw/{name}.gz", False),
    "packed, and not called so": lambda name: (f"FakeMNIST/raw/{name}", True),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("level", [1, 9])
def test_what_people_have_on_disk_is_taken_and_stays(folder, nobody, use, layout, level):  # noqa: F811
    """Archives that were packed again have another MD5 and the same content."""
    use(nobody)
    root = folder.parent.parent
    for name, content in CONTENTS.items():
        place, packed = LAYOUTS[layout](name)
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_bytes(gzip.compress(content, level, mtime=7) if packed else content)
    before = everything(root)
    check_loaded(idx.load(replace(FAMILY, md5=MD5)))
    check_loaded(idx.load(FAMILY))
    assert before.items() <= everything(root).items()


@contextmanager
def unwritable(place: Path):
    """A folder that even root cannot write to: a read-only bind mount, where one can be had."""
    mounted = subprocess.run(["mount", "--bind", place, place], capture_output=True).returncode == 0
    if mounted and subprocess.run(["mount", "-o", "remount,bind,ro", place], capture_output=True).returncode:
        subprocess.run(["umount", place], check=True)
        mounted = False
    if not mounted:
        if os.geteuid() == 0:
            pytest.skip("root may write everywhere here, and may not mount")
        place.chmod(0o555)
    try:
        yield
    finally:
        if mounted:
            subprocess.run(["umount", place], check=True)
        else:
            place.chmod(0o755)


def test_a_good_folder_may_be_read_only(folder, nobody, use):  # noqa: F811
    use(nobody)
    fill(folder, train_images_idx3_ubyte=None)
    (folder / f"{IMAGES}.gz").write_bytes(gzip.compress(CONTENTS[IMAGES]))
    with unwritable(folder):
        check_loaded(idx.load(FAMILY))
        assert len([*folder.iterdir()]) == 4


def test_a_damaged_file_in_a_read_only_folder_is_named(folder, server, use):  # noqa: F811
    fill(folder, train_images_idx3_ubyte=b"short", t10k_labels_idx1_ubyte=b"")
    use(server.mirror("good"))
    with unwritable(folder), pytest.raises(UserError) as caught:
        idx.load(FAMILY)
    assert not isinstance(caught.value, Unavailable)
    assert {problem.where for problem in caught.value.problems} == {
        str(folder / IMAGES), str(folder / "t10k-labels-idx1-ubyte"),
    }  # fmt: skip
    for said in ("5 bytes instead of", "nothing can be written into its folder"):
        assert said in str(caught.value)
    assert ".download.lock" not in str(caught.value)


@pytest.mark.parametrize("exists", [True, False], ids=["empty", "missing"])
def test_where_nothing_can_be_put_auto_takes_the_digits_and_says_why(folder, server, use, monkeypatch, exists):  # noqa: F811
    root = folder.parent.parent
    (root / "MNIST" / "raw" if exists else root).mkdir(parents=True)
    monkeypatch.setenv("ACTBENCH_DATA", str(root))
    use(server.mirror("good"))
    with unwritable(root / "MNIST" / "raw" if exists else root):
        splits = auto()
        with pytest.raises(Unavailable):
            idx.load(replace(FAMILY, torchvision="MNIST"))
    assert splits.name == "digits"
    assert splits.note.startswith("NOT MNIST: MNIST is not in ")
    assert "nothing can be written into its folder" in splits.note
    assert server.asked == []


@pytest.mark.parametrize("code", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_every_way_of_being_closed_is_told_alike(folder, use, server, monkeypatch, code):  # noqa: F811
    use(server.mirror("good"))
    folder.mkdir(parents=True)

    def refuse(*_, **__):
        raise OSError(code, os.strerror(code), str(folder / ".download.lock"))

    monkeypatch.setattr(idx.FileLock, "acquire", refuse)
    with pytest.raises(Unavailable, match="nothing can be written"):
        idx.load(FAMILY)
    fill(folder.parent / "other", train_images_idx3_ubyte=b"short")
    (folder.parent / "other" / IMAGES).rename(folder / IMAGES)
    with pytest.raises(UserError) as caught:
        idx.load(FAMILY)
    assert caught.value.problems[0].where == str(folder / IMAGES)


DAMAGE = {
    "a page": (HTML, "HTML page, probably the error page of a mirror"),
    "a page that is packed": (gzip.compress(HTML), "HTML page"),
    "half a download": (gzip.compress(CONTENTS[IMAGES])[:1000], "ends too early"),
    "a broken archive": (
        gzip.compress(CONTENTS[IMAGES])[:-8] + b"\0" * 8, "cannot be unpacked",
    ),
    "a zip": (b"PK\x03\x04" + b"\0" * 50, "zip archive"),
    "a pointer": (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
    "an error of a server": (b'{"error": "quota exceeded"}', "JSON"),
    "nothing": (b"", "0 bytes instead of"),
    "another file, packed": (gzip.compress(CONTENTS["t10k-images-idx3-ubyte"]), "bytes instead of"),
    "too much, packed": (gzip.compress(CONTENTS[IMAGES] + b"more"), "more bytes instead of"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", [IMAGES, f"{IMAGES}.gz", f"{dotted(IMAGES)}.gz"])
def test_what_is_damaged_is_named_fetched_again_and_kept(folder, server, nobody, use, capsys, damage, name):  # noqa: F811
    content, said = DAMAGE[damage]
    fill(folder, train_images_idx3_ubyte=None)
    (folder / name).write_bytes(content)
    use(nobody)
    with pytest.raises(UserError) as caught:
        idx.load(FAMILY)
    assert not isinstance(caught.value, Unavailable)
    assert caught.value.problems[0].where == str(folder / name)
    assert said in str(caught.value)
    assert (folder / name).read_bytes() == content
    use(server.mirror("good"))
    check_loaded(idx.load(FAMILY))
    told = capsys.readouterr().err
    assert f"{folder / name} is damaged: " in told
    assert "fetching it again" in told
    kept = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert content in kept.values()
    assert kept[IMAGES] == CONTENTS[IMAGES]
    check_loaded(idx.load(FAMILY))
    assert server.asked == [f"good/{IMAGES}.gz"]


def test_a_damaged_file_beside_a_good_one_stays_and_is_told_of(folder, nobody, use, capsys):  # noqa: F811
    use(nobody)
    fill(folder, train_images_idx3_ubyte=b"short")
    (folder / f"{IMAGES}.gz").write_bytes(gzip.compress(CONTENTS[IMAGES]))
    check_loaded(idx.load(FAMILY))
    assert f"{folder / IMAGES} is damaged: 5 bytes instead of" in capsys.readouterr().err
    assert (folder / IMAGES).read_bytes() == b"short"


def test_earlier_damage_is_not_overwritten_by_later(folder, server, use):  # noqa: F811
    use(server.mirror("good"))
    fill(folder, train_images_idx3_ubyte=b"first")
    check_loaded(idx.load(FAMILY))
    (folder / IMAGES).write_bytes(b"second")
    check_loaded(idx.load(FAMILY))
    assert [(folder / f"{IMAGES}.damaged{n}").read_bytes() for n in ("", "1")] == [b"first", b"second"]


def test_links_to_nowhere(folder, server, nobody, use, monkeypatch, tmp_path):  # noqa: F811
    fill(folder, train_images_idx3_ubyte=None)
    (folder / IMAGES).symlink_to("/nowhere/images")
    use(nobody)
    with pytest.raises(UserError) as caught:
        idx.load(FAMILY)
    assert "a link to nowhere (/nowhere/images)" in str(caught.value)
    assert caught.value.problems[0].where == str(folder / IMAGES)
    use(server.mirror("good"))
    check_loaded(idx.load(FAMILY))
    assert os.readlink(folder / f"{IMAGES}.damaged") == "/nowhere/images"
    (tmp_path / "disk").symlink_to("/nowhere/disk")
    for place in ("disk", "disk/below"):
        monkeypatch.setenv("ACTBENCH_DATA", str(tmp_path / place))
        with pytest.raises(UserError) as caught:
            auto()
        assert not isinstance(caught.value, Unavailable)
        assert f"{tmp_path / 'disk'}: is a link to nowhere (/nowhere/disk)" in str(caught.value)


def test_links_to_good_files_are_followed(folder, nobody, use, tmp_path):  # noqa: F811
    use(nobody)
    fill(tmp_path / "elsewhere")
    folder.parent.mkdir(parents=True)
    folder.symlink_to(tmp_path / "elsewhere")
    check_loaded(idx.load(FAMILY))


@pytest.mark.parametrize("place", ["", "FakeMNIST", "FakeMNIST/raw"])
def test_a_file_in_the_place_of_a_folder(folder, server, use, place):  # noqa: F811
    root = folder.parent.parent
    (root / place).parent.mkdir(parents=True, exist_ok=True)
    (root / place).write_text("mine")
    use(server.mirror("good"))
    with pytest.raises(UserError) as caught:
        idx.load(FAMILY)
    assert not isinstance(caught.value, Unavailable)
    assert caught.value.problems[0].where == str(root / place)
    assert "is a file, where" in str(caught.value)
    assert (root / place).read_text() == "mine"


def test_a_file_that_may_not_be_read(folder, use, nobody, monkeypatch):  # noqa: F811
    use(nobody)
    fill(folder)
    opened = Path.open

    def refuse(path, *arguments, **named):
        if path.name == IMAGES:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return opened(path, *arguments, **named)

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(UserError, match="cannot be read") as caught:
        idx.load(FAMILY)
    assert caught.value.problems[0].where == str(folder / IMAGES)


def test_another_datasets_files(folder, nobody, use):  # noqa: F811
    """In the dataset's own folder they are in the way; in a folder that several share they are left alone."""
    use(nobody)
    root = folder.parent.parent
    root.mkdir(parents=True)
    ours = replace(FAMILY, md5=dict.fromkeys(SHAPES, "0" * 32))
    for name, content in CONTENTS.items():
        (root / name).write_bytes(content)
    with pytest.raises(Unavailable) as caught:
        idx.load(ours)
    assert f"{root / IMAGES}" in str(caught.value)
    assert "another dataset's" in str(caught.value)
    folder.mkdir(parents=True, exist_ok=True)
    (root / IMAGES).rename(folder / IMAGES)
    with pytest.raises(UserError) as caught:
        idx.load(ours)
    assert not isinstance(caught.value, Unavailable)
    assert [problem.where for problem in caught.value.problems] == [str(folder / IMAGES)]


def test_another_datasets_images_and_labels_are_recognised():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (50, 28, 28), dtype=np.uint8)
    images = header_of(pixels.shape) + pixels.tobytes()
    mean = pixels.mean() / 255
    assert belongs(images, pixels.shape, mean=mean + 0.005, others={}) == ""
    assert belongs(images, pixels.shape, mean=None, others={}) == ""
    assert "another dataset's" in belongs(images, pixels.shape, mean=mean - 0.05, others={})
    labels = header_of((5,)) + bytes([0, 3, 9, 1, 1])
    assert belongs(labels, (5,), mean=0.1, others={}) == ""
    assert "labels up to 25" in belongs(header_of((2,)) + bytes([25, 1]), (2,), mean=None, others={})
    from hashlib import md5

    assert "of MNIST" in belongs(labels, (5,), mean=None, others={md5(labels).hexdigest(): "MNIST"})


def test_a_checksum_file_of_somebody_elses_is_no_reason_for_alarm(folder, nobody, use):  # noqa: F811
    use(nobody)
    fill(folder)
    (folder / f"{IMAGES}.md5").write_text("see the README\n")
    (folder / "t10k-labels-idx1-ubyte.md5").write_text(f"{MD5['t10k-labels-idx1-ubyte']}  t10k-labels-idx1-ubyte\n")
    check_loaded(idx.load(FAMILY))


def test_a_mirror_that_sends_without_end_is_left(folder, server, use, monkeypatch):  # noqa: F811, ARG001
    monkeypatch.setattr(mirrors, "LARGEST", 100)
    use(server.mirror("good"))
    with pytest.raises(Unavailable, match="sends more than 100 bytes"):
        idx.load(FAMILY)


def test_where_no_folder_can_be_made_auto_takes_the_digits(actbench, tiny):
    """/proc says that there is no such file, and not that it may not be written to."""
    where = {"ACTBENCH_DATA": "/proc/actbench"}
    done = actbench(*[word for word in tiny if word != "dataset=digits"], "dataset=auto", env=where)
    assert done.returncode == 0, done.stderr
    assert "digits" in done.stdout
    done = actbench("dataset=mnist", env=where)
    assert done.returncode == 2
    assert "nothing can be written into its folder" in done.stderr
