"""Pictures of reports and runs as sketches: all of ours that draws is called, and Matplotlib does not render what was drawn.

Rendering is nine tenths of the time of a report. Who looks at pictures says so: `@pytest.mark.rendered`.
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterator

_SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"></svg>'
_PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII=")


def _save(_figure, to, *, format: str, **_how) -> None:
    to.write({"svg": _SVG, "png": _PNG}[format])


def _leave_blank(canvas) -> None:
    canvas.renderer = canvas.get_renderer()


def sketch() -> None:
    """From now on no figure is rendered when it is saved, nor when its pixels are asked for."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    Figure.savefig, Figure.draw_without_rendering, FigureCanvasAgg.draw = _save, lambda self: None, _leave_blank


@contextlib.contextmanager
def sketched() -> Iterator[None]:
    """The same until the end of the block."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rendering = Figure.savefig, Figure.draw_without_rendering, FigureCanvasAgg.draw
    sketch()
    try:
        yield
    finally:
        Figure.savefig, Figure.draw_without_rendering, FigureCanvasAgg.draw = rendering
