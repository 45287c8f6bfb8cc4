"""Every module in `report/plots` is a plot of the report, and nothing names them in a list."""

from __future__ import annotations

from pathlib import Path

from helpers import fake_run, settings_of

from actbench.report import plots
from actbench.report.command import make_report
from actbench.report.page import write

OWN = '''
"""A throw-away plot."""
from matplotlib.figure import Figure
from actbench.report.drawing import Drawing

SECTION = "results"
ORDER = 15


def draw(comparison, problems):
    figure = Figure()
    figure.subplots().plot([configuration.n for configuration in comparison.block.configurations])
    return Drawing(figure, "The number of seeds.")
'''


def test_a_module_in_the_package_is_a_plot_of_the_page(tmp_path, monkeypatch):
    for activation in ("relu", "gelu"):
        own = settings_of("dataset=digits", "num_seeds=3", f"activation={activation}")
        fake_run(tmp_path / "study" / own.folder, own, (97.0, 97.5, 98.0))
    extension = tmp_path / "extension"
    extension.mkdir()
    (extension / "seeds.py").write_text(OWN)
    monkeypatch.setattr(plots, "__path__", [*plots.__path__, str(extension)])
    write(make_report([tmp_path / "study"]).comparisons, [], tmp_path / "report")
    markdown = (tmp_path / "report" / "report.md").read_text()
    drawn = [line for line in markdown.splitlines() if line.startswith("![")]
    assert "![The number of seeds.](plots/seeds.png)" in drawn
    names = [line.rpartition("/")[2].removesuffix(".png)") for line in drawn]
    assert names.index("seeds") == names.index("accuracy") - 1  # the first of its section
    assert (tmp_path / "report" / "plots" / "seeds.svg").exists()


def test_every_plot_says_its_place_and_each_has_its_own():
    modules = plots.plot_modules()
    files = {path.stem for path in Path(plots.__file__).parent.glob("*.py")} - {"__init__"}
    assert {module.__name__.rpartition(".")[2] for module in modules} == files
    assert len({module.ORDER for module in modules}) == len(modules)
