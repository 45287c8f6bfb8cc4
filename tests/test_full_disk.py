"""A full disk at any of the steps in which a command writes: one message, exit code 1, nothing lost, and it goes on.

Each day at other steps; `pytest tests/test_full_disk.py --steps 400 --draw 7` for more and for those of a draw,
`--steps 0` for every step.
"""

from __future__ import annotations

import csv
import json
import random
import shutil
import subprocess
from functools import partial

import faults
import pytest
import torch
import yaml
from outcome import outcome_of_report, outcome_of_run
from processes import Command
from small_study import COMMANDS, SMALL, outcome

ALL = {"run": 125, "sweep": 275}  # no fewer than there are: those beyond the last step fail nothing
IN_A_ROW = 4  # failures of one study, before the disk has room


def pytest_generate_tests(metafunc):
    """Failures: where, as a part of all steps, and how; `--steps 0`: the number of the step."""
    if "failures" not in metafunc.fixturenames:
        return
    wanted, draw = metafunc.config.getoption("steps"), metafunc.config.getoption("draw")
    if wanted == 0:
        cases = [(kind, ((step, fault),)) for kind, n in ALL.items() for step in range(1, n + 1)
                 for fault in ("full", "once")]  # fmt: skip
    else:
        rng = random.Random(draw)
        studies = max(1, wanted // IN_A_ROW)
        sweeps = -(-studies // 4)
        cases = [*_drawn("sweep", sweeps, rng), *_drawn("run", studies - sweeps, rng)]
    metafunc.parametrize("kind, failures", cases, ids=[f"{kind}-{k}" for k, (kind, _) in enumerate(cases)])


def _drawn(kind, studies, rng):
    """Failures of so many studies, each in a part of its own of all that is written."""
    number = studies * IN_A_ROW
    parts = [((k + rng.random()) / number, rng.choice(("full", "once"))) for k in range(number)]
    rng.shuffle(parts)
    return [(kind, tuple(sorted(parts[k::studies]))) for k in range(studies)]


def whole_files(home):
    """Every file that others read, read; those that are only begun (of TensorBoard) are written anew."""
    found = {}
    for path in home.rglob("*"):
        if path.is_dir() or "tensorboard" in path.parts or path.name == "multirun.yaml":
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
    asked = done.stderr.count("free some space, or choose ")
    assert asked in (1, 2), done.stderr  # once for a run; a report has its own way
    assert done.stderr.count("No space left on device") >= 1


def test_a_disk_that_is_full_loses_nothing(undisturbed, tmp_path, kind, failures):
    usual = undisturbed(kind)
    expected, failed = usual.outcome, 0
    for where, fault in failures:
        step = where if isinstance(where, int) else 1 + int(where * usual.steps)
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
        lost = {name for name in before - after if not name.endswith(("resume.pt", ".lock", ".attempts"))}
        assert not lost, (step, fault)
        assert not [name for name in after if name.endswith(".part")], (step, fault)
        for folder in complete:
            assert json.loads((folder / "summary.json").read_text())["status"] == "completed"
        assert epochs_kept(tmp_path) >= kept or list(tmp_path.rglob("checkpoints/*.pt")), (step, fault)
    assert usual.steps <= ALL[kind]
    assert failed or 1 + int(failures[0][0] * usual.steps) > 0.9 * usual.steps
    done = Command(*COMMANDS[kind], cwd=tmp_path).wait()
    assert (done.returncode, done.stderr) == (0, ""), failures
    assert outcome(kind, tmp_path) == expected, failures


def test_a_report_on_a_full_disk_leaves_the_earlier_one_whole(undisturbed, tmp_path):
    home = tmp_path / "home"
    shutil.copytree(undisturbed("sweep").home, home)
    expected = outcome_of_report(home / "outputs" / "s" / "report")
    for step, fault in ((2, "full"), (20, "once"), (37, "once"), (42, "full")):
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
    (ours,), (other,) = (small_disk / "s").glob("*-seed*"), (tmp_path / "outputs" / "s").glob("*-seed*")
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
