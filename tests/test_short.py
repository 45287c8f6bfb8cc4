"""The end of a command: it fits a screen, ends with the verdict, and says where the rest is; several studies first."""

from __future__ import annotations

import re

import pytest
from helpers import fake_run, settings_of
from rich.console import Console

from actbench.choices import choices_of
from actbench.cli import main
from actbench.records import Finding
from actbench.report.command import make_report
from actbench.report.evidence_ranges import in_one
from actbench.report.fitting import in_lines, kept_columns
from actbench.report.short import MOST, shorten
from actbench.report.studies import studies_table
from actbench.report.text_table import TextTable

NAMES = [choice.name for choice in choices_of("activation")][:22]
FOUND = (
    Finding("units died", "hidden1: 74.1 % of 512 units dead (seeds 70–80 %)", "steps too long",
            ("optimizer.lr=0.001", "norm=batch"), "dead-units"),
    Finding("seeds disagree", "validation accuracy from 87.2 % (seed 0) to 92.3 % (seed 2), 5.1 points apart over 3 "
            "seeds", "near a limit", ("clip=norm clip.max_norm=1",), "seeds-disagree"),
)  # fmt: skip


def study(folder, number, *overrides, findings=FOUND):
    """So many activations, each half a point below the one before, every second one with findings."""
    for place, name in enumerate(NAMES[:number]):
        own = settings_of("dataset=digits", "train.epochs=3", "num_seeds=3", f"activation={name}", *overrides)
        accuracies = [97 - 0.5 * place + 0.03 * seed + 0.01 * (place % 3) for seed in own.seeds]
        fake_run(folder / own.folder, own, accuracies, findings=findings if place % 2 else ())
    return folder


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    """A folder with three studies: of 2, 6 and 22 configurations."""
    home = tmp_path_factory.mktemp("outputs")
    for number in (2, 6, 22):
        study(home / f"of{number}", number)
    return home


@pytest.fixture
def report(studies, monkeypatch, capsys):
    """Runs `actbench report` in this process -> the lines that it printed."""

    def run(*words, width=100):
        monkeypatch.chdir(studies)
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setattr("sys.argv", ["actbench", "report", *words, "--table"])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
        return capsys.readouterr().out.splitlines()

    return run


# ---------------------------------------------------------------- a screen


@pytest.mark.parametrize("width", [100, 80])
@pytest.mark.parametrize("number", [2, 6, 22])
def test_it_fits_a_screen_and_ends_with_the_verdict(report, studies, number, width):
    shown = report(f"of{number}", width=width)
    assert len(shown) <= 30
    assert all(len(line) <= width for line in shown)
    (comparison,) = make_report([studies / f"of{number}"]).comparisons
    said = " ".join(comparison.sentences).replace(str(studies) + "/", "")
    assert " ".join(shown[shown.index("", len(shown) - 12) + 1 :]).endswith(said[-60:])
    head = next(place for place, line in enumerate(shown) if line.startswith("configuration "))
    best = [one.name for one in comparison.block.configurations]
    rows = [(line.split() or [""])[0] for line in shown[head + 1 :]]
    there = next((place for place, name in enumerate(rows) if name not in best), len(rows))
    assert rows[:there] == best[:there]
    assert there >= min(number, 9)
    assert ("… and" in "".join(shown)) == (there < number)
    assert [word in shown[head] for word in ("verdict", "difference", "test loss")] == [True, True, False]


def test_what_is_left_out_is_counted_and_the_baseline_is_not(report):
    shown = report("of22", "--baseline", NAMES[21])
    assert shown[1].split("  ")[-1].strip() == f"from {NAMES[21]}"  # and not its interval without it
    rows = [line for line in shown if re.match(rf"({'|'.join(NAMES)}) .* (best|worse|as good|undecided) ", line)]
    assert rows[-1].startswith(NAMES[21])
    assert f"… and {22 - len(rows)} more" in shown


def test_each_finding_is_told_once(report):
    for width in (100, 80):
        lines = [line for line in report("of22", width=width) if line.startswith(("dead-units", "seeds-disagree"))]
        assert [line.partition(":")[0] for line in lines] == ["dead-units", "seeds-disagree"]
        assert lines[0].endswith(": 74.1 % of 512 units dead; try optimizer.lr=0.001")


def test_full_has_every_table_row_and_remark(report, studies):
    from actbench.report.tables import comparison_tables

    shown = "\n".join(report("of22", "--full", width=200))
    (comparison,) = make_report([studies / "of22"]).comparisons
    for table in comparison_tables(comparison):
        assert table.title in shown or table.section == "findings"
    for name in NAMES[1::2]:
        assert f"  {name}: hidden1: 74.1 % of 512 units dead (seeds 70–80 %)" in shown
    assert "actbench report" not in shown.replace("actbench report of22 --full", "")
    assert any(line.endswith("actbench report of22 --full") for line in report("of22"))


def test_many_blocks_have_a_table_of_the_largest_and_a_line_each(tmp_path):
    for epochs in range(3, 8):
        study(tmp_path, 2 if epochs < 7 else 5, f"train.epochs={epochs}")
    comparisons = make_report([tmp_path]).comparisons
    short = shorten(comparisons, Console(width=100), about_page=3)
    assert len(short.top) + len(short.verdict) + 3 <= MOST + 1
    top, verdict = ("\n".join(map(str, lines)) for lines in (short.top, short.verdict))
    assert top.startswith("digits, 7 epochs")
    assert top.count("configuration ") == 1
    for epochs in range(3, 7):
        assert f"digits, {epochs} epochs: Use " in verdict
    assert comparisons[0].sentences[0] in verdict


def test_less_important_columns_are_left_out_first():
    table = TextTable("t", ("name", "a", "b", "c", "d"), (("x", "1", "2", "3", "4"),), important=("name", "c"))
    assert kept_columns(table, [10, 10, 10, 10, 10], 80) == [0, 1, 2, 3, 4]
    assert kept_columns(table, [10, 10, 10, 10, 10], 50) == [0, 1, 2, 3]
    assert kept_columns(table, [10, 10, 10, 10, 10], 40) == [0, 1, 3]


def test_names_that_differ_in_their_middle_alone_are_not_cut():
    """A row says which configuration it is, or it says nothing."""
    names = [f"gelu batch_size={size} optimizer.momentum=0.95 init.gain=2" for size in (16, 32)]
    table = TextTable("t", ("configuration", "b", "c"), tuple((name, "1", "2") for name in names))
    shown = [line.split("  ")[0] for line in in_lines(table, [0, 1], 80)[1:]]
    assert len({*shown}) == 2


@pytest.mark.parametrize(
    ("texts", "merged"),
    [
        (["hidden1: 5 % dead", "hidden1: 5 % dead"], "hidden1: 5 % dead"),
        (["hidden1: 5 % dead", "hidden1: 17 % dead", "hidden1: 8.5 % dead"], "hidden1: 5–17 % dead"),
        (["1,000 of 2 steps", "90 of 2 steps"], "90–1,000 of 2 steps"),
        (["norm 1e+05 there", "norm 3e-2 there"], "norm 3e-2–1e+05 there"),
        (["mean -0.5, far", "mean -2, far"], "mean -2 to -0.5, far"),
        (["a: 1 of b", "c: 2 of d"], "a: 1 of b; c: 2 of d"),  # which words belong together is not known
        (["0–2 is no number", "3–4 is no number"], "0–2/3–4 is no number"),
    ],
)
def test_ranges_by_hand(texts, merged):
    assert in_one(texts) == merged


# ---------------------------------------------------------------- several studies


def test_several_studies_are_listed_first(report, studies):
    shown = report(".")
    assert shown[0] == "Studies"
    for number in (2, 6, 22):
        (head,) = [place for place, line in enumerate(shown) if line.startswith(f"of{number} ")]
        assert f"{number} configurations, {number} runs; digits, 3 epochs" in shown[head]
        assert shown[head + 1].startswith("  Use ")
        assert shown[head + 2] == f"  no page yet: actbench open of{number}"
        assert head < shown.index("All of their runs together")
    table = studies_table(make_report([studies]).listed)
    assert [row[0] for row in table.rows] == ["of6", "of22", "of2"]  # all at one time: by their names, the last first
    assert studies_table(make_report([studies / "of6"]).listed) is None
    assert report("of6")[0] != "Studies"


def test_what_is_unfinished_is_counted(tmp_path):
    study(tmp_path / "a", 2)
    study(tmp_path / "b", 2)
    next((tmp_path / "b").glob("*/summary.json")).unlink()
    listed = {one.folder.name: one for one in make_report([tmp_path]).listed}
    assert (listed["b"].configurations, listed["b"].finished, listed["b"].unfinished) == (2, 1, 1)
    assert listed["b"].contents == "2 configurations, 2 runs (1 unfinished)"
    assert {row[3] for row in studies_table([*listed.values()]).rows} == {"2", "1 (and 1 unfinished)"}
