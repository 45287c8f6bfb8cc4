"""Which folder a run's events get, and so how TensorBoard calls it; no events are written here."""

from __future__ import annotations

import errno
import re
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from helpers import activation_choice, fake_run, settings_of

from actbench.command.training import look_inside
from actbench.report import runs
from actbench.sinks import logdir as logdirs
from actbench.sinks import place_index
from actbench.sinks.logdir import FOLDER, claim, events_of, logdir, of_study, owns


@pytest.fixture(scope="module")
def gelu():
    return settings_of("activation=gelu", "dataset=digits", "num_seeds=2", "train.epochs=1")


@pytest.fixture
def study(tmp_path):
    return tmp_path / "outputs" / "mine"


def begun(study, settings, name="gelu"):
    """The name in the study that a run gets when it begins, with an event file there."""
    folder = study / settings.folder
    folder.mkdir(parents=True, exist_ok=True)
    place = claim(folder, settings, name)
    seeds = [place / f"seed={seed}" for seed in settings.seeds]
    mean = [place] if owns(folder, place) else []
    for own in (*seeds, *mean):
        assert not list(own.glob("*tfevents*"))
        (own / "events.out.tfevents.1").write_text(settings.folder)
    assert (events_of(folder), logdir(folder)) == (place, place.parent)
    assert of_study(study) == (study / "tensorboard" if place.parent == study / "tensorboard" else None)
    return str(place.relative_to(study))


def shown(study):
    """What TensorBoard shows: run -> whose events these are."""
    root = study / "tensorboard"
    return {str(path.parent.relative_to(root)): path.read_text() for path in root.rglob("*tfevents*")}


def test_runs_of_a_configuration_have_one_name_and_another_configuration_gets_its_id(study, gelu):
    later, last = replace(gelu, seed=2, num_seeds=3), replace(gelu, seed=5, num_seeds=1)
    assert begun(study, gelu) == "tensorboard/gelu"
    assert begun(study, later, "gelu num_seeds=5") == "tensorboard/gelu"
    assert begun(study, last) == "tensorboard/gelu"
    other = replace(gelu, dropout=0.5)
    assert begun(study, other) == f"tensorboard/gelu {other.id}"
    assert begun(study, replace(other, seed=2)) == f"tensorboard/gelu {other.id}"
    seeds = {f"gelu/seed={seed}": run.folder for run in (gelu, later, last) for seed in run.seeds}
    told = shown(study)
    assert {run: told[run] for run in told if other.id not in run} == {"gelu": gelu.folder, **seeds}
    for run in (later, gelu):  # they go on, and leave the events of the others alone
        assert begun(study, run) == "tensorboard/gelu"
        assert shown(study) == told


def test_a_run_with_seeds_that_another_run_has_keeps_away_from_its_events(study, gelu):
    assert begun(study, gelu) == "tensorboard/gelu"
    more = replace(gelu, num_seeds=4)
    assert begun(study, more) == f"tensorboard/gelu {gelu.id}"
    assert begun(study, replace(gelu, seed=1)) == f"tensorboard/gelu {gelu.id} seeds1-2"
    assert shown(study)["gelu/seed=1"] == gelu.folder


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gelu lr=0.003 sizes=[16,32]", "gelu lr=0.003 sizes=[16,32]"),
        ("relu path=../a\\b:c", "relu path=.._a_b_c"),
        ("..", "run"),
        ("  .hidden. ", "hidden"),
        ("", "run"),
        ("a\nb\x1b\u202e\ud800", "a_b___"),
        ("größe=3 日本", "größe=3 日本"),
        ("x" * 300, "x" * 120),
        ("日" * 100, "日" * 40),
    ],
)
def test_a_name_is_one_that_every_file_system_takes(study, gelu, name, expected):
    assert begun(study, gelu, name) == f"tensorboard/{expected}"
    other = replace(gelu, dropout=0.5)
    assert begun(study, other, name) == f"tensorboard/{expected} {other.id}"


def test_events_of_runs_that_are_gone_are_removed_when_another_begins(study, gelu):
    other, later = replace(gelu, dropout=0.5), replace(gelu, seed=2, num_seeds=3)
    relu = replace(gelu, activation=activation_choice("relu"))
    assert begun(study, other) == "tensorboard/gelu"
    assert begun(study, relu, "relu") == "tensorboard/relu"
    assert begun(study, replace(relu, seed=2), "relu") == "tensorboard/relu"
    (study / other.folder).rmdir()
    (study / replace(relu, seed=2).folder).rmdir()
    assert begun(study, gelu) == "tensorboard/gelu"
    assert begun(study, later) == "tensorboard/gelu"
    of_relu = {"relu": relu.folder, "relu/seed=0": relu.folder, "relu/seed=1": relu.folder}
    of_later = {f"gelu/seed={seed}": later.folder for seed in later.seeds}
    of_gelu = {"gelu": gelu.folder, "gelu/seed=0": gelu.folder, "gelu/seed=1": gelu.folder}
    assert shown(study) == {**of_relu, **of_gelu, **of_later}
    (study / gelu.folder).rmdir()  # the first run of a configuration
    last = replace(gelu, seed=7, num_seeds=1)
    assert begun(study, last) == "tensorboard/gelu"
    assert shown(study) == {**of_relu, **of_later, "gelu": last.folder, "gelu/seed=7": last.folder}


def test_other_files_in_the_events_of_a_run_that_is_gone_are_kept(study, gelu):
    place = study / begun(study, gelu)
    (place / "notes.txt").write_text("precious")
    (study / gelu.folder).rmdir()
    begun(study, replace(gelu, dropout=0.5))
    assert (place / "notes.txt").read_text() == "precious"


def test_what_is_not_of_a_run_is_left_as_it_is(study, gelu, tmp_path):
    root = study / "tensorboard"
    (root / "gelu" / "seed=0").mkdir(parents=True)
    (root / "gelu" / "seed=0" / "events.out.tfevents.1").write_text("of another program")
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "events.out.tfevents.1").write_text("precious")
    (victim / ".run").write_text(gelu.folder)
    (root / f"gelu {gelu.id}").symlink_to(victim, target_is_directory=True)
    (root / f"gelu {gelu.id} seeds0-1").write_text("a file")
    assert begun(study, gelu) == f"tensorboard/gelu {gelu.id} seeds0-1 (2)"
    assert (root / "gelu" / "seed=0" / "events.out.tfevents.1").read_text() == "of another program"
    assert (victim / "events.out.tfevents.1").read_text() == "precious"
    assert (root / f"gelu {gelu.id} seeds0-1").read_text() == "a file"


@pytest.mark.parametrize(
    "place", ["tensorboard", "tensorboard/.{run}", "tensorboard/gelu/seed=0", "tensorboard/gelu/.run"]
)
def test_nothing_is_written_through_a_link(study, gelu, tmp_path, place):
    """Those who handed the study over may have put one anywhere."""
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "events.out.tfevents.1").write_text("precious")
    if "gelu/" in place:
        begun(study, gelu)
    link = study / place.format(run=gelu.folder)
    link.parent.mkdir(parents=True, exist_ok=True)
    if link.is_dir():
        for path in link.iterdir():
            path.unlink()
        link.rmdir()
    link.unlink(missing_ok=True)
    link.symlink_to(victim, target_is_directory=True)
    begun(study, gelu)
    assert {path.name: path.read_text() for path in victim.iterdir()} == {"events.out.tfevents.1": "precious"}


def test_where_the_study_has_no_room_the_events_are_in_the_runs_own_folder(study, gelu):
    study.mkdir(parents=True)
    (study / "tensorboard").write_text("a file")
    assert begun(study, gelu) == f"{gelu.folder}/tensorboard/gelu"
    assert begun(study, gelu) == f"{gelu.folder}/tensorboard/gelu"
    assert (study / "tensorboard").read_text() == "a file"


def test_a_run_outside_of_a_study_leaves_the_folder_around_it_alone(tmp_path, gelu):
    folder = tmp_path / "anywhere"
    folder.mkdir()
    assert claim(folder, gelu, "gelu") == folder / "tensorboard" / "gelu"
    assert logdir(folder) == folder / "tensorboard"
    assert [path.name for path in tmp_path.iterdir()] == ["anywhere"]


def test_events_of_an_earlier_version_can_be_looked_at_and_are_removed_when_their_run_is_begun_again(study, gelu):
    events = study / gelu.folder / "tensorboard" / "mean"
    events.mkdir(parents=True)
    (events / "events.out.tfevents.1").write_text("old")
    assert logdir(study / gelu.folder) == study / gelu.folder
    assert begun(study, gelu) == "tensorboard/gelu"
    assert not list(events.iterdir())


def test_a_run_without_events_has_nothing_to_look_at(study, gelu):
    (study / gelu.folder).mkdir(parents=True)
    assert (logdir(study / gelu.folder), events_of(study / gelu.folder), of_study(study)) == (None, None, None)


@pytest.mark.parametrize("gone", [False, True])
def test_runs_that_begin_at_once_get_names_of_their_own(study, gelu, gone):
    """Also where all want the name of a run that is gone."""
    if gone:
        begun(study, replace(gelu, dropout=0.9))
        (study / replace(gelu, dropout=0.9).folder).rmdir()
    settings = [replace(gelu, dropout=number / 20) for number in range(16)]
    places, barrier = {}, threading.Barrier(len(settings))

    def begin(own):
        (study / own.folder).mkdir(parents=True, exist_ok=True)
        barrier.wait()
        places[own.id] = claim(study / own.folder, own, "gelu")

    threads = [threading.Thread(target=begin, args=(own,)) for own in settings]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({*places.values()}) == len(settings)
    assert all(events_of(study / own.folder) == places[own.id] for own in settings)
    assert {path.name for path in (study / "tensorboard").glob("[!.]*")} == {path.name for path in places.values()}
    assert study / "tensorboard" / "gelu" in places.values()


def test_runs_of_a_configuration_that_begin_at_once_share_a_name(study, gelu):
    settings = [replace(gelu, seed=2 * number) for number in range(8)]
    threads = [threading.Thread(target=begun, args=(study, own)) for own in settings]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told = shown(study)
    assert {run: told[run] for run in told if run != "gelu"} == {
        f"gelu/seed={seed}": own.folder for own in settings for seed in own.seeds
    }


def test_a_study_with_more_runs_than_tensorboard_ticks_says_how_to_see_the_means(study, gelu):
    begun(study, replace(gelu, num_seeds=39))
    events = of_study(study)
    assert look_inside(events) == f"look inside  tensorboard --logdir {events}"
    begun(study, replace(gelu, seed=39, num_seeds=1))
    command, hint = look_inside(events).splitlines()
    assert command == f"look inside  tensorboard --logdir {events}"
    assert "none of 41 runs" in hint
    means = re.search(r"filter runs by (\S+) for the means", hint)[1]
    assert [run for run in shown(study) if re.search(means, run)] == ["gelu"]


def test_the_report_reads_each_run_of_a_study_once(study, gelu):
    both = [gelu, replace(gelu, activation=activation_choice("relu"))]
    for settings in both:
        fake_run(study / settings.folder, settings, [97.0, 98.0])
        begun(study, settings, settings.activation.name)
    found = runs.find([study.parent])
    assert sorted(run.folder.name for run in found.runs) == sorted(settings.folder for settings in both)
    assert found.problems == []


def test_where_the_studys_folder_may_only_be_read_the_events_are_in_the_runs(tmp_path, monkeypatch):
    own = settings_of("activation=gelu")
    folder = tmp_path / "s" / own.folder
    folder.mkdir(parents=True)

    def forbidden(path, *_arguments, **_options):
        if path == tmp_path / "s" / FOLDER:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return mkdir(path, *_arguments, **_options)

    mkdir = Path.mkdir
    monkeypatch.setattr(Path, "mkdir", forbidden)
    assert claim(folder, own, "gelu") == folder / FOLDER / "gelu"


def test_a_run_that_begins_does_not_look_into_the_folders_of_all_others(study, gelu, monkeypatch):
    """The number of files that it reads does not grow with the number of runs."""
    read = []
    owner = logdirs._owner
    monkeypatch.setattr(logdirs, "_owner", lambda place: read.append(place) or owner(place))

    def looks(number):
        read.clear()
        begun(study, replace(gelu, dropout=number / 1000), f"gelu {number}")
        return len(read)

    of_each = [looks(number) for number in range(1, 30)]
    assert of_each[5:] == [of_each[5]] * 24


@pytest.mark.parametrize("spoilt", ["", "gelu", "gelu\tgelu-mlp\n" * 3, None])
def test_an_index_that_is_damaged_or_gone_is_made_again(study, gelu, spoilt):
    first, later = gelu, replace(gelu, seed=2)
    assert begun(study, first) == begun(study, later) == "tensorboard/gelu"
    index = study / "tensorboard" / place_index.FILE
    index.unlink() if spoilt is None else index.write_text(spoilt)
    assert events_of(study / later.folder) == study / "tensorboard" / "gelu"
    other = replace(gelu, dropout=0.5)
    assert begun(study, other) != "tensorboard/gelu"
    assert [events_of(study / own.folder).name for own in (first, later)] == ["gelu"] * 2
    assert {*index.read_text().splitlines()} == {
        f"gelu\t{first.folder}", f"gelu\t{later.folder}", f"gelu {other.id}\t{other.folder}"
    }  # fmt: skip


def test_marks_of_earlier_versions_are_read_and_kept_true(study, gelu):
    """Each folder of a seed had its own."""
    later = replace(gelu, seed=2, num_seeds=3)
    assert begun(study, gelu) == begun(study, later) == "tensorboard/gelu"
    told, root = shown(study), study / "tensorboard" / "gelu"
    (root / ".run").write_text(f"{gelu.folder}\n")
    for own in (gelu, later):
        for seed in own.seeds:
            (root / f"seed={seed}" / ".run").write_text(f"{own.folder}\n")
    (root.parent / place_index.FILE).unlink()
    for own in (later, gelu):
        assert begun(study, own) == "tensorboard/gelu"
        assert shown(study) == told
    assert begun(study, replace(gelu, seed=4)) == f"tensorboard/gelu {gelu.id}"  # whose seed 4 another run has
    (study / later.folder).rmdir()
    assert begun(study, replace(gelu, seed=7, num_seeds=1)) == "tensorboard/gelu"
    left = {run for run in shown(study) if run.startswith("gelu/")}
    assert left == {"gelu/seed=0", "gelu/seed=1", "gelu/seed=7"}


def test_where_seeds_are_not_shown_they_have_no_folders(study, gelu):
    first = replace(gelu, tensorboard_detail="mean")
    for own in (first, replace(first, seed=2)):
        (study / own.folder).mkdir(parents=True)
        assert claim(study / own.folder, own, "gelu") == study / "tensorboard" / "gelu"
        assert events_of(study / own.folder) == study / "tensorboard" / "gelu"
    assert sorted(path.name for path in (study / "tensorboard" / "gelu").iterdir()) == [".run"]


def test_a_synthetic_study_has_the_events_of_its_template(tmp_path):
    """`scripts/large_study.py`, by which BENCHMARKS says how long TensorBoard takes to show 2,000 runs."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
    import large_study

    settings = settings_of("activation=relu", "dataset=digits", "num_seeds=1", "train.epochs=1")
    template = tmp_path / "one" / settings.folder
    fake_run(template, settings, [97.0], images=100)
    begun(tmp_path / "one", settings, "relu")
    large_study.make(template, tmp_path / "large", configurations=3, seeds=2, events=True)
    assert logdirs.number(tmp_path / "large" / FOLDER) == 9  # the mean and two seeds of each
    made = sorted((tmp_path / "large").glob("*/settings.yaml"))
    assert len(made) == 6 and all(events_of(path.parent) is not None for path in made)
