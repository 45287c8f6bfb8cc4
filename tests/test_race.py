"""A race: which seeds it trains, when it ends, and that one that was stopped ends as if it had not been."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from functools import partial
from importlib.util import find_spec
from types import SimpleNamespace

import faults
import numpy as np
import pytest
from helpers import fake_run, settings_of
from hydra.plugins.sweeper import Sweeper
from hydra.utils import get_class
from outcome import outcome_of_study
from processes import OFFLINE, Command

from actbench.cli import main
from actbench.command import (
    composing,
    correcting,
    extending,
    planning,
    race,
    race_look,
    race_terms,
    rounds,
    search,
    typed,
)  # fmt: skip
from actbench.command.planning import Job
from actbench.command.race_look import Look
from actbench.command.race_terms import Terms
from actbench.command.rounds import Rounds, following
from actbench.store import decide, joint

BASE = {"relu": 95.0, "gelu": 95.0, "elu": 94.0, "tanh": 85.0}  # mean accuracies, %
SHARED = ["dataset=digits", "train.epochs=1", "model.width=8", "tensorboard=false", "train.threads=1"]
RACE = ["-m", *SHARED, "num_seeds=3", "activation=relu,gelu", "decide.margin=0.5", "decide.max_seeds=5", "study=s"]


def accuracy(name, seed):
    """The same for a seed, whoever asks; pairs of seeds are alike."""
    draw = np.random.default_rng([seed, *name.encode()]).normal(0, 0.3)
    return BASE[name] + np.random.default_rng(seed).normal(0, 0.5) + draw


def entrants(study, *names, seeds=5):
    settings = [settings_of("dataset=digits", f"activation={name}", f"num_seeds={seeds}") for name in names]
    return [Job((f"activation={s.activation.name}",), s, study / s.folder) for s in settings]


class Races:
    """Races in which training is a line: `jobs` are those that were asked for, `said` is what was printed."""

    def __init__(self, study):
        self.study, self.jobs, self.said, self.time = study, [], [], 0.0

    def run(self, job):
        self.jobs.append(job.settings)
        name = job.settings.activation.name
        fake_run(job.folder, job.settings, [accuracy(name, seed) for seed in job.settings.seeds])
        self.time += 60 * job.settings.num_seeds

    def race(self, terms, *names, run=None, seeds=5):
        racing = Rounds(entrants(self.study, *names, seeds=seeds), terms, self.said.append, clock=lambda: self.time)
        for batch in racing.batches():
            for job in batch:
                (run or self.run)(job)
        return self

    @property
    def trained(self):
        """Name -> the seeds of each of its runs."""
        found = {}
        for settings in self.jobs:
            found.setdefault(settings.activation.name, []).append((settings.seed, settings.num_seeds))
        return found

    @property
    def files(self):
        stored = {path.parent.name: path.read_text() for path in self.study.glob("*/summary.json")}
        return {**stored, "decide": (self.study / "decide.json").read_text()}


@pytest.fixture
def races(tmp_path):
    study = tmp_path / "outputs" / "s"
    study.mkdir(parents=True)
    return Races(study)


@pytest.fixture
def scripted(monkeypatch):
    """Looks that say what they are told: `scripted({"relu": "best", ...}, ...)`, one after the other."""

    def script(*words_of_looks):
        words_of_looks = list(words_of_looks)

        def at(study, _terms, **_options):
            words = words_of_looks.pop(0) if len(words_of_looks) > 1 else words_of_looks[0]
            ids = {name: settings_of("dataset=digits", f"activation={name}").id for name in words}
            seeds = {}
            for path in study.glob("*/summary.json"):
                content = json.loads(path.read_text())
                seeds.setdefault(content["id"], set()).update(content["seeds"])
            undecided = {name for name, word in words.items() if word in race_look.UNDECIDED}
            return Look(
                names={key: name for name, key in ids.items()},
                words={ids[name]: word for name, word in words.items()},
                seeds=seeds,
                contenders=frozenset(ids[name] for name in undecided),
                settled=not undecided,
            )

        monkeypatch.setattr(race_look, "at", at)
        monkeypatch.setattr(race_look, "again", lambda *_: None)

    return script


# ---------------------------------------------------------------- who is trained


def test_the_seeds_grow_by_half_up_to_the_most():
    schedule = [5]
    while schedule[-1] < 40:
        schedule.append(following(schedule[-1], 40))
    assert schedule == [5, 8, 12, 18, 27, 40]
    assert following(1, 40) == 2
    assert following(12, 13) == 13


def test_what_is_decided_is_not_trained_further(races, scripted):
    scripted(
        {"relu": "undecided", "gelu": "undecided", "tanh": "worse"},
        {"relu": "undecided", "gelu": "undecided", "tanh": "worse"},
        {"relu": "as good", "gelu": "best", "tanh": "worse"},
    )
    races.race(Terms(0.1), "relu", "gelu", "tanh")
    assert races.trained == {"relu": [(0, 5), (5, 3), (8, 4)], "gelu": [(0, 5), (5, 3), (8, 4)], "tanh": [(0, 5)]}
    assert races.said == [
        "race: after 5 seeds; out: tanh (worse); left: relu, gelu",
        "race: after 8 seeds; left: relu, gelu",
        "race: after 12 seeds; out: relu (as good), gelu (best)",
        "race: decided after 29 of 120 trainings (3 configurations, up to 40 seeds each)",
    ]


def test_one_that_is_undecided_again_catches_up_first(races, scripted):
    """A later look is at a stricter level, at which few seeds may not do any more."""
    scripted(
        {"relu": "undecided", "gelu": "undecided", "tanh": "worse"},
        {"relu": "undecided", "gelu": "undecided", "tanh": "undecided"},
        {"relu": "best", "gelu": "worse", "tanh": "worse"},
    )
    races.race(Terms(0.1), "relu", "gelu", "tanh")
    assert races.trained["tanh"] == [(0, 5), (5, 3)]
    assert races.trained["relu"] == [(0, 5), (5, 3)]
    assert "race: after 8 seeds; back: tanh; left: relu, gelu, tanh" in races.said


def test_it_ends_at_the_most_seeds_and_says_who_is_undecided(races, scripted):
    scripted({"relu": "as good", "gelu": "undecided"})
    races.race(Terms(0.1, max_seeds=9), "relu", "gelu")
    assert races.trained == {"relu": [(0, 5)], "gelu": [(0, 5), (5, 3), (8, 1)]}
    assert races.said[-1] == (
        "race: ended after 14 of 18 trainings (2 configurations, up to 9 seeds each): decide.max_seeds=9 is reached; "
        "undecided: gelu"
    )


@pytest.mark.parametrize(("minutes", "seeds"), [(0.5, 10), (10, 10), (15.9, 10), (16, 16), (1000, 80)])
def test_no_round_begins_that_would_take_longer_than_the_minutes(races, scripted, minutes, seeds):
    """At a minute a seed: 10 for the first round of two, 6 for the second."""
    scripted({"relu": "undecided", "gelu": "undecided"})
    races.race(Terms(0.1, max_minutes=minutes), "relu", "gelu")
    assert sum(settings.num_seeds for settings in races.jobs) == seeds
    assert ("decide.max_minutes" in races.said[-1]) == (minutes < 1000)


def test_the_minutes_are_those_of_all_processes_that_race_together_and_begin_again_with_the_next_command(
    races, scripted
):
    """The second process comes when 10 of 12 minutes are over, and does not know yet how long a seed takes."""
    scripted({"relu": "undecided", "gelu": "undecided"})
    terms, others = Terms(0.1, max_minutes=12), Races(races.study)

    def racing(of):
        agree = partial(joint.agreed, of.study)
        entered = entrants(of.study, "relu", "gelu")
        return Rounds(entered, terms, of.said.append, clock=lambda: races.time, agree=agree).batches()

    with joint.command_in(races.study), joint.command_in(races.study):
        first, second = racing(races), racing(others)
        for job in next(first):
            races.run(job)
        batch = next(second)
        assert {job.settings.seed for job in batch} == {5}
        assert [job.folder for job in next(first)] == [job.folder for job in batch]  # of 6 minutes, which are not left
        for job in batch:
            races.run(job)
        assert [*first, *second] == []
    assert "decide.max_minutes=12" in races.said[-1]
    assert races.said[-1] == others.said[-1]
    with joint.command_in(races.study):
        assert {job.settings.seed for job in next(racing(races))} == {8}


def test_it_ends_where_the_test_images_leave_nothing_to_settle(races, monkeypatch):
    at = race_look.at
    monkeypatch.setattr(race_look, "again", lambda *_: None)

    def limited(study, terms, **options):
        look = at(study, terms, **options)
        words = dict.fromkeys(look.words, "undecided")
        return Look(look.names, words, look.seeds, frozenset(), settled=False, limited=True)

    monkeypatch.setattr(race_look, "at", limited)
    races.race(Terms(0.1), "relu", "gelu")
    assert len(races.jobs) == 2
    assert "more seeds cannot settle relu and gelu, which the test images limit" in races.said[-1]


def test_test_images_are_to_blame_only_where_they_are(races):
    """Where all accuracies are equal and nothing tells how many images there are."""

    def run(job):
        races.jobs.append(job.settings)
        fake_run(job.folder, job.settings, [100.0] * job.settings.num_seeds)

    races.race(Terms(0.1), "relu", "gelu", run=run)
    assert len(races.jobs) == 2
    assert races.said[-1].endswith("more seeds cannot settle gelu and relu")


def test_a_configuration_that_fails_is_out_and_the_others_go_on(races):
    def run(job):
        if job.settings.activation.name != "elu":
            races.run(job)

    races.race(Terms(0.2, max_seeds=8), "relu", "gelu", "elu", run=run)
    assert races.trained == {"relu": [(0, 5), (5, 3)], "gelu": [(0, 5), (5, 3)]}
    assert "out: elu-mlp (failed)" in races.said[0]


def test_a_configuration_of_which_a_seed_diverged_is_out(races):
    def run(job):
        if job.settings.activation.name == "elu":
            fake_run(job.folder, job.settings, [90.0] * job.settings.num_seeds, diverged={job.settings.seed: 1})
        else:
            races.run(job)

    races.race(Terms(0.2, max_seeds=8), "relu", "gelu", "elu", run=run)
    assert races.trained == {"relu": [(0, 5), (5, 3)], "gelu": [(0, 5), (5, 3)]}
    assert "out: elu (diverged)" in races.said[0]


def test_with_everyone_all_go_on_until_it_is_settled(races, scripted):
    scripted({"relu": "best", "tanh": "worse"})
    races.race(Terms(0.1, everyone=True), "relu", "tanh")
    assert races.trained == {"relu": [(0, 5), (5, 3)], "tanh": [(0, 5), (5, 3)]}


@pytest.mark.parametrize("everyone", [False, True])
@pytest.mark.parametrize("result", ["diverged", "damaged"])
def test_one_of_which_no_further_result_comes_does_not_hold_up_the_others(races, result, everyone):
    """What diverged or cannot be read has fewer results than seeds, for ever."""

    class Few(list):
        def append(self, line):
            assert len(self) < 10, "it goes on for ever"
            super().append(line)

    def run(job):
        if job.settings.activation.name == "elu" and (result == "diverged" or job.settings.seed > 0):
            races.jobs.append(job.settings)
            diverged = {job.settings.seed + 1: 1} if result == "diverged" else {}
            folder = fake_run(job.folder, job.settings, [95.0] * job.settings.num_seeds, diverged=diverged)
            if result == "damaged":
                summary = json.loads((folder / "summary.json").read_text())
                (folder / "summary.json").write_text(json.dumps({**summary, "id": "another"}))
        else:
            races.run(job)

    races.said = Few()
    races.race(Terms(0.01, "fixed", max_seeds=8, everyone=everyone), "relu", "gelu", "elu", run=run, seeds=3)
    assert max(seed + number for seed, number in races.trained["relu"]) == 8


# ---------------------------------------------------------------- with real verdicts


def test_a_clear_case_is_decided_by_the_first_round(races):
    races.race(Terms(2.0), "relu", "tanh")
    assert races.trained == {"relu": [(0, 5)], "tanh": [(0, 5)]}
    assert races.said[-1] == "race: decided after 10 of 80 trainings (2 configurations, up to 40 seeds each)"
    stored = decide.read(races.study)
    assert (stored.margin, stored.test_set, len(stored.looks)) == (2.0, "new", 1)


def test_each_look_is_recorded_before_the_next_round(races):
    seen = []

    def run(job):
        if job.settings.seed not in [seed for seed, _ in seen]:
            stored = decide.read(races.study)
            seen.append((job.settings.seed, (stored.margin, len(stored.looks))))
        races.run(job)

    races.race(Terms(0.1, max_seeds=12), "relu", "gelu", run=run)
    assert seen == [(0, (0.1, 0)), (5, (0.1, 1)), (8, (0.1, 2))]


class Stopped(Exception):
    pass


@pytest.mark.parametrize("at", range(1, 9))
def test_stopped_before_any_run_and_typed_again_it_ends_as_if_it_had_not_been(races, tmp_path, at):
    """The oracle is the race that nothing stopped. `at` is the run before which it stops, of those that it has."""
    names, terms = ("relu", "gelu", "elu", "tanh"), Terms(0.1, max_seeds=12)
    usual = Races(tmp_path / "usual")
    usual.study.mkdir()
    usual.race(terms, *names)
    assert len(usual.jobs) == 8  # this is what the numbers of `at` are for

    def run(job):
        if len(races.jobs) + 1 == at:
            raise Stopped
        races.run(job)

    with pytest.raises(Stopped):
        races.race(terms, *names, run=run)
    races.race(terms, *names)
    assert sorted(races.trained.items()) == sorted(usual.trained.items())  # nothing twice, nothing more
    assert races.files == usual.files
    again = races.race(terms, *names)
    assert len(again.jobs) == 8
    assert again.files == usual.files


def test_seeds_of_an_earlier_sweep_are_taken_and_their_look_is_not_counted_twice(races):
    for job in entrants(races.study, "relu", "gelu"):
        races.run(job)
    races.jobs.clear()
    races.race(Terms(0.1, max_seeds=8), "relu", "gelu")
    assert races.trained == {"relu": [(5, 3)], "gelu": [(5, 3)]}
    assert len(decide.read(races.study).looks) == 2
    assert races.said[0] == f"race: 10 seeds in {races.study} already"


# ---------------------------------------------------------------- the whole command


def race_lines(text):
    return [line for line in text.splitlines() if line.startswith("race: ")]


def outcome(home):
    """All that a race leaves, without times."""
    study = home / "outputs" / "s"
    return outcome_of_study(study), (study / "decide.json").read_text()


@pytest.fixture(scope="module")
def undisturbed_race(tmp_path_factory):
    home = tmp_path_factory.mktemp("race")
    log = tmp_path_factory.mktemp("log") / "steps"
    done = Command(*RACE, cwd=home, before=partial(faults.install, str(home), log=str(log))).wait()
    assert (done.returncode, done.stderr) == (0, "")
    steps = log.read_text().splitlines()
    return SimpleNamespace(home=home, done=done, steps=steps, outcome=outcome(home))


def test_a_race_trains_looks_and_ends_in_the_comparison(undisturbed_race):
    study = undisturbed_race.home / "outputs" / "s"
    stored = json.loads((study / "decide.json").read_text())
    assert (stored["margin"], stored["test_set"]) == (0.5, "new")
    assert [sorted(map(len, look.values())) for look in stored["looks"]] == [[3, 3], [5, 5]]
    folders = sorted(re.sub("-mlp-[0-9a-f]{10}-", " ", path.parent.name) for path in study.glob("*/summary.json"))
    assert folders == ["gelu seeds0-2", "gelu seeds3-4", "relu seeds0-2", "relu seeds3-4"]
    lines = race_lines(undisturbed_race.done.stdout)
    assert lines[0] == "race: after 3 seeds; left: relu, gelu"
    assert "after 10 of 10 trainings" in lines[-1]
    assert undisturbed_race.done.stdout.index(lines[-1]) < undisturbed_race.done.stdout.index("\nconfiguration ")
    row = next(line for line in undisturbed_race.done.stdout.splitlines() if re.match(r"gelu .* 5 ", line))
    assert "undecided" in row


@pytest.mark.parametrize("share", [0.35, 0.62, 0.85])
def test_a_race_that_is_killed_goes_on_where_it_was(undisturbed_race, tmp_path, share):
    """At steps of writing in its first round, its second one, and near its end; then Ctrl-C after its first epoch."""
    step = int(share * len(undisturbed_race.steps))
    kill = partial(faults.install, str(tmp_path), at=step, fault="kill")
    assert Command(*RACE, cwd=tmp_path, before=kill).wait().returncode == -signal.SIGKILL
    done = Command(*RACE, cwd=tmp_path).wait()
    assert (done.returncode, done.stderr) == (0, "")
    assert outcome(tmp_path) == undisturbed_race.outcome


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


def test_an_interrupted_race_looks_at_nothing_and_a_full_disk_neither(undisturbed_race, tmp_path):
    done = Command(*RACE, cwd=tmp_path, before=partial(faults.after_epoch, 0, interrupt)).wait()
    assert done.returncode == 130
    assert "to go on:  actbench -m" in done.stderr
    assert "Results" not in done.stdout
    assert json.loads((tmp_path / "outputs" / "s" / "decide.json").read_text())["looks"] == []
    step = int(0.6 * len(undisturbed_race.steps))
    full = partial(faults.install, str(tmp_path), at=step // 2, fault="full")
    done = Command(*RACE, cwd=tmp_path, before=full).wait()
    assert done.returncode != 0
    assert "Results" not in done.stdout
    done = Command(*RACE, cwd=tmp_path).wait()
    assert (done.returncode, done.stderr) == (0, "")
    assert outcome(tmp_path) == undisturbed_race.outcome


def test_a_race_through_joblib(undisturbed_race, tmp_path):
    """In a process of its own: the launcher's workers outlive a fork."""
    command = [sys.executable, "-m", "actbench", *RACE, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
    environment = {**os.environ, **OFFLINE}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert race_lines(done.stdout) == race_lines(undisturbed_race.done.stdout)
    assert outcome(tmp_path) == undisturbed_race.outcome


@pytest.mark.parametrize("module", [race, search])
def test_hydra_finds_the_sweepers_also_where_no_plugin_is_installed(monkeypatch, module):
    monkeypatch.setitem(sys.modules, "hydra_plugins", None)  # as if there were no such package
    module.register()
    assert issubclass(get_class(module.TARGET), Sweeper)
    assert find_spec("hydra_plugins.no_such_launcher") is None


def test_nothing_is_composed_more_often_than_needed(tmp_path, monkeypatch, capsys):
    composed, compose = [], planning.compose
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(planning, "compose", lambda *a, **k: (composed.append(k["overrides"]), compose(*a, **k))[1])
    monkeypatch.setattr(sys, "argv", ["actbench", *RACE])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    jobs = [overrides for overrides in composed if any("activation=" in override for override in overrides)]
    assert len(jobs) == 2  # one for each configuration, however many rounds
    capsys.readouterr()


# ---------------------------------------------------------------- what does not go


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("activation=relu decide.margin=0.1", "decide.margin=0.1: has no effect without -m"),
        ("activation=relu decide.max_seeds=9", "actbench -m activation=relu,gelu decide.margin=0.1 decide.max_seeds=9"),
        ("-m activation=relu decide.margin=0.1", "a race is between several configurations, and this is one"),
        ("-m activation=relu,gelu decide.margin=0", "decide.margin=0: must be a number above 0 and below 100, or null"),
        ("-m activation=relu,gelu decide.margin=0.1,1", "decide.margin=0.1,1: cannot be swept"),
        ("-m activation=relu,gelu decide.max_seeds=9", "decide.max_seeds=9: has no effect without decide.margin"),
        ("-m activation=relu,gelu hydra/sweeper=race", "hydra/sweeper=race: has no effect without decide.margin"),
        ("-m activation=relu,gelu decide.margin=1 seed=0,9", "seed=0,9: cannot be swept in a race"),
        ("-m activation=relu,gelu decide.margin=1 num_seeds=50", "num_seeds=50: is more than decide.max_seeds=40"),
        ("-m activation=relu,gelu decide.margin=1 optimizer.weight_decay=${seed}", "a setting depends on the seed"),
        ("-m decide.margin=1 train.epochs=1,2", "train.epochs: "),
        ("-m activation=relu,gelu margin=0.1", "did you mean decide.margin=0.1?"),
    ],
)
def test_what_does_not_go_with_a_race_is_one_clear_message(tmp_path, monkeypatch, capsys, words, told):
    monkeypatch.chdir(tmp_path)
    shared = [word for word in SHARED if word.partition("=")[0] not in words]
    monkeypatch.setattr(sys, "argv", ["actbench", *words.split(), *shared, "study=s"])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert told in said
    assert said.count("error:") == 1
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize(
    ("words", "number"),
    [
        ("+sweep=inits", 7),
        ("+sweep=activations activation=relu,gelu", 2),
        ("+sweep=matched_inits", None),
        ("activation=relu,gelu optimizer.lr=1e-3,3e-3", 4),
        ("activation=relu,gelu hydra/sweeper=race hydra/launcher=joblib", 2),
    ],
)
def test_whatever_is_swept_may_race(words, number):
    composing.register()
    race.register()
    line = typed.read(["-m", *words.split(), *SHARED, "decide.margin=0.3", "study=s"])
    understood = correcting.understand(line)
    assert understood.problems == []
    assert race_terms.of(understood.jobs[0].config) == Terms(0.3)
    assert len({job.settings.id for job in understood.jobs}) == len(understood.jobs) == (number or len(understood.jobs))


def test_a_race_goes_on_on_its_own_terms_alone(races):
    jobs = entrants(races.study, "relu", "gelu")
    assert race_terms.against_study(races.study, jobs, Terms(0.1)) == []
    races.race(Terms(2.0), "relu", "tanh")
    (margin,) = race_terms.against_study(races.study, jobs, Terms(0.1))
    assert "was begun with decide.margin=2" in margin.what
    (of_images,) = race_terms.against_study(races.study, jobs, Terms(2.0, "fixed"))
    assert of_images.where == "decide.test_set=fixed"
    longer = settings_of("dataset=digits", "activation=relu", "train.epochs=3")
    (protocol,) = race_terms.against_study(races.study, [Job((), longer, races.study / longer.folder)], Terms(2.0))
    assert "has runs on other terms" in protocol.what


def test_the_keys_of_a_race_are_no_part_of_a_run():
    plain = settings_of("activation=relu")
    raced = settings_of("activation=relu", "decide.margin=0.1", "decide.max_seeds=9", "decide.test_set=fixed")
    assert (plain.id, plain) == (raced.id, raced)


def test_consecutive_seeds_and_rounds_know_the_same_range():
    assert extending.consecutive({0, 1, 2, 7, 9, 10}) == [(0, 3), (7, 1), (9, 2)]
    assert rounds.GROWTH == 1.5


def test_the_statistics_are_imported_by_a_race_alone():
    """They take a fifth of a second, which every command would pay."""
    code = "import sys, actbench.command.launch; print('actbench.report' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
