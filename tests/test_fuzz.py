"""Whatever is typed: no traceback, an exit code of ours, a message with each that is not 0, and nothing written elsewhere.

Each day other lines; `pytest tests/test_fuzz.py --lines 2000 --draw 7` for more and for those of a draw.
"""

from __future__ import annotations

import os

import fuzzing
import processes
import pytest

PORTIONS = 2  # as many as processes that test

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="each line is run in a fork of a warm process")


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("portion", range(PORTIONS))
def test_random_command_lines(request, tmp_path, portion):
    wanted, draw = (request.config.getoption(name) for name in ("lines", "draw"))
    cases = fuzzing.lines(wanted, draw)[portion::PORTIONS]
    receiver, sender = processes.pipe()
    process = processes.process(fuzzing.run_all, cases, tmp_path, sender)
    sender.close()  # so that one that dies is no reason to wait
    complaints = receiver.recv()
    process.join()
    assert not complaints, f"{len(complaints)} of {len(cases)} lines:\n" + "\n".join(complaints)


def test_the_lines_are_the_same_again_and_of_all_kinds():
    made = fuzzing.lines(400, 3)
    assert made == fuzzing.lines(400, 3)
    assert made != fuzzing.lines(400, 4)
    assert sum(trains for _, _, trains in made) > 8
    assert {arguments[0] for _, arguments, _ in made if arguments} >= {"list", "report", "kernels"}
    assert any("-m" in arguments for _, arguments, _ in made)
    assert not any("\0" in word for _, arguments, _ in made for word in arguments)


@pytest.mark.parametrize(
    ("code", "out", "err", "file", "complaint"),
    [
        (0, "done", "", "cwd/outputs", ""),
        (2, "", "error: no", "", ""),
        (3, "", "error", "", "exit code 3"),
        (2, "", " ", "", "no message"),
        (1, "Traceback (most recent call last)", "x", "", "a traceback"),
        (1, "", "error: failed unexpectedly: KeyError: 3", "", "a fault"),
        (1, "", "Set the environment variable HYDRA_FULL_ERROR=1", "", "HYDRA_FULL_ERROR"),
        (0, "", "", "cwd/mine", "wrote"),
        (0, "", "", "home/.bashrc", "wrote"),
        (0, "", "", "tmp/x", "wrote"),
    ],
)
def test_what_breaks_the_law_is_seen(tmp_path, code, out, err, file, complaint):
    folders = {name: tmp_path / name for name in ("cwd", "home", "tmp", "data")}
    for folder in folders.values():
        folder.mkdir()
    if file:
        (tmp_path / file).touch()
    assert fuzzing._judged(code, out, err, folders).startswith(complaint)
    assert bool(fuzzing._judged(code, out, err, folders)) == bool(complaint)


def test_a_folder_that_the_line_names_is_no_stray(tmp_path):
    folders = {name: tmp_path / name for name in ("cwd", "home", "tmp", "data")}
    for folder in folders.values():
        folder.mkdir()
    (tmp_path / "cwd" / "ot").mkdir()
    assert fuzzing._judged(0, "", "", folders, ["output_dir=ot/x"]) == ""
    assert fuzzing._judged(0, "", "", folders, ["output_dir=out"]).startswith("wrote")
