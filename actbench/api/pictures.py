"""The pictures of the report, one by one: `comparison.plot.differences()`."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from actbench.errors import Problem, UserError
from actbench.files.atomic import write_bytes

if TYPE_CHECKING:
    from actbench.report.comparison import Comparison


@dataclass(frozen=True)
class Picture:
    """A picture, which a notebook shows.

    Attributes:
        name: of the picture, and of its files in the study's `report/plots`.
        caption: what it shows, in a sentence.
        svg: the picture as vectors.
        png: the same as pixels.
    """

    name: str
    caption: str
    svg: bytes
    png: bytes

    def save(self, path: str | Path) -> Path:
        """Writes it as what the path's ending says, `.svg` or `.png`.

        Raises:
            UserError: it ends in something else, or cannot be written.
        """
        kinds = {".svg": self.svg, ".png": self.png}
        path = Path(path)
        if path.suffix.lower() not in kinds:
            raise UserError("is neither .svg nor .png", where=str(path), how=f"{path.stem}.svg")
        try:
            write_bytes(path, kinds[path.suffix.lower()])
        except OSError as error:
            raise UserError(error.strerror or str(error), where=str(path), how="a folder that is there") from error
        return path

    def _repr_png_(self) -> bytes:
        return self.png

    def __repr__(self) -> str:
        return f"<Picture {self.name}: {self.caption}>"


class Plots:
    """The pictures of a comparison by their names; `dir(comparison.plot)` lists those that there are."""

    def __init__(self, comparison: Comparison) -> None:
        self._comparison = comparison

    def differences(self) -> Picture:
        """Differences of test accuracy from the best of the others, with the intervals of the verdict."""
        return self._drawn("differences")

    def __getattr__(self, name: str) -> Callable[[], Picture]:
        if name.startswith("_") or name not in dir(self):
            near = difflib.get_close_matches(name, dir(self), n=1)
            there = f"did you mean {near[0]}?" if near else f"there are {', '.join(dir(self))}"
            raise AttributeError(f"there is no picture {name}: {there}")
        return lambda: self._drawn(name)

    def __dir__(self) -> list[str]:
        from actbench.report.plots import name_of, plot_modules

        return [name_of(module) for module in plot_modules()]

    def __repr__(self) -> str:
        return f"<Plots: {', '.join(f'{name}()' for name in dir(self))}>"

    def _drawn(self, name: str) -> Picture:
        """A picture.

        Raises:
            UserError: the comparison has no data for it, or a file cannot be read.
        """
        from actbench.report.plots import draw_plot, name_of, plot_modules

        module = next(module for module in plot_modules() if name_of(module) == name)
        problems: list[Problem] = []
        with_results = any(configuration.n for configuration in self._comparison.block.configurations)
        plot = draw_plot(module, self._comparison, problems) if with_results else None
        if plot is None:
            what = "has no data in this comparison"
            raise UserError.of([*problems, Problem(what, f"plot.{name}()", "the report's page has all that there are")])
        return Picture(name, plot.caption, plot.svg, plot.png)
