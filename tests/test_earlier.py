"""What a study holds already: another number of epochs, or another way to run, is said before training, with what goes on."""

from __future__ import annotations

import shlex
import signal

from processes import Command

RUN = ["dataset=digits", "num_seeds=2", "model.width=8", "train.threads=1", "tensorboard=false", "study=s"]


def begun(tmp_path, *more, epochs=400):
    """An interrupted run."""
    running = Command(*RUN, f"train.epochs={epochs}", *more, cwd=tmp_path)
    running.wait_for(f"epoch 2/{epochs}")
    running.send(signal.SIGINT)
    running.wait()


def test_more_epochs_are_another_run(actbench):
    actbench(*RUN, "train.epochs=1")
    done = actbench(*RUN, "train.epochs=2")
    assert done.returncode == 0
    assert done.stderr.startswith("train.epochs=2 is another run, which starts from scratch: outputs/s/relu-mlp-")
    assert "has train.epochs=1, and stays as it is: no run is made longer" in done.stderr
    assert actbench(*RUN, "train.epochs=2").stderr == ""  # there is nothing to begin


def test_an_unfinished_run_that_differs_in_one_key_is_named_with_the_command_that_goes_on(actbench, tmp_path):
    begun(tmp_path)
    for other, key in (
        (["train.epochs=1"], "train.epochs"),
        (["train.epochs=400", "num_seeds=1", "train.batch_size=1000"], ""),
    ):
        done = actbench(*RUN, *other)
        assert ("which starts from scratch" in done.stderr) == bool(key)
        for told in [
            line.partition("to go on with that:  ")[2] for line in done.stderr.splitlines() if "to go on" in line
        ]:
            again = Command(*shlex.split(told)[1:], cwd=tmp_path)
            again.wait_for("going on after epoch")
            again.send(signal.SIGINT)
            again.wait()


def test_another_way_to_run_is_told_before_training(actbench, tmp_path):
    begun(tmp_path)
    done = actbench(*RUN, "train.epochs=400", "train.execution=seed_by_seed")
    assert done.returncode == 2
    assert "was begun with train.execution=stacked and cannot continue in another way" in done.stderr
    (told,) = [line.partition("to go on with it:  ")[2] for line in done.stderr.splitlines() if "to go on" in line]
    again = Command(*shlex.split(told)[1:], cwd=tmp_path)
    again.wait_for("going on after epoch")
    again.send(signal.SIGINT)
    again.wait()


def test_other_threads_go_on_and_it_is_said(tmp_path):
    begun(tmp_path)
    running = Command(*[w.replace("threads=1", "threads=2") for w in RUN], "train.epochs=400", cwd=tmp_path)
    running.wait_for("going on after epoch")
    running.send(signal.SIGINT)
    assert (
        "was begun with train.threads=1 and continues with train.threads=2: equal but for rounding"
        in running.wait().stderr
    )
