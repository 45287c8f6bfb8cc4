"""The user's own code and data are a part of what a run is: what changes in them is noticed; errors in them are placed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from helpers import fake_run, settings_of

from actbench import naming
from actbench.command import digests
from actbench.custom import source_files
from actbench.report.configurations import blocks
from actbench.report.runs import find
from actbench.settings import Settings


def with_content(settings: Settings, content: str | None, group: str = "activation") -> Settings:
    choice = replace(getattr(settings, group), name="bent", target="own_acts.Bent", content=content)
    return replace(settings, **{group: choice})


# ---------------------------------------------------------------- what is in a module


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(**files):
        for name, text in files.items():
            path = tmp_path / (name.replace("__", "/") + ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    return write


def names(target, trust=("own_a",)):
    return [word.partition("=")[0] for word in source_files.content_now(target, trust).split()]


def test_the_modules_that_a_module_imports_count_with_it(here):
    here(
        own_a="import os, torch, yaml\nimport own_b\nclass A: pass\n",
        own_b="def f():\n    from own_c import g\n    return g\n",
        own_c="import importlib\nlate = importlib.import_module('own_d')\nimport own_a\n",
        own_d="",
        own_unused="",
    )
    assert names("own_a.A") == ["own_a.py", "own_b.py", "own_c.py", "own_d.py"]


def test_a_package_counts_with_what_its_import_executes(here, tmp_path):
    here(
        own_p__acts="from . import helper\nfrom .deep.more import x\nfrom .. import nothing\n",
        own_p__helper="", own_p__deep__more="x = 1\n", own_p__other="",
    )  # fmt: skip
    (tmp_path / "own_p" / "__init__.py").write_text("")
    found = names("own_p.acts.Bent", ("own_p",))
    assert {"own_p/__init__.py", "own_p/acts.py", "own_p/helper.py", "own_p/deep/more.py"} <= {*found}
    assert "own_p/other.py" not in found


def test_what_is_installed_counts_by_its_own_file_alone(here):
    here(own_a="import scipy\n")
    assert names("own_a.A", ("own_a", "scipy")) == ["own_a.py"]
    assert names("yaml.nodes.Node", ("yaml",)) and all("yaml/" in name for name in names("yaml.nodes.Node", ("yaml",)))


def test_a_change_is_seen_wherever_it_is_and_line_ends_are_none(here, tmp_path):
    here(own_a="import own_b\n", own_b="x = 1\n")
    before = source_files.content_now("own_a.A", ("own_a",))
    (tmp_path / "own_b.py").write_bytes(b"x = 1\r\n")
    assert source_files.content_now("own_a.A", ("own_a",)) == before
    here(own_b="x = 2\n")
    after = source_files.content_now("own_a.A", ("own_a",))
    assert after != before
    assert source_files.changed(before, after) == ["own_b.py"]


@pytest.mark.parametrize(
    "text", ["def f(:\n", "\x00", "import own_a\n" * 3, "from . import x\n", "from ... import y\n"]
)
def test_a_module_that_is_no_python_has_a_content_all_the_same(here, text):
    here(own_a=text)
    assert names("own_a.A") == ["own_a.py"]


def test_reading_the_content_imports_nothing(here, tmp_path):
    here(own_a="open('was_imported', 'w')\nimport own_b\n", own_b="open('was_imported', 'w')\n")
    assert names("own_a.A") == ["own_a.py", "own_b.py"]
    assert not (tmp_path / "was_imported").exists()


def test_what_is_not_trusted_has_no_content():
    plain = settings_of("dataset=digits")
    assert digests.with_contents(with_content(plain, None)).activation.content is None
    assert digests.with_contents(plain) == plain


# ---------------------------------------------------------------- the report


def test_the_report_tells_two_states_of_one_module_apart(tmp_path):
    plain = settings_of("dataset=digits", "num_seeds=5")
    for content, accuracy in (("own_acts.py=1", 90.0), ("own_acts.py=2", 95.0)):
        own = with_content(plain, content)
        fake_run(tmp_path / own.folder, own, [accuracy + 0.1 * seed for seed in range(5)])
    fake_run(tmp_path / plain.folder, plain, [92.0] * 5)
    (block,) = blocks(find([tmp_path]).runs)
    versions = [with_content(plain, content).activation.version for content in ("own_acts.py=2", "own_acts.py=1")]
    assert [one.name for one in block.configurations] == [
        f"bent (code {versions[0]})", "relu", f"bent (code {versions[1]})"
    ]  # fmt: skip
    assert block.varying == ("activation", "activation.content")


def test_of_one_state_the_name_says_nothing():
    own = with_content(settings_of("dataset=digits"), "own_acts.py=1")
    assert naming.names([own, settings_of("dataset=digits")]) == ["bent", "relu"]
    assert naming.names([own]) == ["bent"]


def test_other_data_are_another_comparison(tmp_path):
    plain = settings_of("dataset=digits", "num_seeds=5")
    for content in ("1f", "2f"):
        own = with_content(plain, content, "dataset")
        fake_run(tmp_path / own.folder, own, [90.0] * 5)
    titles = [block.title for block in blocks(find([tmp_path]).runs)]
    assert len({*titles}) == 2 and all(title.startswith("bent (data ") for title in titles)


# ---------------------------------------------------------------- the command


ACTS = (
    "import torch\nfrom own_helper import bend\n"
    "class Bent(torch.nn.Module):\n    def forward(self, z):\n        return bend(z)\n"
)
DATA = (
    "import numpy as np\nfrom actbench.datasets import make_splits\n"
    "def load(*, train_size=None, shift=0):\n"
    "    rng = np.random.default_rng(0)\n    labels = np.arange(300) % 3\n"
    "    images = (rng.integers(0, 100, (300, 8, 8)) + 50 * labels[:, None, None]).astype(np.uint8)\n"
    "    labels[:SWAPPED] = labels[:SWAPPED][::-1].copy()\n"
    "    return make_splits(name='lights', train=(images[:240], labels[:240]), test=(images[240:], labels[240:]),\n"
    "                       val_size=40, train_size=train_size)\n"
)
OWN = ["activation=bent", "dataset=lights", "trust=[own_acts,own_data]", "train.epochs=1", "num_seeds=2",
       "model.width=8", "train.threads=1", "study=s", "tensorboard=false"]  # fmt: skip


@pytest.fixture
def own(tmp_path):
    """A folder with an activation and a dataset of the user's own."""
    for group, name, target in (("activation", "bent", "own_acts.Bent"), ("dataset", "lights", "own_data.load")):
        (tmp_path / "conf" / group).mkdir(parents=True)
        lines = "train_size: null\n" if group == "dataset" else ""
        (tmp_path / "conf" / group / f"{name}.yaml").write_text(f"# mine\n_target_: {target}\n_partial_: true\n{lines}")
    (tmp_path / "own_acts.py").write_text(ACTS)
    (tmp_path / "own_helper.py").write_text("def bend(z):\n    return z.relu()\n")
    (tmp_path / "own_data.py").write_text(DATA.replace("SWAPPED", "0"))
    return tmp_path


def runs(folder: Path) -> list[str]:
    return sorted(path.parent.name for path in (folder / "outputs" / "s").glob("*/summary.json"))


def test_edited_code_and_data_are_noticed_and_trained_again(actbench, own):
    first = actbench(*OWN)
    assert (first.returncode, first.stderr) == (0, "")
    (one,) = runs(own)
    again = actbench(*OWN)
    assert again.returncode == 0 and "already complete" in again.stdout and again.stderr == ""

    (own / "own_helper.py").write_text("def bend(z):\n    return z.sin()\n")
    edited = actbench(*OWN)
    assert edited.returncode == 0 and "already complete" not in edited.stdout
    assert edited.stderr.startswith(f"own_helper.py (activation=bent) changed since {one} was trained: training again")
    two = next(name for name in runs(own) if name != one)
    assert two in edited.stderr

    (own / "own_data.py").write_text(DATA.replace("SWAPPED", "30"))
    relabelled = actbench(*OWN)
    assert "the data of dataset=lights changed since" in relabelled.stderr
    assert len(runs(own)) == 3

    (own / "own_data.py").write_text(DATA.replace("SWAPPED", "0") + "# another remark, the same data\n")
    (own / "own_helper.py").write_text("def bend(z):\n    return z.relu()\n")
    back = actbench(*OWN)
    assert "already complete" in back.stdout and len(runs(own)) == 3

    losses = {
        name: json.loads((own / "outputs" / "s" / name / "summary.json").read_text())["metrics"]["val_loss"]["values"]
        for name in runs(own)
    }
    assert losses[one] != losses[two]
    report = actbench("report", "outputs/s", "--table")
    assert report.returncode == 0 and report.stdout.count("bent (code ") >= 2 and "(data " in report.stdout


@pytest.mark.parametrize(
    ("file", "old", "new", "said"),
    [
        ("own_helper.py", "return z.relu()", "return z['a']", "activation=bent: "),
        ("own_helper.py", "return z.relu()", "return {}['a']", "activation=bent: KeyError: 'a' (own_helper.py, line 2, in bend)"),
        ("own_helper.py", "return z.relu()", "return z.bent()", "(own_helper.py, line 2, in bend)"),
        ("own_helper.py", "return z.relu()", "raise SystemExit(5)", "activation=bent: SystemExit: 5 (own_helper.py, line 2, in bend)"),
        ("own_acts.py", "    def forward", "    def __init__(self):\n        raise SystemExit\n    def forward",
         "activation=bent: SystemExit (own_acts.py, line 5, in __init__)"),
        ("own_data.py", "    rng =", "    raise SystemExit(0)\n    rng =", "dataset=lights: SystemExit: 0 (own_data.py, line 4, in load)"),
        ("own_acts.py", "    def forward", "    def __init__(self):\n        self.a.b\n    def forward",
         "activation=bent: AttributeError: 'Bent' object has no attribute 'a' (own_acts.py, line 5, in __init__)"),
        ("own_acts.py", "import torch\n", "import torch\nopen('nowhere.txt')\n", "activation=bent: `own_acts` cannot be imported"),
        ("own_data.py", "    rng =", "    open('photos/labels.csv')\n    rng =",
         "dataset=lights: FileNotFoundError: [Errno 2] No such file or directory: 'photos/labels.csv' (own_data.py, line 4, in load)"),
        ("own_data.py", "    return make_splits", "    return images\n    return make_splits",
         "dataset=lights: own_data.load returned a ndarray"),
        ("own_data.py", "    return make_splits", "    images = images.astype(float)\n    return make_splits",
         "make_splits(name='lights'): `train images` are float64, not uint8"),
    ],
)  # fmt: skip
def test_what_fails_in_own_code_is_placed_before_anything_is_trained(actbench, own, file, old, new, said):
    path = own / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    done = actbench(*OWN)
    assert done.returncode == 2, done.stdout + done.stderr
    assert said in done.stderr and "Traceback" not in done.stderr and done.stdout == ""
    assert not (own / "outputs").exists()


@pytest.mark.parametrize("kind", ["KeyError", "SystemExit"])
def test_what_fails_in_own_code_later_is_placed_too(actbench, own, kind):
    """Only a whole batch shows it: the look before training does not. The other runs of a sweep are trained."""
    (own / "own_helper.py").write_text(
        f"def bend(z):\n    if z.numel() > 500 and z.requires_grad:\n        raise {kind}('deep inside')\n    return z.relu()\n"
    )
    done = actbench("-m", "activation=bent,relu", *OWN[1:])
    assert done.returncode == 1
    said = "'deep inside'" if kind == "KeyError" else "deep inside"
    said = f"{kind}: {said} (own_helper.py, line 3, in bend)"
    assert f"the run failed in activation=bent: {said}" in done.stderr
    assert "Traceback" not in done.stderr
    of_bent, of_relu = [json.loads((own / "outputs" / "s" / name / "summary.json").read_text()) for name in runs(own)]
    assert (of_bent["status"], of_bent["reason"], of_relu["status"]) == ("failed", said, "completed")


@pytest.mark.usefixtures("own")
def test_an_untrusted_dataset_is_named(actbench):
    done = actbench("dataset=lights", "num_seeds=1")
    assert done.returncode == 2
    assert done.stderr.startswith("error: dataset=lights: `_target_: own_data.load` is from a package that is not")


def test_a_sweep_over_own_code_trains_each_once(actbench, own):
    sweep = ["-m", "activation=bent,relu", *OWN[1:]]
    done = actbench(*sweep)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    assert len(runs(own)) == 2
    (own / "own_helper.py").write_text("def bend(z):\n    return z.sin()\n")
    done = actbench(*sweep)
    assert done.returncode == 0 and done.stderr.count("changed since") == 1
    assert len(runs(own)) == 3 and "(code " in done.stdout
