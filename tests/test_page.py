"""The page's SVG against an XML parser and positions by hand; its outline; names that would be markup."""

from __future__ import annotations

import io
import re
import xml.etree.ElementTree as ET
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import matplotlib
import pytest
from helpers import fake_run, settings_of
from matplotlib.figure import Figure
from pages import NASTY, study, write_page

from actbench.errors import printable
from actbench.report import svg
from actbench.report.command import make_report
from actbench.report.drawing import BLUE, STYLE, Tip, of_series
from actbench.report.outline import page_title
from actbench.report.provenance import commands
from actbench.report.sections import SECTIONS
from actbench.report.text_table import TextTable

SVG = "{http://www.w3.org/2000/svg}"


def saved(figure: Figure, tips=()) -> bytes:
    """As `plots` saves it."""
    figure.draw_without_rendering()
    written = io.BytesIO()
    figure.savefig(written, format="svg", metadata={"Date": None, "Title": "A & <b>"})
    return svg.finish(written.getvalue(), svg.places(figure, tips))


@pytest.fixture
def _style():
    with matplotlib.rc_context({**STYLE, **svg.STYLE}):
        yield


def half_of_it() -> tuple[Figure, matplotlib.axes.Axes]:
    """4 × 2 inches, whose axes are the middle half, from 0 to 10: one unit is 14.4 points wide and 7.2 high."""
    figure = Figure(figsize=(4, 2))
    axes = figure.add_axes((0.25, 0.25, 0.5, 0.5), xlim=(0, 10), ylim=(0, 10))
    return figure, axes


@pytest.mark.rendered
@pytest.mark.usefixtures("_style")
def test_a_tip_is_where_its_point_is():
    figure, axes = half_of_it()
    other = figure.add_axes((0.0, 0.0, 0.25, 0.25), xscale="log", xlim=(1, 100), ylim=(0, 1))
    tips = [
        Tip(axes, 5, 5, "middle", "a"), Tip(axes, 0, 10, "corner", "b"), Tip(axes, 11, 5, "outside"),
        Tip(axes, 5, -1, "below"), Tip(axes, float("nan"), 5, "nowhere"), Tip(other, 10, 0.5, "log", "a"),
    ]  # fmt: skip
    root = ET.fromstring(saved(figure, tips))
    circles = {c.find(f"{SVG}title").text: (float(c.get("cx")), float(c.get("cy"))) for c in root.iter(f"{SVG}circle")}
    assert circles == {
        "middle": pytest.approx((144, 72)), "corner": pytest.approx((72, 36)), "log": pytest.approx((36, 126)),
    }  # fmt: skip
    of_series_of = {
        group.get("data-series"): len(group) for group in root.iter(f"{SVG}g") if group.get("class") == "tips"
    }
    assert of_series_of == {"a": 2, "b": 1}
    assert all(
        "fill-opacity: 0" in group.get("style") for group in root.iter(f"{SVG}g") if group.get("class") == "tips"
    )
    axes.plot([5], [5], "o", color=BLUE, gid="dot")
    root = ET.fromstring(saved(figure))
    (dot,) = (group for group in root.iter(f"{SVG}g") if group.get("id") == "dot")
    drawn = dot.find(f".//{SVG}use")
    assert (float(drawn.get("x")), float(drawn.get("y"))) == pytest.approx((144, 72))  # where Matplotlib has it


@pytest.mark.rendered
@pytest.mark.usefixtures("_style")
def test_series_keep_their_names_whatever_these_are():
    figure, axes = half_of_it()
    names = [*NASTY, "two\nlines\tand  more", "bell\x07 \u202e \uffff", "7.5", "relu lr=0.003"]
    for name in names:
        of_series(name, *axes.plot([1, 2], [3, 4]), axes.scatter([1], [2]), axes.fill_between([1, 2], 3, 4))
    drawn = saved(figure, [Tip(axes, 5, 5, f"{name}: 1", name) for name in names])
    root = ET.fromstring(drawn)
    found = [element.get("data-series") for element in root.iter() if element.get("data-series") is not None]
    wanted = [" ".join(printable(name).replace("\uffff", "\ufffd").split()) for name in names]
    assert Counter(found) == dict.fromkeys(wanted, 4)  # three artists and the tip
    assert not any("series:" in element.get("id", "") for element in root.iter())
    assert [title.text for title in root.iter(f"{SVG}title")][1:] == [
        f"{printable(name)}: 1".replace("\uffff", "\ufffd") for name in names
    ]  # fmt: skip


@pytest.mark.rendered
@pytest.mark.usefixtures("_style")
def test_on_a_page_no_id_is_twice_and_none_is_missing():
    figure, axes = half_of_it()
    axes.scatter([1, 2], [3, 4])
    axes.plot([1, 20], [3, 4], "s-")
    drawn = saved(figure)
    both = svg.inline(drawn, "a-", "A").markup + svg.inline(drawn, "b-", "B").markup
    ids = re.findall(r'\bid="([^"]*)"', both)
    used = {*re.findall(r'href="#([^"]*)"', both), *re.findall(r"url\(#([^)]*)\)", both)}
    assert ids and len(ids) == len({*ids})
    assert used == {*ids}
    assert {name[:2] for name in ids} == {"a-", "b-"}


@pytest.mark.rendered
@pytest.mark.usefixtures("_style")
def test_on_a_page_colours_are_those_of_the_page():
    figure, axes = half_of_it()
    axes.plot([1, 2], [3, 4], color=BLUE)
    axes.plot([1, 2], [4, 3], color="0.8")
    made = svg.inline(saved(figure), "a-", 'Blue & "grey"')
    root = ET.fromstring(made.markup)
    styles = " ".join(element.get("style", "") for element in root.iter())
    assert not made.own_colours
    assert not re.search(r"(?<!, )#[0-9a-f]{6}", styles)  # each is the fallback of a variable
    for colour in ("var(--blue, #0072b2)", "var(--grey-c, #cccccc)", "currentColor", "var(--paper, #ffffff)"):
        assert colour in styles
    assert (root.get("role"), root.get("aria-label")) == ("img", 'Blue & "grey"')
    assert root.get("viewBox") == "0 0 288 144" and "--width: 384px" in root.get("style")
    assert ":" not in "".join(element.tag for element in root.iter())  # HTML knows no namespaces
    assert not {"style", "metadata"} & {element.tag for element in root.iter()}  # a style would be that of the page
    assert root.find("title") is None  # it would be told wherever one points
    assert "7.5" in [text.text for text in root.iter("text")]  # text is text


@pytest.mark.rendered
@pytest.mark.usefixtures("_style")
@pytest.mark.parametrize("draw", [
    lambda axes: axes.imshow([[0, 1], [1, 0]]), lambda axes: axes.plot([1, 2], color="#123456"),
])  # fmt: skip
def test_a_picture_with_other_colours_keeps_them_on_white(draw):
    figure, axes = half_of_it()
    draw(axes)
    made = svg.inline(saved(figure), "a-", "")
    assert made.own_colours
    assert "var(" not in made.markup


def test_only_what_is_drawn_within_is_shortened():
    drawn = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 10"><path d="M 1.23456 -0.5 L 10.999 3" transform="scale(0.0156)"/></svg>'
    assert 'd="M 1.23 -0.5 L 10.99 3"' in svg.inline(drawn, "", "").markup
    assert "scale(0.0156)" in svg.inline(drawn, "", "").markup


# ---------------------------------------------------------------- the outline


def test_titles_say_what_is_compared(tmp_path):
    def titled(*names, epochs=(3,)):
        folder = tmp_path / f"{len(names)}-{len(epochs)}-{names[0]}"
        for activation in names:
            for number in epochs:
                own = settings_of("dataset=digits", "num_seeds=3", f"activation={activation}", f"train.epochs={number}")
                fake_run(folder / f"{activation}-{number}", own, (97.0, 97.5, 98.0))
        return page_title([comparison.block for comparison in make_report([folder]).comparisons])

    assert titled("relu") == "relu on digits, 3 epochs"
    assert titled("gelu", "relu", "elu") == "elu, gelu and relu on digits, 3 epochs"
    assert titled("gelu", "relu", "elu", "tanh", "silu") == "5 activation functions on digits, 3 epochs"
    both = "gelu and relu in 2 comparisons: digits, 3 epochs; digits, 4 epochs"
    assert titled("gelu", "relu", epochs=(3, 4)) == both
    other = settings_of("dataset=digits", "num_seeds=3", "activation=relu", "optimizer.lr=0.1", "train.epochs=3")
    folder = tmp_path / "5-1-gelu"
    fake_run(folder / "other", other, (97.0, 97.5, 98.0))
    (comparison,) = make_report([folder]).comparisons
    assert page_title([comparison.block]) == "6 configurations on digits, 3 epochs"
    assert page_title([]) == "actbench"


class Outline(HTMLParser):
    """Headings, folds and anchors, in the order of the page."""

    def __init__(self, html):
        super().__init__()
        self.titles, self.open, self.ids, self.links, self._heading = [], [], [], [], None
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        of = dict(attrs)
        self.ids += [of["id"]] if "id" in of else []
        self.links += [of["href"][1:]] if tag == "a" and of["href"].startswith("#") else []
        if tag == "details":
            self.open.append("open" in of)
        if tag in ("h1", "h2", "h3"):
            self._heading = ""

    def handle_data(self, data):
        if self._heading is not None:
            self._heading += data

    def handle_endtag(self, tag):
        if tag in ("h1", "h2", "h3"):
            self.titles.append(self._heading)
            self._heading = None


def test_the_sections_are_in_their_order_and_what_is_missing_is_open(tmp_path):
    html = write_page(tmp_path / "page", study(tmp_path / "s", ("relu", "gelu"), unfinished="mine")).read_text()
    of = Outline(html)
    sections = [title for title in of.titles if title in SECTIONS.values()]
    assert sections == [title for title in SECTIONS.values() if title in sections]
    assert {"Learning curves", "How this was decided", "Without results"} <= {*sections}
    assert of.titles[0] == "relu, gelu and mine on digits, 3 epochs"
    assert of.titles[-1] == "How it was made"
    assert of.open == [title == "Without results" for title in sections]
    assert len(of.ids) == len({*of.ids})
    assert {*of.links} <= {*of.ids}
    assert {"curves", "decided", "unfinished"} <= {*of.links}
    markdown = (tmp_path / "page" / "report.md").read_text()
    headings = [line.lstrip("# ").partition(":")[0] for line in markdown.splitlines() if line.startswith("#")]
    assert [title for title in headings if title in sections or title == "Results"] == [
        "Results", *sections,
    ]  # fmt: skip
    assert markdown.index("plots/means.png") < markdown.index("| configuration ") < markdown.index("plots/curves.png")


def test_without_a_comparison_the_first_picture_is_in_sight(tmp_path):
    """There is no picture of differences."""
    folder = study(tmp_path / "s", ("relu",))
    of = Outline(write_page(tmp_path / "page", folder, own_plots=False).read_text())
    assert of.open[0] and not any(of.open[1:])


def test_each_block_has_its_own_sections(tmp_path):
    for epochs in (3, 4):
        for activation in ("relu", "gelu"):
            own = settings_of("dataset=digits", "num_seeds=3", f"activation={activation}", f"train.epochs={epochs}")
            fake_run(tmp_path / "s" / f"{activation}-{epochs}", own, (97.0, 97.5, 98.0))
    html = write_page(tmp_path / "page", tmp_path / "s").read_text()
    of = Outline(html)
    assert len(of.ids) == len({*of.ids})
    assert {*of.links} <= {*of.ids}
    assert {"block", "block-2", "curves", "curves-2", "decided", "decided-2"} <= {*of.links}
    assert [of.titles.count(title) for title in ("Learning curves", "digits, 3 epochs", "digits, 4 epochs")] == [
        2,
        2,
        2,
    ]


def test_studies_are_listed_first_with_links_to_their_pages(tmp_path, monkeypatch):
    """Paths are those from where the command was typed, addresses those from the page."""
    monkeypatch.chdir(tmp_path)
    folder = study(tmp_path / "s", ("relu", "gelu"))
    there = Path("outputs") / "a #b" / "report.html"
    there.parent.mkdir(parents=True)
    there.write_text("")
    cells = (("one", str(there), "nowhere.html"), ("two", "javascript:alert(1).html", "<b>"))
    studies = TextTable("Studies", ("study", "page", "other"), cells, text=True)
    html = write_page(tmp_path / "page", folder, studies=studies).read_text()
    assert html.index("<h2>Studies</h2>") < html.index("<h2>Results</h2>")
    assert re.findall('<a href="([^#"][^"]*)">', html) == ["../outputs/a%20%23b/report.html"]
    assert "<b>" not in html
    markdown = (tmp_path / "page" / "report.md").read_text()
    assert markdown.index("## Studies") < markdown.index("## Results")


def test_commands_are_in_the_order_in_which_they_were_typed():
    typed = [("2026-02", "b", "x=2"), ("2026-03", "a", "x=3"), ("2026-01", "a", "x=1"), ("2026-04", "b", "x=2")]
    of_runs = [{"time": time, "study": study, "argv": ["actbench", word]} for time, study, word in typed]
    told = [("a", "actbench x=1"), ("b", "actbench x=2"), ("a", "actbench x=3")]
    assert commands([*of_runs, {}]) == told
