"""One study by many commands: what a single run says, the page that is made anew, and `actbench open`."""

from __future__ import annotations

import json
import os
import shlex
import sys
import time

import pytest
from helpers import fake_run, settings_of
from processes import Command

from actbench.cli import main
from actbench.command import afterwards, opening
from actbench.errors import UserError
from actbench.report import command, pages, studies
from actbench.report.command import make_report
from actbench.store import decide, lock

TINY = ["dataset=digits", "train.epochs=1", "model.width=8", "tensorboard=false", "train.threads=1", "num_seeds=3"]


@pytest.fixture
def typed(tmp_path, monkeypatch, capsys):
    """Runs a command in this process -> exit code, lines of stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY", "SSH_CONNECTION", "SSH_TTY"):
        monkeypatch.delenv(name, raising=False)

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["actbench", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return ended.value.code or 0, out.splitlines(), err

    return run


def said(lines, label):
    """What stands behind a label."""
    return next((line.partition(" ")[2].strip() for line in lines if line.startswith(f"{label} ")), None)


def fake(folder, activation, mean, *overrides):
    own = settings_of("dataset=digits", "train.epochs=3", "num_seeds=3", f"activation={activation}", *overrides)
    return fake_run(folder / own.folder, own, [mean, mean + 0.1, mean + 0.2])


# ---------------------------------------------------------------- after a single run


def test_a_single_run_says_how_to_compare_it_and_the_next_one_is_compared(typed, tmp_path):
    code, lines, _ = typed(*TINY, "activation=topk", "activation.k=3", "study=a b")
    assert code == 0
    assert not (tmp_path / "outputs" / "a b" / "report").exists()  # a page of one run says nothing
    words = shlex.split(said(lines, "compare"))
    assert words == ["actbench", "activation=relu", *TINY, "study=a b"]
    assert shlex.split(said(lines, "then")) == ["actbench", "report", "outputs/a b"]
    code, lines, err = typed(*words[1:])
    assert (code, err) == (0, "")
    assert said(lines, "compare") is None
    assert said(lines, "study").startswith("outputs/a b: 2 configurations. ")
    assert said(lines, "page").startswith("outputs/a b/report/report.html ")
    content = json.loads((tmp_path / "outputs" / "a b" / "report" / "verdict.json").read_text())
    assert {one["name"] for one in content["blocks"][0]["configurations"]} == {"topk", "relu"}
    seen = decide.read(tmp_path / "outputs" / "a b").looks
    assert len(seen) == 1
    assert {*seen[0].values()} == {(0, 1, 2)}
    page = tmp_path / "outputs" / "a b" / "report" / "report.html"
    before = page.stat().st_mtime_ns
    code, lines, _ = typed(*words[1:])  # which is complete: the page shows it already
    assert (code, page.stat().st_mtime_ns) == (0, before)
    assert said(lines, "study").startswith("outputs/a b: 2 configurations. ")
    assert decide.read(tmp_path / "outputs" / "a b").looks == seen


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["activation=gelu"],
        ["activation=topk", "activation.k=3", "study=2024"],
        ["experiment=dying_relu", "train.epochs=1"],
        ["upper_activation=gelu", "model.depth=2", "study=a, b"],
        ["model=cnn", "activation=prelu", "seed=7", "num_seeds=1"],
    ],
)
def test_the_command_that_compares_can_be_planned(words):
    from actbench.command import composing, correcting
    from actbench.command import typed as typing

    composing.register()
    understood = correcting.understand(typing.read([*words, "dataset=digits"]))
    (job,) = understood.jobs
    compare, then = afterwards.how_to_compare(job, job.folder.parent, [*words, "dataset=digits"])
    again = correcting.understand(typing.read(shlex.split(compare)[2:]))
    assert again.problems == []
    (other,) = again.jobs
    assert other.folder.parent.name == job.folder.parent.name
    assert other.settings.activation.name != job.settings.activation.name
    assert shlex.split(then)[1:] == ["actbench", "report", str(job.folder.parent)]


def test_what_fails_there_does_not_fail_the_run(typed, tmp_path, monkeypatch):
    fake(tmp_path / "outputs" / "s", "gelu", 97.0)

    def broken(*_arguments, **_options):
        raise RuntimeError("no space\nleft")

    monkeypatch.setattr(command, "write", broken)
    code, lines, err = typed(*TINY, "study=s")
    assert code == 0
    assert said(lines, "files")
    (line,) = err.splitlines()
    assert line.startswith("the page of outputs/s was not made: ")
    assert line.endswith("again: actbench report outputs/s")
    monkeypatch.undo()


def test_a_page_that_cannot_be_written_is_one_line(typed, tmp_path):
    fake(tmp_path / "outputs" / "s", "gelu", 97.0)
    (tmp_path / "outputs" / "s" / "report").write_text("a file is in its place")
    code, _, err = typed(*TINY, "study=s")
    assert code == 0
    assert len(err.splitlines()) == 1
    assert "the page of outputs/s was not made" in err


# ---------------------------------------------------------------- which page is up to date


def test_a_page_is_made_again_when_runs_were_added_changed_or_removed(tmp_path):
    folder = tmp_path / "s"
    gelu = fake(folder, "gelu", 97.0)
    fake(folder, "relu", 96.0)
    first = pages.current(folder)
    assert first.made > 0
    assert first.path == folder / "report" / "report.html"
    assert (first.configurations, first.sentence[:9]) == (2, "Use gelu:")
    assert pages.current(folder).made == 0
    added = fake(folder, "tanh", 95.0)
    assert pages.current(folder).made > 0
    assert pages.current(folder).configurations == 3
    for path in added.iterdir():
        path.unlink() if path.is_file() else None
    assert pages.current(folder).made > 0
    later = time.time() + 10
    os.utime(gelu / "summary.json", (later, later))
    assert pages.current(folder).made > 0  # it was trained again
    os.utime(first.path, (later + 10, later + 10))
    assert pages.current(folder).made == 0
    for wrong in ("{", "[]", '{"blocks": [1]}', '{"blocks": [{"configurations": [{"id": 3}]}]}'):
        (folder / "report" / "verdict.json").write_text(wrong)
        assert pages.current(folder).made > 0


def test_it_is_the_page_and_the_look_of_actbench_report(tmp_path):
    for name in ("by_hand", "by_itself"):
        for activation, mean in (("gelu", 97.0), ("relu", 96.0)):
            fake(tmp_path / name, activation, mean)
    pages.current(tmp_path / "by_itself")
    report = make_report([tmp_path / "by_hand"])
    command.looks.record(report.studies)
    command.write(report, tmp_path / "by_hand" / "report")
    verdicts = [(tmp_path / name / "report" / "verdict.json").read_text() for name in ("by_hand", "by_itself")]
    assert verdicts[0] == verdicts[1].replace("by_itself", "by_hand")
    assert decide.read(tmp_path / "by_hand") == decide.read(tmp_path / "by_itself")


def test_a_look_is_recorded_once_there_is_something_to_look_at(tmp_path):
    for activation, mean in (("gelu", 97.0), ("relu", 96.0)):
        fake(tmp_path / "s", activation, mean)
    (tmp_path / "s" / "report").write_text("in the way")
    with pytest.raises(UserError):
        pages.current(tmp_path / "s")
    assert decide.number_of_looks(decide.read(tmp_path / "s"), {}) == 1
    assert not decide.read(tmp_path / "s").looks


def test_a_study_in_the_list_is_judged_as_by_itself(tmp_path):
    """By its own decide.json, though all of its seeds were trained again in a newer study."""
    for study, when, mean in (("a", "2026-03-01T00:00:00", 90.0), ("b", "2026-02-01T00:00:00", 95.0)):
        for activation, apart in (("relu", 0.0), ("gelu", 2.0)):
            own = settings_of("dataset=digits", "num_seeds=5", f"activation={activation}")
            accuracies = [mean + apart + 0.1 * seed for seed in range(5)]
            fake_run(tmp_path / study / own.folder, own, accuracies, time=when)
    decide.write(tmp_path / "b", decide.Decide(margin=5.0))
    alone = make_report([tmp_path / "b"]).comparisons[0].sentences[0]
    listed = {one.folder.name: one.sentence for one in make_report([tmp_path]).listed}
    assert listed["b"] == studies.first_sentence(alone)
    assert "within 5 points" in listed["b"]
    assert "within" not in listed["a"]


def test_two_processes_make_one_page(tmp_path):
    """The one that waits finds what the other has made."""
    for activation, mean in (("gelu", 97.0), ("relu", 96.0)):
        fake(tmp_path / "s", activation, mean)
    both = [Command("open", "s", cwd=tmp_path, env={"DISPLAY": "", "SSH_TTY": "none"}) for _ in range(2)]
    done = [command.wait() for command in both]
    assert [one.stdout for one in done] == ["s/report/report.html\n"] * 2
    assert sorted("made in" in one.stderr for one in done) == [False, True]


@pytest.mark.parametrize(("words", "alone"), [((), True), (("--output", "elsewhere"), False), (("--table",), False)])
def test_a_report_by_hand_is_made_while_no_other_process_makes_that_page(typed, tmp_path, monkeypatch, words, alone):
    """From reading the runs on: else an older page would be left beside a newer verdict.json."""
    fake(tmp_path / "outputs" / "s", "gelu", 97.0)
    held = []

    def watched(*arguments, **options):
        for study in ("outputs/s", "."):
            name = "report" if study != "." else "elsewhere"
            with lock.alone(tmp_path / study / f".{name}.lock", 0) as busy:
                held.append(busy)
        return make_report(*arguments, **options)

    monkeypatch.setattr(command, "make_report", watched)
    assert typed("report", "outputs/s", *words)[0] == 0
    assert held == [alone, words[:1] == ("--output",)]
    assert not [*tmp_path.rglob(".*.lock")]


# ---------------------------------------------------------------- actbench open


@pytest.fixture
def two(tmp_path):
    """A study of two activations -> the folder of one of its runs."""
    for activation, mean in (("gelu", 97.0), ("relu", 96.0)):
        run = fake(tmp_path / "outputs" / "two", activation, mean)
    return run


def test_the_page_is_made_and_its_path_printed_where_there_is_no_browser(typed, two, tmp_path):
    page = "outputs/two/report/report.html"
    for meant in ("two", "outputs/two", str(two.relative_to(tmp_path)), page, "outputs/two/report"):
        code, lines, err = typed("open", meant)
        assert (code, lines) == (0, [page])
        assert err.endswith("there is no display: the file can be opened in any browser\n")
    assert (tmp_path / page).is_file()
    fake(tmp_path / "outputs" / "two", "tanh", 95.0)
    typed("open", "two")
    assert "tanh" in (tmp_path / page).read_text()


@pytest.mark.usefixtures("two")
def test_an_earlier_page_is_shown_where_it_cannot_be_made_anew(typed, tmp_path, monkeypatch):
    page = "outputs/two/report/report.html"
    typed("open", "two")
    fake(tmp_path / "outputs" / "two", "tanh", 95.0)

    def cannot(folder, *_):
        raise UserError("Read-only file system", where=str(folder))

    monkeypatch.setattr(pages, "_make", cannot)
    code, lines, err = typed("open", "two")
    assert (code != 0, lines) == (True, [page])
    assert "could not be made anew" in err
    assert "Read-only file system" in err


@pytest.mark.usefixtures("two")
def test_the_page_of_all_studies_and_one_that_is_elsewhere(typed, tmp_path):
    fake(tmp_path / "outputs" / "one", "tanh", 95.0)
    assert typed("open", "outputs")[1] == ["outputs/report/report.html"]
    typed("report", "outputs/two", "--output", "elsewhere")
    assert typed("open", "elsewhere")[1] == ["elsewhere/report.html"]
    (tmp_path / "mine.html").write_text("<p>")
    assert typed("open", "mine.html")[1] == ["mine.html"]


@pytest.mark.usefixtures("two")
def test_what_there_is_no_page_of_is_told_with_what_was_probably_meant(typed):
    assert typed("open", "tow")[::2] == (2, "error: tow: there is no such folder\n    did you mean outputs/two?\n")
    code, _, err = typed("open")
    assert (code, "which study?" in err) == (2, True)
    code, _, err = typed("open", "two", "three")
    assert (code, "actbench open --help" in err) == (2, True)
    code, _, err = typed("opne", "two")
    assert "did you mean open?" in err


@pytest.mark.usefixtures("two")
def test_the_browser_gets_the_address_and_nobody_waits_for_it(typed, tmp_path, monkeypatch):
    opened = tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {opened}.part; mv {opened}.part {opened}\nexec sleep 30\n')
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", str(browser))
    monkeypatch.setattr(opening, "_WAIT", 0.0)
    code, lines, err = typed("open", "two")
    assert (code, lines) == (0, ["outputs/two/report/report.html"])
    assert "browser" not in err
    for _ in range(1000):
        if opened.exists():
            break
        time.sleep(0.02)
    assert opened.read_text() == f"{(tmp_path / lines[0]).as_uri()}\n"
    monkeypatch.setattr(opening, "_WAIT", 30.0)
    monkeypatch.setenv("BROWSER", str(tmp_path / "nothing"))
    code, lines, err = typed("open", "two")
    assert (code, lines) == (0, ["outputs/two/report/report.html"])
    assert "no browser could be started" in err


@pytest.mark.parametrize(
    ("environment", "platform", "there_is_one"),
    [
        ({}, "linux", False),
        ({"DISPLAY": ":0"}, "linux", True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", True),
        ({"DISPLAY": ":10", "SSH_CONNECTION": "1 2 3 4"}, "linux", False),
        ({"SSH_CONNECTION": "1 2 3 4", "BROWSER": "/vscode/browser.sh"}, "linux", True),  # which opens it at home
        ({"BROWSER": "w3m"}, "linux", False),
        ({"BROWSER": f"/usr/bin/lynx{os.pathsep}firefox %s"}, "linux", True),
        ({}, "darwin", True),
        ({"SSH_TTY": "/dev/pts/1"}, "darwin", False),
        ({"BROWSER": "'"}, "linux", True),
    ],
)
def test_where_a_browser_is(environment, platform, there_is_one):
    assert (opening.lacking(environment, platform) == "") == there_is_one
