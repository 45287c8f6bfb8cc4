"""A full disk at any of the steps in which a command writes: one message, exit code 1, nothing lost, and it goes on.

`pytest tests/test_full_disk.py --steps 0` fails at every step, `--steps 400 --draw 7` at more and other ones.
"""

from __future__ import annotations

import csv
import json
import random
import subprocess
from functools import partial

import faults
import pytest
import torch
import yaml
from outcome import outcome_of_report, outcome_of_run, outcome_of_study
from processes import Command

SMALL = ["dataset=digits", "dataset.train_size=200", "train.epochs=2", "num_seeds=1", "model.width=8",
         "train.threads=1", "study=s"]  # fmt: skip
COMMANDS = {"run": [*SMALL, "quantise=int8"], "sweep": ["-m", *SMALL, "activation=relu,gelu"]}
STEPS = {"run": 99, "sweep": 228}  # how many there are, about: those beyond the last one fail nothing
IN_A_ROW = 4  # failures of one study, before the disk has room


def pytest_generate_tests(metafunc):
    if "failures" not in metafunc.fixturenames:
        return
    wanted, draw = metafunc.config.getoption("steps"), metafunc.config.getoption("draw")
    if wanted == 0:
        cases = [(kind, ((step, fault),)) for kind, n in STEPS.items() for step in range(1, n + 1)
                 for fault in ("full", "once")]  # fmt: skip
    else:
        rng = random.Random(draw)
        cases = []
        for k in range(max(1, wanted // IN_A_ROW)):
            kind = "sweep" if k % 4 == 0 else "run"
            failures = sorted((rng.randint(1, STEPS[kind]), rng.choice(("full", "once"))) for _ in range(IN_A_ROW))
            cases.append((kind, tuple(failures)))
    metafunc.parametrize("kind, failures", cases, ids=[f"{kind}-{k}" for k, (kind, _) in enumerate(cases)])


def outcome(kind, home):
    study = home / "outputs" / "s"
    if kind == "sweep":
        return outcome_of_study(study)
    (folder,) = study.iterdir()
    return outcome_of_run(folder)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    known = {}

    def of(kind):
        if kind not in known:
            home = tmp_path_factory.mktemp(kind)
            done = Command(*COMMANDS[kind], cwd=home).wait()
            assert (done.returncode, done.stderr) == (0, "")
            known[kind] = outcome(kind, home), home
        return known[kind]

    return of


def whole_files(home):
    """Every file that others read, read; those that are only begun (of Hydra, of TensorBoard) are written anew."""
    found = {}
    for path in home.rglob("*"):
        if path.is_dir() or ".hydra" in path.parts or "tensorboard" in path.parts or path.name == "multirun.yaml":
            continue
        if path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".yaml":
            assert isinstance(yaml.safe_load(path.read_text()), dict), path
        elif path.suffix == ".csv":
            with path.open(newline="") as file:
                assert all(None not in row and None not in row.values() for row in csv.DictReader(file)), path
        elif path.suffix == ".pt":
            torch.load(path, weights_only=True)
        found[str(path.relative_to(home))] = path
    return found


def epochs_kept(home):
    """What an interrupted run can go on from."""
    found = [torch.load(p, weights_only=True)["epochs"][-1]["number"] for p in home.rglob("resume.pt")]
    return max(found, default=0)


def check_told(done):
    assert done.returncode == 1, done
    assert "Traceback" not in done.stdout + done.stderr, done.stderr
    assert "HYDRA_FULL_ERROR" not in done.stderr
    assert done.stderr.count("make room, or choose ") in (1, 2), done.stderr  # once for a run; a report has its own way
    assert done.stderr.count("No space left on device") >= 1


def test_a_disk_that_is_full_loses_nothing(undisturbed, tmp_path, kind, failures):
    expected, _ = undisturbed(kind)
    failed = 0
    for step, fault in failures:
        before, kept = set(whole_files(tmp_path)), epochs_kept(tmp_path)
        complete = {
            p.parent for p in tmp_path.rglob("summary.json") if json.loads(p.read_text())["status"] == "completed"
        }
        done = Command(
            *COMMANDS[kind], cwd=tmp_path, before=partial(faults.install, str(tmp_path), at=step, fault=fault)
        ).wait()
        if done.returncode == 0:  # it had so many steps no more, or found another way
            assert outcome(kind, tmp_path) == expected, (step, fault)
        else:
            failed += 1
            check_told(done)
        after = set(whole_files(tmp_path))
        lost = {name for name in before - after if not name.endswith(("resume.pt", ".lock"))}
        assert not lost, (step, fault)
        assert not [name for name in after if name.endswith(".part")], (step, fault)
        for folder in complete:
            assert json.loads((folder / "summary.json").read_text())["status"] == "completed"
        assert epochs_kept(tmp_path) >= kept or list(tmp_path.rglob("checkpoints/*.pt")), (step, fault)
    assert failed or failures[0][0] > 90
    done = Command(*COMMANDS[kind], cwd=tmp_path).wait()
    assert (done.returncode, done.stderr) == (0, ""), failures
    assert outcome(kind, tmp_path) == expected, failures


def test_a_report_on_a_full_disk_leaves_the_earlier_one_whole(undisturbed):
    _, home = undisturbed("sweep")
    expected = outcome_of_report(home / "outputs" / "s" / "report")
    for step, fault in ((2, "full"), (20, "once"), (37, "once"), (43, "full")):
        full = partial(faults.install, str(home), at=step, fault=fault)
        done = Command("report", "outputs/s", cwd=home, before=full).wait()
        check_told(done)
        assert "--output FOLDER" in done.stderr
        assert outcome_of_report(home / "outputs" / "s" / "report") == expected
    assert Command("report", "outputs/s", cwd=home).wait().returncode == 0


@pytest.mark.parametrize(("step", "fault"), [(1, "full"), (4, "once"), (9, "full")])
def test_the_cost_of_activations_on_a_full_disk(tmp_path, step, fault):
    command = ["kernels", "relu", "--sizes", "4x4", "--rounds", "1", "--threads", "1"]
    full = partial(faults.install, str(tmp_path), at=step, fault=fault)
    done = Command(*command, cwd=tmp_path, before=full).wait()
    check_told(done)
    assert not list(tmp_path.rglob("*.part"))


# ---------------------------------------------------------------- a real one


@pytest.fixture
def small_disk(tmp_path):
    """A disk of half a megabyte, where one may be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(mount, capture_output=True, text=True, timeout=10)
    except FileNotFoundError:
        pytest.skip("there is no mount: a full disk is only imitated here")
    if mounted.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted here ({mounted.stderr.strip()}): a full one is only imitated")
    yield folder
    subprocess.run(["umount", str(folder)], check=True, timeout=10)


def test_a_small_disk_that_fills_up_and_is_made_larger(small_disk, tmp_path):
    filled = small_disk / "filled"
    filled.write_bytes(bytes(200_000))
    wide = [word for word in SMALL if "width" not in word] + ["model.width=32", f"output_dir={small_disk}"]
    done = Command(*wide, cwd=tmp_path).wait()
    check_told(done)
    whole_files(small_disk)
    filled.unlink()
    subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True, timeout=10)
    done = Command(*wide, cwd=tmp_path).wait()
    assert (done.returncode, done.stderr) == (0, "")
    straight = Command(*wide[:-1], cwd=tmp_path).wait()
    assert straight.returncode == 0
    (ours,), (other,) = (small_disk / "s").iterdir(), (tmp_path / "outputs" / "s").iterdir()
    assert outcome_of_run(ours) == outcome_of_run(other)


def test_an_error_of_the_disk_names_the_file_that_was_meant_and_one_of_the_network_is_left_alone(tmp_path):
    from actbench.files.atomic import replacing

    for error, name in (
        (OSError(28, "No space left on device"), str(tmp_path / "a")),
        (ConnectionResetError("plug"), None),
    ):
        with pytest.raises(OSError, match=r"No space|plug") as caught, replacing(tmp_path / "a"):
            raise error
        assert caught.value.filename == name
    assert str(caught.value) == "plug"
    assert not list(tmp_path.iterdir())
