"""The data that training sees: how they are split and normalised, and IDX files found, checked and fetched.

Downloads come from a server of the test's own on 127.0.0.1, in families of a few small images.
"""

import gzip
import hashlib
import importlib
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from actbench.datasets import Splits, Unavailable, auto, digits, idx, mirrors, mnist
from actbench.datasets.splits import make_splits, stratified
from actbench.errors import UserError

families = importlib.import_module("actbench.datasets.mnist")  # `actbench.datasets.mnist` itself is the function

# ---------------------------------------------------------------- stratified


def label_sets():
    rng = np.random.default_rng(0)
    yield "balanced", np.repeat(np.arange(10), 30)
    yield "uneven", rng.choice(7, size=533, p=[0.3, 0.25, 0.2, 0.1, 0.08, 0.05, 0.02])
    yield "two classes", rng.permutation(np.array([0] * 7 + [1] * 93))
    yield "with gaps", rng.choice([1, 4, 8], size=100)


LABELS = dict(label_sets())


@pytest.mark.parametrize("name", LABELS)
@pytest.mark.parametrize("size", [0, 1, 13, 50, 99])
def test_a_stratified_part_has_the_largest_remainder_counts(name, size):
    labels = LABELS[name]
    chosen = stratified(labels, size)
    assert len(chosen) == len(set(chosen.tolist())) == size
    assert chosen.tolist() == sorted(chosen.tolist())
    counts, got = Counter(labels.tolist()), Counter(labels[chosen].tolist())
    exact = {c: Fraction(n * size, len(labels)) for c, n in counts.items()}
    rounded_up = [c for c in exact if got[c] == exact[c].__floor__() + 1]
    rounded_down = [c for c in exact if got[c] == exact[c].__floor__()]
    assert len(rounded_up) + len(rounded_down) == len(exact)
    remainders = {c: exact[c] % 1 for c in exact}
    least_up = min((remainders[c] for c in rounded_up), default=1)
    assert all(remainders[c] <= least_up for c in rounded_down)
    assert all(remainders[c] > 0 for c in rounded_up)


def test_all_samples_are_a_stratified_part_too():
    labels = LABELS["uneven"]
    assert np.array_equal(stratified(labels, len(labels)), np.arange(len(labels)))


def test_the_stratified_part_is_always_the_same_and_no_plain_beginning():
    labels = LABELS["balanced"]
    chosen = stratified(labels, 100)
    np.random.seed(1)  # the global state has no part in it
    assert np.array_equal(chosen, stratified(labels.copy(), 100))
    assert not np.array_equal(chosen[:10], np.arange(10))


# ---------------------------------------------------------------- digits


DIGITS = 0.3053, 0.3247  # mean and standard deviation


def pixels_of(x, mean, std):
    """The uint8 images (N, H, W) behind normalised ones."""
    pixels = (x[:, 0].double() * std + mean) * 255
    assert (pixels - pixels.round()).abs().max() < 1e-3
    return pixels.round().byte().numpy()


def scans_behind(x):
    """The 8 by 8 scans of 17 grey levels that the images of `digits` are made of."""
    at = np.clip((np.arange(28) + 0.5) * 8 / 28 - 0.5, 0, 7)  # where pixel i of the large grid lies on the small one
    low = np.minimum(np.floor(at).astype(int), 6)
    blend = np.zeros((28, 8))
    blend[np.arange(28), low] = 1 - (at - low)
    blend[np.arange(28), low + 1] = at - low
    large = pixels_of(x, *DIGITS)
    back = np.linalg.pinv(blend)
    scans = np.round(back @ large @ back.T * (16 / 255))
    assert np.abs(blend @ scans @ blend.T * (255 / 16) - large).max() < 0.5 + 1e-3
    return scans.astype(int)


def counted(images):
    return Counter(image.tobytes() for image in images)


def test_digits_have_their_sizes_shapes_and_types():
    splits = digits()
    assert (splits.name, splits.note, splits.classes, splits.inputs) == ("digits", "", 10, (1, 28, 28))
    for x, y, n in [
        (splits.train_x, splits.train_y, 1257),
        (splits.val_x, splits.val_y, 180),
        (splits.test_x, splits.test_y, 360),
    ]:
        assert (x.shape, x.dtype) == ((n, 1, 28, 28), torch.float32)
        assert (y.shape, y.dtype) == ((n,), torch.int64)


def test_each_split_of_digits_has_the_classes_in_proportion():
    splits = digits()
    counts = torch.bincount(torch.from_numpy(load_digits().target))
    for y, n in [(splits.train_y, 1257), (splits.val_y, 180), (splits.test_y, 360)]:
        assert (torch.bincount(y, minlength=10) - counts * n / 1797).abs().max() < 2
    assert torch.equal(sum(torch.bincount(y) for y in (splits.train_y, splits.val_y, splits.test_y)), counts)


def test_the_splits_of_digits_share_no_sample_and_leave_none_out():
    splits = digits()
    parts = [scans_behind(x) for x in (splits.train_x, splits.val_x, splits.test_x)]
    everything = load_digits().images.astype(int)
    assert counted(np.concatenate(parts)) == counted(everything)  # each as often as it is there: no index twice


def test_a_label_of_digits_belongs_to_its_image():
    splits, known = digits(), load_digits()
    label_of = {scan.tobytes(): label for scan, label in zip(known.images.astype(int), known.target, strict=True)}
    for x, y in [(splits.train_x, splits.train_y), (splits.val_x, splits.val_y), (splits.test_x, splits.test_y)]:
        assert [label_of[scan.tobytes()] for scan in scans_behind(x)] == y.tolist()


def test_digits_are_the_same_every_time():
    one = digits()
    torch.manual_seed(99)
    other = digits()
    for key, value in vars(one).items():
        same = (
            torch.equal(value, getattr(other, key)) if isinstance(value, torch.Tensor) else value == getattr(other, key)
        )
        assert same, key


def test_digits_are_normalised_and_their_black_is_the_background():
    splits = digits()
    everything = torch.cat([splits.train_x, splits.val_x, splits.test_x])
    assert everything.mean().item() == pytest.approx(0.0, abs=1e-3)
    assert everything.std().item() == pytest.approx(1.0, abs=1e-3)
    assert splits.train_x.mean().item() == pytest.approx(0.0, abs=0.03)
    assert splits.train_x.std().item() == pytest.approx(1.0, abs=0.03)
    assert everything.min().item() == pytest.approx(splits.background, abs=1e-6)
    assert splits.background == pytest.approx(-0.3053 / 0.3247)
    assert everything.max().item() == pytest.approx((1 - 0.3053) / 0.3247, abs=1e-5)


@pytest.mark.parametrize("size", [10, 100, 999, 1257])
def test_train_size_takes_a_stratified_part_of_the_training_set_and_nothing_else(size):
    whole, part = digits(), digits(train_size=size)
    assert len(part.train_x) == len(part.train_y) == size
    proportion = torch.bincount(whole.train_y) * size / 1257
    counts = torch.bincount(part.train_y, minlength=10)
    assert (counts - proportion).abs().max() < 1
    assert counts.min() >= 1
    assert counted(pixels_of(part.train_x, *DIGITS)) <= counted(pixels_of(whole.train_x, *DIGITS))
    for key in ("val_x", "val_y", "test_x", "test_y"):
        assert torch.equal(getattr(part, key), getattr(whole, key))
    if size == 1257:
        assert torch.equal(part.train_x, whole.train_x)


@pytest.mark.parametrize("size", [1, 9, 1258, 60_000])
def test_a_train_size_that_cannot_be_had_is_the_users_error(size):
    with pytest.raises(UserError) as caught:
        digits(train_size=size)
    assert not isinstance(caught.value, Unavailable)
    for said in (f"dataset.train_size={size}", "1,257", "10"):
        assert said in str(caught.value)


def test_a_note_goes_with_the_data():
    assert digits(note="something to know").note == "something to know"


def test_splits_move_to_a_device_whole():
    splits = digits(train_size=20)
    moved = splits.to(torch.device("meta"))
    assert {v.device.type for v in vars(moved).values() if isinstance(v, torch.Tensor)} == {"meta"}
    assert (moved.name, moved.classes, moved.background) == (splits.name, splits.classes, splits.background)


def test_make_splits_keeps_the_test_set_as_it_is_and_takes_validation_from_training():
    train = (np.arange(50, dtype=np.uint8)[:, None, None].repeat(4, 1).repeat(4, 2), np.arange(50) % 5)
    test = (np.full((7, 4, 4), 200, dtype=np.uint8), np.arange(7) % 5)
    splits = make_splits(name="x", train=train, test=test, val_size=10, train_size=None, mean=0.5, std=0.25)
    seen = [pixels_of(x, 0.5, 0.25)[:, 0, 0].tolist() for x in (splits.train_x, splits.val_x)]
    assert sorted(seen[0] + seen[1]) == list(range(50))
    assert [value % 5 for value in seen[0]] == splits.train_y.tolist()
    assert [value % 5 for value in seen[1]] == splits.val_y.tolist()
    assert splits.test_y.tolist() == test[1].tolist()
    torch.testing.assert_close(splits.test_x, torch.full((7, 1, 4, 4), (200 / 255 - 0.5) / 0.25))
    assert splits.background == -2.0


# ---------------------------------------------------------------- the real MNIST, where it is at hand

REAL = Path(os.environ.get("ACTBENCH_DATA", "")) / "MNIST" / "raw"


@pytest.mark.skipif("ACTBENCH_DATA" not in os.environ or not REAL.is_dir(), reason="ACTBENCH_DATA has no MNIST/raw")
def test_mnist_has_its_sizes_and_a_validation_split_that_is_always_the_same_part_of_its_training_set():
    splits = mnist()
    assert (splits.name, splits.note, splits.classes, splits.inputs) == ("mnist", "", 10, (1, 28, 28))
    assert [len(y) for y in (splits.train_y, splits.val_y, splits.test_y)] == [55_000, 5_000, 10_000]
    assert splits.train_x.mean().item() == pytest.approx(0.0, abs=2e-3)
    assert splits.train_x.std().item() == pytest.approx(1.0, abs=2e-3)
    assert splits.train_x.min().item() == pytest.approx(splits.background, abs=1e-6)
    assert splits.background == pytest.approx(-0.1307 / 0.3081)
    assert splits.train_x.max().item() == pytest.approx((1 - 0.1307) / 0.3081, abs=1e-5)
    raw = np.fromfile(REAL / "train-images-idx3-ubyte", dtype=np.uint8, offset=16).reshape(-1, 28, 28)
    labels = np.fromfile(REAL / "train-labels-idx1-ubyte", dtype=np.uint8, offset=8)
    chosen = stratified(labels, 5_000)
    rest = np.setdiff1d(np.arange(60_000), chosen)
    for x, y, rows in [(splits.val_x, splits.val_y, chosen), (splits.train_x, splits.train_y, rest)]:
        assert np.array_equal(pixels_of(x, 0.1307, 0.3081), raw[rows])
        assert np.array_equal(y.numpy(), labels[rows])
    per_class = torch.bincount(splits.val_y) - torch.from_numpy(np.bincount(labels) * 5_000 / 60_000)
    assert per_class.abs().max() < 1
    again = mnist(train_size=100)
    assert torch.equal(again.val_x, splits.val_x)
    assert torch.equal(again.test_x, splits.test_x)
    assert len(again.train_y) == 100


# ---------------------------------------------------------------- IDX files: a family of our own, and its server

SHAPES = {
    "train-images-idx3-ubyte": (60, 28, 28),
    "train-labels-idx1-ubyte": (60,),
    "t10k-images-idx3-ubyte": (20, 28, 28),
    "t10k-labels-idx1-ubyte": (20,),
}
FAMILY = idx.Family(title="Fake-MNIST", torchvision="FakeMNIST", mean=0.1, std=0.3)
IMAGES = "train-images-idx3-ubyte"


def contents():
    rng = np.random.default_rng(0)
    arrays = {
        name: rng.integers(0, 256 if len(shape) == 3 else 10, size=shape, dtype=np.uint8)
        for name, shape in SHAPES.items()
    }
    return {name: struct.pack(f">{1 + a.ndim}i", 0x800 + a.ndim, *a.shape) + a.tobytes() for name, a in arrays.items()}


CONTENTS = contents()
ARCHIVES = {f"{name}.gz": gzip.compress(content, mtime=0) for name, content in CONTENTS.items()}
CHECKSUMS = {name: hashlib.md5(content).hexdigest() for name, content in ARCHIVES.items()}
MD5 = {name: hashlib.md5(content).hexdigest() for name, content in CONTENTS.items()}


class Mirrors(ThreadingHTTPServer):
    """Mirrors of every temper under one address: /good/, /bad/ (wrong bytes), /gone/ (404), /short/ and /stalls/."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answer)
        self.asked = []
        self.delay = 0.0
        self.released = threading.Event()

    def mirror(self, temper):
        return f"http://127.0.0.1:{self.server_port}/{temper}/"

    def handle_error(self, *_):
        """A client that has gone away is no error."""


class Answer(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        _, temper, name = self.path.split("/")
        self.server.asked.append(f"{temper}/{name}")
        time.sleep(self.server.delay)
        if temper == "gone":
            self.send_error(404)
            return
        content = ARCHIVES[name]
        sent = {"bad": content[::-1], "short": content[:-9], "stalls": content[:99]}.get(temper, content)
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(sent)
        if temper == "stalls":
            self.wfile.flush()
            self.server.released.wait(10)


@pytest.fixture
def server():
    server = Mirrors()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.released.set()
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def nobody():
    """The address of a mirror at which nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}/"


@pytest.fixture
def silent():
    """The address of a mirror that takes the call and never says a word."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(8)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where the family's files belong: not there yet. The data root is a fresh one, and no proxy stands in the way."""
    monkeypatch.setattr(idx, "_SHAPES", SHAPES)
    monkeypatch.setenv("ACTBENCH_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "data" / "FakeMNIST" / "raw"


@pytest.fixture
def use(monkeypatch):
    """Makes these the mirrors."""

    def set_mirrors(*addresses):
        monkeypatch.setattr(idx, "_sources", lambda family: (list(addresses), CHECKSUMS))

    return set_mirrors


def fill(folder, **changed):
    """All four files on disk; `changed` are other contents, or None for a file that is missing."""
    folder.mkdir(parents=True)
    for name, content in {**CONTENTS, **{key.replace("_", "-"): value for key, value in changed.items()}}.items():
        if content is not None:
            (folder / name).write_bytes(content)


def left_in(folder):
    names = sorted(path.name for path in folder.iterdir() if path.name != ".download.lock")
    return [name for name in names if not name.endswith(".md5")]  # beside each file that was unpacked here


def check_loaded(loaded):
    arrays = [array for pair in loaded for array in pair]
    for array, (name, shape) in zip(arrays, SHAPES.items(), strict=True):
        assert (array.dtype, array.shape) == (np.uint8, shape)
        assert array.tobytes() == CONTENTS[name][4 + 4 * len(shape) :]


def test_files_on_disk_are_read_without_asking_anybody(folder, monkeypatch):
    fill(folder)
    monkeypatch.setattr(idx, "_sources", lambda family: pytest.fail(f"asked for {family.title}"))
    check_loaded(idx.load(FAMILY))


def test_missing_files_are_downloaded_and_only_they_are_left(folder, server, use):
    use(server.mirror("good"))
    check_loaded(idx.load(FAMILY))
    assert left_in(folder) == sorted(SHAPES)
    assert {name: (folder / name).read_bytes() for name in SHAPES} == CONTENTS
    assert sorted(server.asked) == sorted(f"good/{name}.gz" for name in SHAPES)
    check_loaded(idx.load(FAMILY))
    assert len(server.asked) == 4  # the second time nothing is asked for


def test_only_what_is_missing_is_downloaded(folder, server, use):
    fill(folder, t10k_labels_idx1_ubyte=None)
    use(server.mirror("good"))
    check_loaded(idx.load(FAMILY))
    assert server.asked == ["good/t10k-labels-idx1-ubyte.gz"]


@pytest.mark.parametrize("temper", ["bad", "gone", "short"])
def test_a_mirror_that_fails_is_followed_by_the_next(folder, server, use, temper):
    use(server.mirror(temper), server.mirror("good"))
    check_loaded(idx.load(FAMILY))
    assert server.asked[:2] == [f"{temper}/{IMAGES}.gz", f"good/{IMAGES}.gz"]
    assert left_in(folder) == sorted(SHAPES)


def test_a_mirror_that_stalls_in_the_middle_of_a_file_is_followed_by_the_next(folder, server, use, monkeypatch):
    monkeypatch.setattr(mirrors, "PATIENCE", 1.0)
    fill(folder, train_images_idx3_ubyte=None)
    use(server.mirror("stalls"), server.mirror("good"))
    check_loaded(idx.load(FAMILY))
    assert server.asked == [f"stalls/{IMAGES}.gz", f"good/{IMAGES}.gz"]


def test_nobody_at_the_first_mirror_is_followed_by_the_next(folder, server, nobody, use):
    use(nobody, server.mirror("good"))
    check_loaded(idx.load(FAMILY))
    assert left_in(folder) == sorted(SHAPES)


@pytest.mark.parametrize("temper", ["bad", "gone", "short"])
def test_a_failed_download_leaves_nothing_behind(folder, server, use, temper):
    use(server.mirror(temper))
    with pytest.raises(Unavailable) as caught:
        idx.load(FAMILY)
    assert left_in(folder) == []
    for said in ("Fake-MNIST", str(folder), server.mirror(temper)):
        assert said in str(caught.value)


def test_a_download_that_fails_half_way_leaves_whole_files_and_no_half_ones(folder, server, use, monkeypatch):
    use(server.mirror("good"))
    ask = mirrors._answer

    def fail_at_the_third(url, patience):
        if "t10k-images" in url:
            raise ConnectionResetError("pulled the plug")
        return ask(url, patience)

    monkeypatch.setattr(mirrors, "_answer", fail_at_the_third)
    with pytest.raises(Unavailable, match="pulled the plug"):
        idx.load(FAMILY)
    assert left_in(folder) == list(SHAPES)[:2]
    monkeypatch.setattr(mirrors, "_answer", ask)
    check_loaded(idx.load(FAMILY))
    assert len(server.asked) == 4


def test_a_full_disk_is_the_users_error_and_leaves_no_half_file(folder, server, use, monkeypatch):
    use(server.mirror("good"))

    def write_and_fail(packed, file):
        file.write(packed.read(100))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(idx.shutil, "copyfileobj", write_and_fail)
    with pytest.raises(UserError, match="No space left") as caught:
        idx.load(FAMILY)
    assert "ACTBENCH_DATA" in str(caught.value)
    assert [name for name in left_in(folder) if not name.endswith(".gz")] == []


def test_an_archive_that_is_already_there_is_unpacked_and_not_fetched(folder, nobody, use):
    folder.mkdir(parents=True)
    for name, content in ARCHIVES.items():
        (folder / name).write_bytes(content)
    use(nobody)
    check_loaded(idx.load(FAMILY))
    assert left_in(folder) == sorted([*SHAPES, *ARCHIVES])  # the archives are not ours to delete


def test_a_damaged_archive_on_disk_is_fetched_again(folder, server, use):
    fill(folder, train_images_idx3_ubyte=None)
    (folder / f"{IMAGES}.gz").write_bytes(ARCHIVES[f"{IMAGES}.gz"][:50])
    use(server.mirror("good"))
    check_loaded(idx.load(FAMILY))
    assert server.asked == [f"good/{IMAGES}.gz"]
    assert left_in(folder) == sorted([*SHAPES, f"{IMAGES}.gz"])


@pytest.mark.parametrize(
    ("damaged", "said"),
    [
        (CONTENTS[IMAGES][:-1], "bytes instead of"),
        (CONTENTS[IMAGES] + b"\0", "bytes instead of"),
        (b"", "0 bytes instead of"),
        (b"\0\0\x08\x01" + CONTENTS[IMAGES][4:], "header"),
        (CONTENTS["t10k-images-idx3-ubyte"], "bytes instead of"),
    ],
    ids=["truncated", "too long", "empty", "wrong header", "the test set's file"],
)
def test_a_damaged_file_is_named_and_fetched_again(folder, server, use, capsys, damaged, said):
    fill(folder, train_images_idx3_ubyte=damaged)
    use(server.mirror("good"))
    check_loaded(idx.load(FAMILY))
    told = capsys.readouterr()
    assert told.out == ""
    for words in (str(folder / IMAGES), said, "fetching it again"):
        assert words in told.err
    assert server.asked == [f"good/{IMAGES}.gz"]
    assert (folder / IMAGES).read_bytes() == CONTENTS[IMAGES]


def test_training_and_test_files_that_were_swapped_are_both_found_out(folder, server, use, capsys):
    fill(
        folder,
        train_labels_idx1_ubyte=CONTENTS["t10k-labels-idx1-ubyte"],
        t10k_labels_idx1_ubyte=CONTENTS["train-labels-idx1-ubyte"],
    )
    use(server.mirror("good"))
    check_loaded(idx.load(FAMILY))
    told = capsys.readouterr().err
    assert str(folder / "train-labels-idx1-ubyte") in told
    assert str(folder / "t10k-labels-idx1-ubyte") in told
    assert sorted(server.asked) == ["good/t10k-labels-idx1-ubyte.gz", "good/train-labels-idx1-ubyte.gz"]


def test_a_wrong_byte_is_found_out_where_the_md5_is_known(folder, server, use, capsys):
    flipped = CONTENTS[IMAGES][:-1] + bytes([CONTENTS[IMAGES][-1] ^ 1])
    fill(folder, train_images_idx3_ubyte=flipped)
    use(server.mirror("good"))
    (train_x, _), _ = idx.load(FAMILY)  # nothing is known about this family's bytes
    assert train_x.tobytes() == flipped[16:]
    assert server.asked == []
    check_loaded(idx.load(replace(FAMILY, md5=MD5)))
    assert server.asked == [f"good/{IMAGES}.gz"]
    assert f"{folder / IMAGES} is damaged: its MD5 is wrong; fetching it again" in capsys.readouterr().err


def test_a_damaged_file_that_nobody_replaces_is_an_error_that_names_it_and_keeps_it(folder, nobody, use):
    damaged = CONTENTS[IMAGES][:100]
    fill(folder, train_images_idx3_ubyte=damaged)
    use(nobody)
    with pytest.raises(UserError) as caught:
        idx.load(FAMILY)
    assert not isinstance(caught.value, Unavailable)
    assert caught.value.problems[0].where == str(folder / IMAGES)
    assert "100 bytes" in str(caught.value)
    assert nobody in str(caught.value)
    assert (folder / IMAGES).read_bytes() == damaged


def test_an_archive_with_the_wrong_content_is_found_out(folder, server, use, monkeypatch):
    fill(folder, train_labels_idx1_ubyte=None)
    wrong = gzip.compress(CONTENTS["t10k-labels-idx1-ubyte"], mtime=0)
    monkeypatch.setitem(ARCHIVES, "train-labels-idx1-ubyte.gz", wrong)
    monkeypatch.setitem(CHECKSUMS, "train-labels-idx1-ubyte.gz", hashlib.md5(wrong).hexdigest())
    use(server.mirror("good"))
    with pytest.raises(UserError, match="archive has the right MD5") as caught:
        idx.load(FAMILY)
    assert not isinstance(caught.value, Unavailable)
    assert str(folder / "train-labels-idx1-ubyte") in str(caught.value)


@pytest.mark.parametrize("number", [1, 3])
def test_where_nothing_answers_the_data_are_unavailable_soon(folder, silent, use, monkeypatch, number):
    monkeypatch.setattr(mirrors, "PATIENCE", 0.5)
    use(*[silent] * number)
    began = time.monotonic()
    with pytest.raises(Unavailable) as caught:
        idx.load(FAMILY)
    assert time.monotonic() - began < 3
    assert "dataset=digits" in str(caught.value)
    assert left_in(folder) == []


def test_a_look_up_that_hangs_is_given_up_soon(folder, use, monkeypatch):
    hangs = threading.Event()
    monkeypatch.setattr(mirrors, "PATIENCE", 0.5)
    monkeypatch.setattr(mirrors, "urlopen", lambda *_, **__: hangs.wait(10))
    use("http://mirror.invalid/")
    began = time.monotonic()
    with pytest.raises(Unavailable, match="no answer"):
        idx.load(FAMILY)
    assert time.monotonic() - began < 3
    assert left_in(folder) == []
    hangs.set()


@pytest.mark.parametrize("root", ["occupied", "occupied/below", "occupied/below/still"])
def test_a_data_root_that_cannot_be_written_to_is_the_users_error(folder, server, use, tmp_path, monkeypatch, root):  # noqa: ARG001
    (tmp_path / "occupied").write_text("a file")
    monkeypatch.setenv("ACTBENCH_DATA", str(tmp_path / root))
    use(server.mirror("good"))
    with pytest.raises(UserError) as caught:
        idx.load(FAMILY)
    assert not isinstance(caught.value, Unavailable)
    assert str(tmp_path / "occupied") in caught.value.problems[0].where
    assert "ACTBENCH_DATA" in caught.value.problems[0].how
    assert server.asked == []


def test_a_folder_in_the_place_of_a_file_is_the_users_error(folder, nobody, use):
    fill(folder, train_images_idx3_ubyte=None)
    (folder / IMAGES).mkdir()
    use(nobody)
    with pytest.raises(UserError) as caught:
        idx.load(FAMILY)
    assert not isinstance(caught.value, Unavailable)
    assert str(folder / IMAGES) in str(caught.value)


def test_threads_that_download_at_one_time_all_succeed_and_fetch_each_file_once(folder, server, use):
    server.delay = 0.05
    use(server.mirror("good"))
    together = threading.Barrier(4)
    loaded, failed = [], []

    def go():
        together.wait()
        try:
            loaded.append(idx.load(FAMILY))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert len(loaded) == 4
    for each in loaded:
        check_loaded(each)
    assert sorted(server.asked) == sorted(f"good/{name}.gz" for name in SHAPES)
    assert left_in(folder) == sorted(SHAPES)


PROCESS = """
import sys
from actbench.datasets import idx
idx._SHAPES = {shapes!r}
idx._sources = lambda family: ([{mirror!r}], {checksums!r})
print("ready", flush=True)
sys.stdin.readline()
(x, y), (tx, ty) = idx.load(idx.Family(title="Fake-MNIST", torchvision="FakeMNIST", mean=0.1, std=0.3))
print(int(x.sum()), int(y.sum()), int(tx.sum()), int(ty.sum()), flush=True)
"""


def test_processes_that_download_at_one_time_all_succeed_and_fetch_each_file_once(folder, server):
    server.delay = 0.1
    script = PROCESS.format(shapes=SHAPES, mirror=server.mirror("good"), checksums=CHECKSUMS)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen([sys.executable, "-c", script], **pipes) for _ in range(2)]
    try:
        for process in processes:
            assert process.stdout.readline() == "ready\n", process.stderr.read()
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        results = [process.communicate(timeout=60) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    sums = [int(np.frombuffer(CONTENTS[n], np.uint8)[4 + 4 * len(s) :].sum(dtype=int)) for n, s in SHAPES.items()]
    assert results == [(" ".join(map(str, sums)) + "\n", "")] * 2
    assert sorted(server.asked) == sorted(f"good/{name}.gz" for name in SHAPES)
    assert left_in(folder) == sorted(SHAPES)


# ---------------------------------------------------------------- where data are and come from


def test_the_data_root_is_the_folder_that_the_user_names(monkeypatch, tmp_path):
    monkeypatch.setenv("ACTBENCH_DATA", str(tmp_path))
    assert idx.data_root() == tmp_path
    monkeypatch.setenv("ACTBENCH_DATA", "~/data")
    assert idx.data_root() == Path.home() / "data"


@pytest.mark.parametrize("value", ["", None])
def test_without_a_name_the_data_root_is_a_folder_of_ours_in_the_cache(monkeypatch, value):
    monkeypatch.delenv("ACTBENCH_DATA", raising=False)
    if value is not None:
        monkeypatch.setenv("ACTBENCH_DATA", value)
    assert idx.data_root().is_absolute()
    assert idx.data_root() != Path.cwd()
    assert "actbench" in idx.data_root().parts


@pytest.mark.parametrize("family", [families._MNIST, families._FASHION, families._KMNIST], ids=lambda f: f.title)
def test_every_family_has_mirrors_and_checksums_for_its_four_files(family, monkeypatch):
    monkeypatch.delenv("ACTBENCH_MIRROR", raising=False)
    addresses, archives = idx._sources(family)
    assert addresses
    assert all(address.startswith("http") and address.endswith("/") for address in addresses)
    assert set(archives) == {f"{name}.gz" for name in SHAPES}
    assert all(len(md5) == 32 for md5 in archives.values())
    assert set(family.md5) <= set(SHAPES)


@pytest.mark.parametrize("asked", ["http://127.0.0.1:1/own", "http://127.0.0.1:1/own/"])
def test_a_mirror_of_the_users_own_replaces_the_known_ones(asked, monkeypatch):
    monkeypatch.delenv("ACTBENCH_MIRROR", raising=False)
    _, known = idx._sources(families._MNIST)
    monkeypatch.setenv("ACTBENCH_MIRROR", asked)
    addresses, archives = idx._sources(families._MNIST)
    assert addresses == ["http://127.0.0.1:1/own/"]
    assert archives == known


# ---------------------------------------------------------------- mnist and auto


@pytest.fixture
def small_mnist(folder, monkeypatch):
    """MNIST with 6,000 and 20 samples, as `mnist` and `auto` see it."""
    shapes = {name: (6_000 if name.startswith("train") else 20, *shape[1:]) for name, shape in SHAPES.items()}
    monkeypatch.setattr(idx, "_SHAPES", shapes)
    monkeypatch.setattr(families, "_MNIST", replace(families._MNIST, md5={}))
    raw = folder.parent.parent / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name, shape in shapes.items():
        header = struct.pack(f">{1 + len(shape)}i", 0x800 + len(shape), *shape)
        (raw / name).write_bytes(header + (np.arange(np.prod(shape)) % 10).astype(np.uint8).tobytes())
    return raw


@pytest.mark.parametrize("loader", [mnist, auto])
def test_what_is_on_disk_is_mnist_with_5000_samples_for_validation(small_mnist, loader):  # noqa: ARG001
    splits = loader()
    assert isinstance(splits, Splits)
    assert (splits.name, splits.note) == ("mnist", "")
    assert [len(y) for y in (splits.train_y, splits.val_y, splits.test_y)] == [1_000, 5_000, 20]
    assert len(loader(train_size=50).train_y) == 50


def test_auto_falls_back_to_digits_and_says_so(folder, nobody, use):  # noqa: ARG001
    use(nobody)
    splits = auto(train_size=100)
    assert splits.name == "digits"
    assert len(splits.train_y) == 100
    assert torch.equal(splits.train_x, digits(train_size=100).train_x)
    assert splits.note.startswith("NOT MNIST")
    assert nobody in splits.note


def test_mnist_by_its_name_does_not_fall_back(folder, nobody, use):  # noqa: ARG001
    use(nobody)
    with pytest.raises(Unavailable, match="MNIST"):
        mnist()


def test_auto_does_not_hide_a_damaged_file(small_mnist, nobody, use):
    use(nobody)
    path = small_mnist / "t10k-labels-idx1-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError) as caught:
        auto()
    assert not isinstance(caught.value, Unavailable)
    assert str(path) in str(caught.value)


def test_auto_does_not_hide_a_train_size_that_cannot_be_had(small_mnist):  # noqa: ARG001
    with pytest.raises(UserError, match="mnist has 1,000") as caught:
        auto(train_size=2_000)
    assert not isinstance(caught.value, Unavailable)


def test_a_file_of_a_family_without_known_checksums_is_held_to_what_was_unpacked(folder, server, use):
    """Other images of the right size and header in the place of those that were fetched."""
    use(server.mirror("good"))
    idx.load(FAMILY)
    path = folder / "t10k-images-idx3-ubyte"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    check_loaded(idx.load(FAMILY))
    assert server.asked[-1] == "good/t10k-images-idx3-ubyte.gz"
    assert len(server.asked) == 5
