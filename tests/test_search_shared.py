"""A search that several processes share, or that is killed: each trial once, none lost, and the same bits in the end."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import faults
import pytest
from outcome import _rows, outcome_of_run
from processes import Command, process

pytest.importorskip("optuna", minversion="4")
from optuna.trial import TrialState

from actbench.command import search_samplers, search_storage
from actbench.command.search_space import described, space_of
from actbench.command.search_study import Terms, Trials
from actbench.errors import UserError

RATE = "optimizer.lr=tag(log,interval(1e-4,1e-1))"
MOST = 9  # trials of a shared search
SEARCH = ["-m", "+search=tpe", RATE, "activation=relu,gelu", "hydra.sweeper.n_trials=4", "study=s"]


def stored(study):
    return json.loads((study / "search.json").read_text())["trials"]


def trials_of(
    folder, *, most=12, url=None, sampler="random", words=(RATE, "activation=relu,gelu"), name="shared", fixed=()
):
    space, grid = space_of(words)
    chosen = {**search_samplers.sampler_nodes()[sampler], **({"n_startup_trials": 2} if sampler == "tpe" else {})}
    url = url or search_storage.address("auto", folder)
    terms = Terms(described(space), fixed, fixed)
    return Trials(url, name, folder, terms, most, lambda number: search_samplers.sampler(chosen, grid, number))


# ---------------------------------------------------------------- several processes


def _searches(folder, url, told, victim):
    """What a process does, without training: it notes the trials that it runs. The victim dies in its first one."""
    with trials_of(Path(folder), most=MOST, url=url) as trials:
        while told != victim and not os.path.exists(victim):  # which may be the last one to begin
            time.sleep(0.01)
        while True:
            batch = trials.take(1)
            if not batch and not trials.wait():
                return
            for trial in batch:
                with open(told, "a") as file:
                    file.write(f"{trial.number} {trial.params['optimizer.lr']!r}\n")
                if told == victim:
                    os.kill(os.getpid(), signal.SIGKILL)
                trials.tell(type(trial)(trial.number, trial.params, "completed", 50.0 + trial.number))


def shared(folder, url=None):
    """Three processes begin at once on a new database, and one of them dies."""
    told = [folder / f"told{number}" for number in range(3)]
    started = [process(_searches, str(folder), url, str(file), str(told[0])) for file in told]
    for one in started:
        one.join(100)
    assert sorted(one.exitcode for one in started) == [-signal.SIGKILL, 0, 0]
    lines = [line for file in told if file.exists() for line in file.read_text().splitlines()]
    numbers = [int(line.split()[0]) for line in lines]
    assert sorted({*numbers}) == [*range(MOST)]  # `n_trials` counts over all processes
    assert len(numbers) == MOST + 1  # that of the process that died is run again, with the same values
    assert len({*lines}) == MOST
    with trials_of(folder, most=MOST, url=url) as trials:
        assert [trial.ended for trial in trials.ended()] == ["completed"] * MOST
        assert trials.take(1) == []
    assert [path.name for path in (folder / ".search").iterdir() if path.suffix == ".lock"] == []


def test_processes_share_a_search_and_take_over_from_one_that_died(tmp_path):
    shared(tmp_path)


def test_what_a_process_left_that_was_killed_between_trials_is_removed_and_a_living_one_keeps_its_own(tmp_path):
    (tmp_path / ".search").mkdir()
    left = tmp_path / ".search" / "0123abcd.lock"
    left.touch()
    with trials_of(tmp_path) as first:
        assert not left.exists()
        with trials_of(tmp_path) as second:
            assert {path.stem for path in (tmp_path / ".search").glob("*.lock")} == {first._me, second._me}
            (trial,) = first.take(1)
            assert second.take(1)[0].number != trial.number  # which the first one still runs


def test_with_one_seed_it_makes_no_difference_which_process_asks(tmp_path):
    """Neither does it whether a search is begun anew: samplers that learn have it all from the trials."""
    for sampler in ("random", "tpe", "cmaes", "nsgaii"):
        tried = []
        for processes in (1, 3):
            folder = tmp_path / f"{sampler}{processes}"
            folder.mkdir()
            params = []
            while len(params) < 6:
                with trials_of(folder, sampler=sampler) as trials:
                    for _ in range(6 // processes):
                        (trial,) = trials.take(1)
                        params.append(dict(trial.params))
                        trials.tell(type(trial)(trial.number, trial.params, "completed", -len(str(trial.params))))
            tried.append(params)
        assert tried[0] == tried[1], sampler


def test_what_was_tried_already_is_not_run_again(tmp_path):
    """Three values, twelve trials: nine of them end as an earlier one did, those that are asked for at once too."""
    with trials_of(tmp_path, words=("activation=relu,gelu,tanh",)) as trials:
        run = []
        while True:
            batch = trials.take(2)
            for trial in batch:
                ended = "diverged" if trial.params["activation"] == "tanh" else "completed"
                trials.tell(type(trial)(trial.number, trial.params, ended, None if ended == "diverged" else 90.0, "f"))
            run += batch
            if not batch and not trials.wait():
                break
        assert sorted(trial.params["activation"] for trial in run) == ["gelu", "relu", "tanh"]
        every = trials.ended()
    assert len(every) == 12
    for trial in every:
        tanh = trial.params["activation"] == "tanh"
        assert (trial.ended, trial.value) == (("diverged", None) if tanh else ("completed", 90.0))
        assert trial.folder == "f"


def test_a_trial_that_somebody_else_has_ended_meanwhile_stays_as_it_is(tmp_path):
    """In the dashboard, or another host that had taken it over."""
    with trials_of(tmp_path) as trials:
        (trial,) = trials.take(1)
        trials.study.tell(trial.number, state=TrialState.FAIL)
        trials.tell(type(trial)(trial.number, trial.params, "completed", 50.0))
        assert [one.ended for one in trials.ended()] == ["failed"]


# ---------------------------------------------------------------- killed, and gone on with


@pytest.fixture(scope="module")
def undisturbed_search(tmp_path_factory):
    home, log = tmp_path_factory.mktemp("search"), tmp_path_factory.mktemp("log") / "steps"
    tiny = ["dataset=digits", "train.epochs=3", "num_seeds=2", "model.width=8", "train.threads=1", "probe=false"]
    command = [*SEARCH, *tiny, "hydra/sweeper/pruner=median", "hydra.sweeper.pruner.n_startup_trials=1"]
    done = Command(*command, cwd=home, before=partial(faults.install, str(home), log=str(log))).wait()
    assert done.returncode == 0, done.stderr
    return command, come_to(home), len(log.read_text().splitlines())


def come_to(home):
    study = home / "outputs" / "s"
    runs = {path.parent.name: _of_run(path.parent) for path in study.glob("*/settings.yaml")}
    return stored(study), runs


def _of_run(folder):
    """Of one that was given up the tables and the summary: in TensorBoard it is one that has not ended."""
    summary = json.loads((folder / "summary.json").read_text())
    if summary["status"] == "completed":
        return outcome_of_run(folder)
    del summary["seconds"], summary["samples_per_second"]
    return {path.name: _rows(path) for path in folder.glob("*.csv")} | {"summary": summary}


def test_killed_at_random_moments_a_search_ends_bit_equal(undisturbed_search, tmp_path, request):
    command, usual, steps = undisturbed_search
    assert {trial["ended"] for trial in usual[0]} == {"completed", "pruned"}
    rng = random.Random(f"{request.config.getoption('draw')} search")
    killed = [1 + int(rng.uniform(*part) * steps) for part in ((0.05, 0.4), (0.1, 0.4))]
    for step in killed:
        done = Command(
            *command, cwd=tmp_path, before=partial(faults.install, str(tmp_path), at=step, fault="kill")
        ).wait()
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
    done = Command(*command, cwd=tmp_path).wait()
    assert (done.returncode, done.stderr) == (0, ""), killed
    assert "search: 4 of 4 trials: " in done.stdout
    assert come_to(tmp_path) == usual, killed


def test_an_epoch_that_was_not_reported_before_it_was_killed_is_reported_when_it_goes_on(undisturbed_search, tmp_path):
    """Between the state that is resumed from and the report to Optuna: the trial is given up all the same."""
    command, usual, _ = undisturbed_search
    done = Command(*command, cwd=tmp_path, before=partial(_kill_before_report, 7)).wait()
    assert done.returncode == -signal.SIGKILL
    assert Command(*command, cwd=tmp_path).wait().returncode == 0
    assert come_to(tmp_path) == usual


def _kill_before_report(at):
    from actbench.command import search_pruning

    report, counted = search_pruning._Reporting._report, []

    def counting(self, *arguments):
        counted.append(1)
        if len(counted) == at:
            os.kill(os.getpid(), signal.SIGKILL)
        report(self, *arguments)

    search_pruning._Reporting._report = counting


def test_a_larger_number_of_trials_goes_on_and_the_same_one_is_there_already(actbench, tiny, tmp_path):
    typed = [*SEARCH, *tiny, "probe=false"]
    assert actbench(*typed).returncode == 0
    first = stored(tmp_path / "outputs" / "s")
    again = actbench(*typed)
    assert again.returncode == 0
    assert "search: 4 of 4 trials are in outputs/s already" in again.stdout
    assert stored(tmp_path / "outputs" / "s") == first
    more = [word.replace("n_trials=4", "n_trials=5") for word in typed]
    done = actbench(*more)
    assert "[1/1] " in done.stdout and "search: 5 of 5 trials: 5 completed" in done.stdout
    assert stored(tmp_path / "outputs" / "s")[:4] == first
    other = actbench(*[word.replace("activation=relu,gelu", "activation=relu,tanh") for word in typed], "dropout=0.1")
    assert other.returncode == 2
    assert "the search of this name was begun otherwise: activation was relu,gelu, and is relu,tanh" in other.stderr
    assert "without dropout=0.1" in other.stderr
    os.rename(tmp_path / "outputs" / "s", tmp_path / "outputs" / "moved")  # with its runs: it is the same search
    moved = [word.replace("study=s", "study=moved") for word in typed]
    done = actbench(*moved, "hydra.sweeper.study_name=s")
    assert "search: 4 of 4 trials are in outputs/moved already" in done.stdout


def test_the_processes_of_a_search_share_one_folder_of_runs(tmp_path):
    url = f"sqlite:///{tmp_path / 'x.db'}"
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    with trials_of(tmp_path / "one", url=url):
        pass
    with (
        pytest.raises(UserError, match=r"has its runs in .*one, and these would be in .*two"),
        trials_of(tmp_path / "two", url=url),
    ):
        pass


# ---------------------------------------------------------------- PostgreSQL


POSTGRESQL = Path(__file__).parents[1] / "scripts" / "postgresql_here.sh"


def test_a_search_whose_beginning_was_killed_goes_on(tmp_path, monkeypatch):
    """Whichever of what it notes of itself was the last."""
    import optuna

    note, noted = optuna.study.Study.set_user_attr, []
    for last in range(4):
        folder = tmp_path / str(last)

        def killed(self, key, value, last=last):
            if len(noted) == last:
                raise KeyboardInterrupt
            noted.append(key)
            note(self, key, value)

        monkeypatch.setattr(optuna.study.Study, "set_user_attr", killed)
        noted.clear()
        with contextlib.suppress(KeyboardInterrupt), trials_of(folder):
            pass
        assert len(noted) == last and not [*folder.glob(".search/????*.lock")]
        monkeypatch.setattr(optuna.study.Study, "set_user_attr", note)
        with trials_of(folder) as trials:
            assert len(trials.take(1)) == 1


def test_searches_of_other_names_may_have_their_runs_in_one_folder(tmp_path):
    for name in ("one", "other", "one"):
        with trials_of(tmp_path, name=name) as trials:
            assert len(trials.take(1)) == 1


def _with_postgresql(code, *arguments):
    """Runs Python code beside a server of its own; skips, in the script's words, where there is none."""
    pytest.importorskip("psycopg")
    code = f"import sys; sys.path[:0] = [{str(Path(__file__).parent)!r}]; {code}"
    command = ["bash", str(POSTGRESQL), sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, stdin=subprocess.DEVNULL)
    if done.returncode == 77:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_with_postgresql_processes_share_a_search_and_the_password_is_written_nowhere(tmp_path):
    _with_postgresql("import test_search_shared; test_search_shared._on_the_server(sys.argv[1])", tmp_path)


def _on_the_server(home):
    """In a process beside the server."""
    home, url = Path(home), os.environ["STORAGE"]
    (home / "many").mkdir()
    shared(home / "many", search_storage.address(url, home))
    tiny = ["dataset=digits", "train.epochs=1", "num_seeds=2", "model.width=8", "train.threads=1", "probe=false"]
    by_name = "hydra.sweeper.storage=${oc.env:STORAGE}"
    for storage in (f"hydra.sweeper.storage={url}", by_name):
        done = Command(*SEARCH, *tiny, storage, cwd=home, env={"STORAGE": url}).wait()
        assert done.returncode == 0, done.stderr
        assert "search: 4 of 4 trials: 4 completed" in done.stdout
    files = [path for path in (home / "outputs").rglob("*") if path.is_file()]
    assert len(files) > 40
    assert not [path for path in files if b"secret" in path.read_bytes()]
    for wrong, said in (
        (url.replace("secret", "wrong"), "password authentication failed"),
        (f"{url}x", 'database "searchx" does not exist'),
        ("postgresql://searcher@127.0.0.1:1/search", "Connection refused"),
    ):
        done = Command(*SEARCH, *tiny, f"hydra.sweeper.storage={wrong}", cwd=home).wait()
        assert done.returncode == 2 and said in done.stderr, done.stderr
        assert done.stderr.count("error: ") == 1 and "wrong%20" not in done.stderr
    done = Command(
        *[w.replace("relu,gelu", "relu,tanh") for w in SEARCH], *tiny, by_name, cwd=home, env={"STORAGE": url}
    ).wait()
    assert done.returncode == 2 and "begun otherwise" in done.stderr
