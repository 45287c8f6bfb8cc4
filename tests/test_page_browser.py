"""The page in a real browser: what is clicked, pointed at, typed and printed, on a screen and on a phone."""

from __future__ import annotations

import contextlib
import itertools
import re
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pages import NAMES, NASTY, study, write_page

from actbench.errors import printable
from actbench.report import drawing, outline
from actbench.report.text_table import TextTable

pytestmark = pytest.mark.rendered
SCREENS = (1280, 390)
CELLS = (  # the cells of a column, and their order when it is sorted upwards
    ("97.68 ± 0.40", "1,234", "–", "−0.48", "0.38 s", "407k", "diverged", "< 0.001", "+3.5 to +4", "2e-3"),
    ("−0.48", "< 0.001", "2e-3", "0.38 s", "+3.5 to +4", "97.68 ± 0.40", "1,234", "407k", "–", "diverged"),
)
NUMBERS = (0.5, 0.0085, 0.1, 10, 0.25, 2, 0.012, 1e-05, 0.001, 3)
TEXTS = (  # two more columns: numbers within words, and dates
    tuple(f"relu lr={number:g}" for number in NUMBERS),
    tuple(f"2026-{month:02}-{30 - month} 08:00" for month in (11, 2, 7, 1, 10, 5, 3, 12, 9, 4)),
)


@pytest.fixture(scope="module")
def browser():
    """Chromium, that of the system or Playwright's own."""
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="Playwright is not installed: pip install 'actbench[dev]'"
    )
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    with sync_api.sync_playwright() as playwright:
        own = playwright.chromium.executable_path
        found = next(filter(None, map(shutil.which, names)), own if Path(own).exists() else None)
        if found is None:
            pytest.skip("no browser: apt install chromium, or playwright install chromium")
        launched = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The page of each kind, made once it is asked for: `pages("many")` -> its path."""
    made: dict[str, Path] = {}
    names = {"two": NAMES[:2], "six": NAMES[:6], "many": NAMES, "long": NAMES[:2], "nasty": (*NASTY, "relu")}
    names["some"] = NAMES[:6]

    def of(kind):
        if kind not in made:
            folder = tmp_path_factory.mktemp(kind)
            runs = study(folder / "study", names[kind], unfinished="begun" if kind == "six" else None)
            rows = tuple((f"row {number}", *cells) for number, cells in enumerate(zip(CELLS[0], *TEXTS, strict=True)))
            studies = TextTable("Studies", ("study", "value", "name", "when"), rows) if kind == "six" else None
            if kind == "long":
                rows = tuple((f"<b>study {number}</b>", f"{number * 7 % 400}", "-", "-") for number in range(400))
                studies = TextTable("Studies", ("study", "value", "name", "when"), rows)
            with pytest.MonkeyPatch.context() as patch:
                if kind == "some":  # as of ten thousand: pictures show a few, which alone have switches
                    patch.setattr(outline, "_SWITCHES", 3)
                    patch.setattr(drawing, "SHOWN", 3)
                made[kind] = write_page(folder / "page", runs, own_plots=kind != "two", studies=studies)
        return made[kind]

    return of


@dataclass
class Opened:
    """A page in the browser; `troubles` are what the console says, and requests for anything but the file."""

    page: object
    troubles: list[str] = field(default_factory=list)

    def scroll_to(self, locator):
        """Until it is in sight, and the browser has told it."""
        locator.scroll_into_view_if_needed()
        self.page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def rows(self, table=0):
        """The texts of the first cells that are shown."""
        found = self.page.locator("table").nth(table).locator("tbody tr:visible td:first-child")
        return [" ".join(text.split()) for text in found.all_text_contents()]

    def chip(self, name):
        return self.page.locator(".switches").get_by_role("button", name=name, exact=True)

    def series(self, *, shown=True):
        """The names of the series that are shown in the pictures, or of those that are pale."""
        script = """shown => {
          const opacity = (e) => e ? getComputedStyle(e).opacity * opacity(e.parentElement) : 1;
          const found = [...document.querySelectorAll('svg [data-series]')].filter(e => (opacity(e) > 0.5) === shown);
          return [...new Set(found.map(e => e.dataset.series))];
        }"""
        return set(self.page.evaluate(script, shown))


@pytest.fixture
def show(browser, pages):
    """Opens a page: `show("six", 390, color_scheme="dark")` -> Opened."""
    with contextlib.ExitStack() as stack:
        opened = []

        def of(kind, width=1280, anchor="", **context):
            context = browser.new_context(viewport={"width": width, "height": 800}, **context)
            stack.callback(context.close)
            context.set_default_timeout(5_000)
            page = Opened(context.new_page())
            address = pages(kind).as_uri()
            page.page.on("console", lambda message: page.troubles.append(message.text))
            page.page.on("pageerror", lambda error: page.troubles.append(str(error)))
            page.page.on(
                "request", lambda request: request.url.split("#")[0] == address or page.troubles.append(request.url)
            )
            page.page.goto(address + anchor)
            opened.append(page)
            return page

        yield of
        assert [page.troubles for page in opened] == [[] for _ in opened]


@pytest.mark.parametrize("kind", ["two", "six", "many", "nasty"])
def test_nothing_is_wider_than_the_screen(show, kind):
    for width in SCREENS:
        of = show(kind, width)
        for folds in ("closed", "open"):
            assert of.page.evaluate("document.documentElement.scrollWidth") <= width
            beyond = of.page.evaluate(
                "[...document.querySelectorAll('body *')].filter(e => !e.closest('.scroll > *') && e.id !== 'tip' &&"
                " e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 80))"
            )
            assert beyond == []
            if folds == "closed":
                of.page.get_by_role("button", name="Open all folds").click()
                assert of.page.locator("main details:not(.switches):not([open])").count() == 0
        sizes = of.page.evaluate(
            "[...document.querySelectorAll('figure svg')].map(e => e.getBoundingClientRect().width)"
        )
        assert all(size >= 500 for size in sizes)  # smaller letters could not be read
        if width < 500:  # what is cut says so
            assert of.page.evaluate(
                "getComputedStyle(document.querySelector('figcaption'), '::before').content"
            ).startswith('"The picture')
            assert of.page.locator(".picture:is(.more-left, .more-right)").count() == len(sizes)
            box = of.page.locator(".picture").first
            box.evaluate("e => e.scrollTo(e.scrollWidth, 0)")
            of.scroll_to(box)
            assert box.get_attribute("class") == "scroll picture more-left"


def test_a_phone_shows_the_line_of_no_difference_first(show):
    of = show("two", 390)
    line = of.page.locator("#block svg .zero").first.bounding_box()
    words = of.page.locator("#block svg .axes").first.bounding_box()
    assert 30 <= line["x"] <= 360
    assert words["x"] + words["width"] <= 390


def test_a_click_sorts_up_down_and_back(show):
    of = show("six")

    def values():
        return [text.strip() for text in of.page.locator("#studies td:nth-child(2)").all_text_contents()]

    head = of.page.locator("#studies th").nth(1)
    assert head.get_attribute("aria-sort") is None
    head.get_by_role("button").click()
    assert (head.get_attribute("aria-sort"), values()) == ("ascending", list(CELLS[1]))
    head.get_by_role("button").press("Enter")
    assert (head.get_attribute("aria-sort"), values()) == ("descending", [*CELLS[1][-3::-1], *CELLS[1][-2:]])
    head.get_by_role("button").press("Space")
    assert (head.get_attribute("aria-sort"), values()) == (None, list(CELLS[0]))
    for column, ordered in ((3, [f"relu lr={number:g}" for number in sorted(NUMBERS)]), (4, sorted(TEXTS[1]))):
        of.page.locator("#studies th").nth(column - 1).get_by_role("button").click()
        assert of.page.locator(f"#studies td:nth-child({column})").all_text_contents() == ordered
    of.page.locator("#block th").first.get_by_role("button").click()
    assert of.rows(1) == sorted(NAMES[:6])
    assert of.page.locator("#block [aria-sort]").count() == 1


@pytest.mark.parametrize("width", SCREENS)
def test_rows_beyond_the_first_hundred_are_found_and_sorted(show, width):
    """They are packed until somebody asks for them."""
    of = show("long", width)
    rows = of.page.locator("#studies tbody tr")
    assert rows.count() == 100
    of.page.locator("#studies .filter input").fill("study 321</b>")
    of.page.locator("#studies tbody tr:visible", has_text="study 321").wait_for()
    assert of.page.locator("#studies tbody tr:visible td:first-child").all_text_contents() == ["<b>study 321</b>"]
    of.page.locator("#studies .filter input").fill("")
    of.page.locator("#studies th").nth(1).get_by_role("button").click()
    first = of.page.locator("#studies tbody tr:visible td:nth-child(2)").all_text_contents()[:50]
    assert first == [str(number) for number in range(50)]
    assert of.page.evaluate("document.documentElement.scrollWidth") <= width


def test_rows_are_filtered_by_words(show):
    of = show("many")
    field = of.page.locator("#block .filter input").first
    field.fill("RELU worse")
    assert set(of.rows()) == {name for name in NAMES[1:] if "relu" in name}
    assert of.page.locator("#block .filter span").first.text_content() == "5 of 22 rows"
    field.fill("no such")
    assert of.rows() == []
    field.fill("")
    assert len(of.rows()) == 22
    assert of.page.locator("#block .filter span").first.text_content() == ""
    assert show("two").page.locator(".filter input").count() == 0


def test_a_configuration_is_switched_off_everywhere(show):
    of = show("six")
    of.page.get_by_role("button", name="Open all folds").click()
    assert (of.series(), of.series(shown=False)) == ({*NAMES[:6]}, set())
    of.chip("elu").click()
    assert of.chip("elu").get_attribute("aria-pressed") == "false"
    assert (of.series(), of.series(shown=False)) == ({*NAMES[:6]} - {"elu"}, {"elu"})
    tables = of.page.locator(".part table").count()
    assert all("elu" not in of.rows(number) for number in range(1, 1 + tables))
    assert "6 of 7 shown" in of.page.locator(".switches summary").text_content()
    assert of.page.locator("#block .filter span").first.text_content() == "5 of 6 rows"
    of.page.locator(".filter input").nth(1).fill("relu")  # both at once
    assert of.rows(1) == ["relu"]
    of.page.locator(".filter input").nth(1).fill("")
    of.chip("gelu").dblclick()
    assert of.series() == {"gelu"} and of.rows(1) == ["gelu"]
    of.chip("all").click()
    assert of.series() == {*NAMES[:6]} and len(of.rows(1)) == 6
    of.chip("tanh").click(modifiers=["Alt"])
    assert of.series() == {"tanh"} and of.rows(1) == ["tanh"]
    of.chip("none").click()
    assert of.series() == set() and of.rows(1) == []
    of.chip("relu").press("Enter")
    assert of.series() == {"relu"}


def test_of_very_many_configurations_it_says_how_many_there_are_beside_those_in_pictures(show):
    of = show("some")
    said = of.page.locator(".switches summary")
    assert said.text_content() == "Configurations in pictures: 3 of 3 shown, of 6 in all"
    assert len(of.rows(0)) == 6
    of.chip("gelu").click()
    assert said.text_content() == "Configurations in pictures: 2 of 3 shown, of 6 in all"
    assert len(of.rows(0)) == 5


def test_a_panel_is_pale_where_all_that_it_shows_is_off(show):
    of = show("six")
    curves = of.page.locator("#curves svg .axes")
    for name, pale in (("none", True), ("relu", False), ("all", False)):
        of.chip(name).click()
        assert (curves.get_attribute("class") == "axes off") == pale
    assert "pale" in of.page.locator(".switches .soft").text_content()


def test_names_that_would_be_markup_are_names(show):
    of = show("nasty")
    for name in NASTY:
        shown = " ".join(printable(name).split())
        assert shown in of.rows()
        of.chip(shown).click()
        assert shown not in of.rows()
        assert of.series(shown=False) == {shown}
        of.chip("all").click()
        circle = of.page.locator("#block svg circle").nth(NASTY.index(name))
        of.scroll_to(circle)
        circle.hover()
        assert of.page.locator("#tip").text_content().startswith(shown)
    assert of.page.evaluate("document.querySelectorAll('script').length") == 1


def test_a_point_tells_its_value(show):
    of = show("six")
    tip, points = of.page.locator("#tip"), of.page.locator("#block svg").first.locator("circle")
    assert tip.is_hidden()
    of.scroll_to(points.nth(2))
    points.nth(2).hover()
    assert tip.is_visible() and tip.text_content() == "elu: 96.01 %"
    box = points.nth(2).bounding_box()
    of.page.mouse.move(box["x"] - 8, box["y"] + 4)  # beside it is near enough
    assert tip.text_content() == "elu: 96.01 %"
    of.page.mouse.move(5, 5)
    assert tip.is_hidden()
    of.chip("elu").click()
    of.page.mouse.move(box["x"] + 4, box["y"] + 4)
    assert "elu: 96.01" not in tip.text_content()
    of.chip("all").click()
    of.page.locator("#block svg").first.focus()
    told = []
    for key in ("ArrowRight", "ArrowRight", "ArrowLeft"):
        of.page.keyboard.press(key)
        told.append(tip.text_content().partition(":")[0])
    assert told in (["relu", "gelu", "relu"], ["gelu", "elu", "gelu"])  # the first one is told at once or by a key
    of.page.keyboard.press("Escape")
    assert tip.is_hidden()


def test_a_finger_tells_a_value_too(show):
    of = show("six", 390, has_touch=True)
    of.scroll_to(of.page.locator("#block svg circle").nth(5))
    of.page.locator("#block svg circle").nth(5).tap()
    tip = of.page.locator("#tip")
    assert tip.text_content() == f"{NAMES[5]}: 94.51 %"
    box = tip.bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 390
    of.page.locator("h1").tap()
    assert tip.is_hidden()


def test_folds_and_anchors(show):
    of = show("six")
    folds = of.page.locator("main details:not(.switches)")

    def state():
        return [fold.get_attribute("open") is not None for fold in folds.all()]

    assert state() == [False] * (folds.count() - 1) + [True]  # runs without results are in sight
    toggle = of.page.locator("nav button")
    toggle.click()
    assert all(state()) and toggle.text_content() == "Close all folds"
    toggle.click()
    assert not any(state()) and toggle.text_content() == "Open all folds"
    of.page.locator("nav a[href='#curves']").click()
    of.page.wait_for_function("document.querySelector('#curves').closest('details').open")
    folds.first.locator("summary").click()
    assert not any(state())
    of.page.locator("nav a[href='#curves']").click()  # again, though the address is the same
    of.page.wait_for_function("document.querySelector('#curves').closest('details').open")
    of = show("six", anchor="#decided")
    assert of.page.locator("#decided table").is_visible()
    heading, bar = (of.page.locator(place).bounding_box() for place in ("details:has(#decided) h3", ".switches"))
    assert heading["y"] >= bar["y"] + bar["height"] - 1  # what stays at the top does not cover it


def test_commands_are_copied(show):
    for no_clipboard in (False, True):
        of = show("six", permissions=["clipboard-read", "clipboard-write"])
        read = "navigator.clipboard.readText()"
        command = "actbench -m activation=relu,gelu"
        assert of.page.locator("#made pre").text_content() == command
        if no_clipboard:
            of.page.evaluate("navigator.clipboard.writeText('before')")
            of.page.evaluate("Object.defineProperty(navigator.clipboard, 'writeText', {value: undefined})")
        button = of.page.locator("#made .copy")
        button.click()
        of.page.wait_for_function("document.querySelector('#made .copy').textContent === 'Copied'")
        assert of.page.evaluate(read) == command
        box, at = (of.page.locator(place).bounding_box() for place in ("#made pre", "#made .copy"))
        assert box["x"] < at["x"] and at["x"] + at["width"] < box["x"] + box["width"]
        assert box["y"] < at["y"] and at["y"] + at["height"] < box["y"] + box["height"]


def luminance(colour):
    """WCAG's relative luminance of `rgb(r, g, b)`."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everything_can_be_read_in_either_light(show, scheme):
    of = show("six", color_scheme=scheme)
    of.page.get_by_role("button", name="Open all folds").click()
    of.chip("elu").click()
    computed = "(e, name) => getComputedStyle(e)[name]"
    paper = of.page.locator("body").evaluate(computed, "backgroundColor")
    assert (luminance(paper) > 0.9) == (scheme == "light")
    for place in (
        "h1",
        ".soft",
        "td",
        "tr.best td",
        "tr.worse td",
        "nav a",
        ".note",
        "figcaption",
        ".switches button >> nth=3",
    ):
        ink = of.page.locator(place).first.evaluate(computed, "color")
        assert contrast(ink, paper) >= 4.5, place
    verdict = of.page.locator(".verdict")
    assert contrast(verdict.evaluate(computed, "color"), verdict.evaluate(computed, "backgroundColor")) >= 7
    text = of.page.locator("svg text").first.evaluate(computed, "fill")
    assert contrast(text, paper) >= 7
    if scheme == "dark":  # the light ones are those of the files
        drawn = of.page.evaluate(
            "[...document.querySelectorAll('svg [data-series] :is(path, use)')].map(e => getComputedStyle(e)).map("
            "s => s.stroke === 'none' ? s.fill : s.stroke)"
        )
        colours = {colour for colour in drawn if colour.startswith("rgb")}
        assert len(colours) == 6
        assert all(contrast(colour, paper) >= 4.5 for colour in colours)
        assert all(one != other for one, other in itertools.combinations(colours, 2))


@pytest.mark.parametrize("script", [True, False])
def test_print_has_everything(show, script):
    of = show("six", color_scheme="dark", java_script_enabled=script)
    inside = of.page.locator("#curves svg")
    assert not inside.is_visible()
    of.page.emulate_media(media="print", color_scheme="dark")
    if script:
        of.page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert of.page.locator("main details:not(.switches):not([open])").count() == 0
        assert not of.page.locator("button").first.is_visible()
    box = of.page.locator("#curves svg").bounding_box()
    assert box and box["height"] > 100
    assert luminance(of.page.locator("body").evaluate("e => getComputedStyle(e).backgroundColor")) > 0.9
    if script:
        of.page.evaluate("dispatchEvent(new Event('afterprint'))")
        of.page.emulate_media(media="screen")
        assert not inside.is_visible()


def test_without_javascript_it_can_be_read(show):
    for width in SCREENS:
        of = show("six", width, java_script_enabled=False)
        assert of.page.locator("button, input, .switches, .filter").count() == 0
        assert of.page.locator("h1").text_content().startswith("7 ") and len(of.rows(1)) == 6
        assert of.page.locator("#block svg").first.is_visible()
        assert of.page.locator("#block svg circle title").first.text_content() == "relu: 97.01 %"
        assert not of.page.locator("#curves svg").is_visible()
        of.page.locator("summary", has_text="Learning curves").click()
        assert of.page.locator("#curves svg").is_visible()
        assert (
            show("six", width, anchor="#decided", java_script_enabled=False).page.locator("#decided table").is_visible()
        )


def test_the_address_of_the_page_is_all_that_is_asked_for(show):
    of = show("two")
    assert urlsplit(of.page.url).scheme == "file"
    of.page.evaluate("fetch('https://example.org').catch(() => 0)")  # refused by the page itself
    of.page.wait_for_timeout(100)
    assert any("Content Security Policy" in trouble for trouble in of.troubles)
    of.troubles.clear()
