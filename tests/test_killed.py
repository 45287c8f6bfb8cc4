"""kill -9 at random moments: the same command, typed again, ends as if nothing had happened.

Each day at other moments; `pytest tests/test_killed.py --moments 100 --draw 7` for more and for those of a draw.
"""

from __future__ import annotations

import random
import signal
import time
from functools import partial

import faults
from processes import Command
from small_study import COMMANDS, outcome


def _studies(config):
    return max(1, config.getoption("moments") // 2)  # each is killed twice


def pytest_generate_tests(metafunc):
    if "number" in metafunc.fixturenames:
        studies = _studies(metafunc.config)
        metafunc.parametrize("kind, number", [(kind, k) for kind in COMMANDS for k in range(studies)])


def test_killed_at_random_moments_it_ends_bit_equal(undisturbed, tmp_path, request, kind, number):
    """Once in the middle of writing, from the first folder to the last rename, and once at any time."""
    usual = undisturbed(kind)
    rng = random.Random(f"{request.config.getoption('draw')} {kind} {number}")
    early, late = ((number + part) / _studies(request.config) for part in (0, 1))  # each in a part of its own
    step, step_first = 1 + int(rng.uniform(early, late) * usual.steps), rng.random() < 0.5
    moment = rng.uniform(early, late) * 1.2 * usual.seconds
    told = f"step {step}, {moment:.3f} s, {'step' if step_first else 'time'} first"
    for at_step in (step_first, not step_first):
        if at_step:
            kill = partial(faults.install, str(tmp_path), at=step, fault="kill")
            done = Command(*COMMANDS[kind], cwd=tmp_path, before=kill).wait()
            assert done.returncode == -signal.SIGKILL or not step_first, told
        else:
            command = Command(*COMMANDS[kind], cwd=tmp_path)
            time.sleep(moment)
            command.send(signal.SIGKILL)
            done = command.wait()
        assert done.returncode in (0, -signal.SIGKILL), told + done.stderr
        assert done.stderr == "", told
    done = Command(*COMMANDS[kind], cwd=tmp_path).wait()
    assert (done.returncode, done.stderr) == (0, ""), told
    assert outcome(kind, tmp_path) == usual.outcome, told


def test_what_a_killed_report_left_is_removed_by_the_next_one_and_nobody_elses(tmp_path):
    """Parts of a process that is alive, here or on another host, are not touched."""
    from actbench.files.atomic import _part, remove_strays

    alive = _part(tmp_path / "report.html")
    dead = tmp_path / alive.name.replace(f".{alive.name.split('.')[-3]}.", ".4194305.")  # above what Linux gives
    elsewhere = tmp_path / ".report.html.another-host.4194305.0123abcd.part"
    for path in (alive, dead, elsewhere):
        path.write_text("half")
    remove_strays(tmp_path, alone=False)
    assert {path.name for path in tmp_path.iterdir()} == {alive.name, elsewhere.name}
    remove_strays(tmp_path, alone=True)
    assert not list(tmp_path.iterdir())
    remove_strays(tmp_path / "nowhere", alone=True)


def test_no_two_writers_have_one_name(tmp_path):
    from actbench.files.atomic import _part, write_text

    assert len({_part(tmp_path / "a.csv") for _ in range(1000)}) == 1000
    for name in ("x" * 255, "ü" * 127):  # as long as a name can be
        write_text(tmp_path / name, "whole")
        assert (tmp_path / name).read_text() == "whole"
    assert len(list(tmp_path.iterdir())) == 2
