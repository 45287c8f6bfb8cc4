"""What is done to the SVG that Matplotlib writes: for the files, and for the page, which has it inside its HTML.

In both, the parts of one configuration say so in `data-series`, and each point that has something to tell is an
invisible circle with a title. On the page the colours are variables of its style sheet, which has others for dark mode.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from actbench.errors import printable
from actbench.report.drawing import BLUE, GREEN, ORANGE, PINK, SKY, YELLOW, Tip

_SVG, _XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
_PER_INCH = 72.0  # units of an SVG by Matplotlib
_RADIUS = "6"
_SERIES = re.compile(r"series:\d+:(.*)", re.DOTALL)  # as `drawing.of_series` marks an artist
_PARTS = re.compile(r"axes(?=_\d+$)|zero(?=:\d+$)")  # axes as Matplotlib names them; as `drawing.zero_line` marks it
_COLOUR = re.compile(r"(?<!\()#[0-9a-f]{6}\b", re.IGNORECASE)  # not the name of a part: url(#...)
_REFERENCE = re.compile(r"(?<=url\(#)[^)]+(?=\))")
_VARIABLES = {
    colour.lower(): f"var(--{name}, {colour.lower()})"
    for name, colour in {
        "blue": BLUE, "orange": ORANGE, "green": GREEN, "pink": PINK, "yellow": YELLOW, "sky": SKY,
    }.items()
} | {"#000000": "currentColor", "#ffffff": "var(--paper, #ffffff)"}  # fmt: skip
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: it can be found, copied and read aloud
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Bitstream Vera Sans", "Arial"],  # alike in width
}


@dataclass(frozen=True)
class Place:
    """Where a tip is in the SVG."""

    x: float
    y: float
    text: str
    series: str


@dataclass(frozen=True)
class Inline:
    """An `<svg>` for the page. `own_colours`: it has others than ours and is legible on white alone."""

    markup: str
    own_colours: bool


def places(figure: Figure, tips: Iterable[Tip]) -> list[Place]:
    """The tips that are in sight, where they are in the SVG of `figure`, whose layout has to be final."""
    scale, height, found = _PER_INCH / figure.dpi, figure.bbox.height, []
    for tip in tips:
        x, y = map(float, tip.axes.transData.transform((tip.x, tip.y)))
        box = tip.axes.bbox
        if box.x0 - 1 <= x <= box.x1 + 1 and box.y0 - 1 <= y <= box.y1 + 1:  # one that is not finite is nowhere
            found.append(Place(x * scale, (height - y) * scale, tip.text, tip.series))
    return found


def finish(svg: bytes, tips: Sequence[Place]) -> bytes:
    """The SVG as a file: series are marked, and tips are over all of it."""
    ET.register_namespace("", _SVG)
    ET.register_namespace("xlink", _XLINK)
    root = ET.fromstring(_harmless(svg.decode("utf-8")))
    for element in root.iter():
        if marked := _SERIES.fullmatch(element.get("id", "")):
            del element.attrib["id"]
            element.set("data-series", " ".join(marked[1].split()))
        elif part := _PARTS.match(element.get("id", "")):  # what the page's script looks for
            element.set("class", part[0])
    of_series: dict[str, ET.Element] = {}
    for tip in tips:
        if tip.series not in of_series:
            group = ET.SubElement(root, f"{{{_SVG}}}g", {"class": "tips", "style": "fill-opacity: 0"})
            of_series[tip.series] = group
            if tip.series:
                group.set("data-series", " ".join(_harmless(tip.series).split()))
        place = {"cx": f"{tip.x:.1f}", "cy": f"{tip.y:.1f}", "r": _RADIUS}
        circle = ET.SubElement(of_series[tip.series], f"{{{_SVG}}}circle", place)
        ET.SubElement(circle, f"{{{_SVG}}}title").text = _harmless(tip.text)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True))


def _harmless(text: str) -> str:
    """Without characters that XML forbids: a name may have any."""
    return re.sub("[\ufffe\uffff]", "\ufffd", printable(text))


def inline(svg: bytes, prefix: str, label: str) -> Inline:
    """The SVG as a part of a page, which needs every id once: `prefix` is before those that are referred to."""
    root = ET.fromstring(svg)
    for parent in root.iter():
        for child in list(parent):
            if _local(child.tag) in ("metadata", "style") or (parent is root and _local(child.tag) == "title"):
                parent.remove(child)
    own_colours = _has_own_colours(root)
    referred = _referred(root)
    for element in root.iter():
        _tidy(element)
        for name, value in list(element.attrib.items()):
            del element.attrib[name]
            if name != "id" or value in referred:
                element.set(_local(name), _rewritten(_local(name), value, prefix, own_colours))
    size = root.get("viewBox", "0 0 1 1").split()
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    width = float(size[2]) * 96 / _PER_INCH
    root.attrib |= {"role": "img", "aria-label": " ".join(label.split()), "style": f"--width: {width:.0f}px"}
    return Inline(ET.tostring(root, encoding="unicode"), own_colours)


def _local(name: str) -> str:
    return name.rpartition("}")[2]


def _tidy(element: ET.Element) -> None:
    """Without namespaces, which HTML knows, and without indentation."""
    element.tag = _local(element.tag)
    element.tail = None
    if element.text is not None and element.tag not in ("text", "tspan", "title"):
        element.text = element.text.strip() or None


def _rewritten(name: str, value: str, prefix: str, own_colours: bool) -> str:
    if name == "id":
        return prefix + value
    if name == "href" and value.startswith("#"):
        return f"#{prefix}{value[1:]}"
    if name == "d":
        return re.sub(r"(\.\d\d)\d+", r"\1", value).strip()  # finer than any screen
    if name == "style" and not own_colours:
        value = _COLOUR.sub(lambda found: _variable(found[0].lower()) or found[0], value)
    return _REFERENCE.sub(lambda found: prefix + found[0], value) if "url(" in value else value


def _variable(colour: str) -> str | None:
    """A colour as the style sheet calls it; None for one that it does not know."""
    if colour in _VARIABLES:
        return _VARIABLES[colour]
    return f"var(--grey-{colour[1]}, {colour})" if colour[1:3] == colour[3:5] == colour[5:7] else None


def _has_own_colours(root: ET.Element) -> bool:
    """Whether there are images, whose text has colours for them, or colours that the style sheet does not know."""
    for element in root.iter():
        if _local(element.tag) == "image":
            return True
        if any(_variable(colour.lower()) is None for colour in _COLOUR.findall(element.get("style", ""))):
            return True
    return False


def _referred(root: ET.Element) -> set[str]:
    """The ids that are used by another part."""
    found: set[str] = set()
    for element in root.iter():
        for name, value in element.attrib.items():
            if _local(name) == "href" and value.startswith("#"):
                found.add(value[1:])
            elif "url(" in value:
                found.update(_REFERENCE.findall(value))
    return found
