"""`Comparison`: the configurations of a study that may be ranked together, with the verdict on them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from actbench.api import asking, html
from actbench.api.pictures import Plots
from actbench.api.runs import Run
from actbench.api.verdicts import Verdict
from actbench.custom.conf_files import near
from actbench.errors import Problem, UserError
from actbench.report import command, verdict_file
from actbench.report import comparison as reported
from actbench.report.runs import state

if TYPE_CHECKING:
    import pandas as pd


class Comparison:
    """What `actbench.compare` found out: a verdict, a table, pictures and the runs. A notebook shows it as a page.

    Attributes:
        folder: of the study; its page is `folder/report/report.html`.
        verdict: what to use, what to avoid, what is not decided.
        runs: a `Run` for each configuration with results, in the order of `table`; `comparison["gelu"]` is one.
        plot: the pictures of the report by their names: `plot.differences()`.
        problems: with runs that failed, and with files that could not be read.
        others: comparisons of what is in the same study and is never ranked together with this: other data, other
            numbers of epochs.
    """

    def __init__(
        self, of: reported.Comparison, folder: Path, problems: Sequence[Problem] = (), others: Sequence[Comparison] = ()
    ) -> None:
        self._of = of = asking.told(of)
        for run in of.block.runs:  # whose files are read again for the pictures, wherever the program has gone by then
            vars(run)["folder"] = run.folder.absolute()
        self.folder = folder.absolute()
        self.problems = tuple(map(asking.problem_in_python, problems))
        self.others = tuple(others)
        self.verdict: Verdict = Verdict.of(verdict_file.block(of))
        self.plot = Plots(of)
        self._by_name = {one.name: Run(one.counting) for one in of.block.configurations}
        self.runs: list[Run] = [*self._by_name.values()]

    @cached_property
    def table(self) -> pd.DataFrame:
        """A row for each configuration, best first.

        Columns are what varies, the verdict's word, the mean test accuracy (%) with the ends of the 95 % interval of
        the mean, `difference`, `low` and `high` of the verdict (points, from the best of the others), n, and the means
        of the other metrics.
        """
        import pandas as pd

        rows = []
        for one in self._of.block.configurations:
            decision, flat = self._of.verdict.of(one), one.settings.flat()
            accuracy = one.estimate("test_accuracy")
            ends = accuracy.ci95 or (None, None)
            values = {key: one.estimate(key).mean for key in one.values if key != "test_accuracy"}
            rows.append({
                **{key: flat.get(key) for key in ("activation", *self._of.block.varying)},
                "verdict": decision.word if decision else None,
                "test_accuracy": accuracy.mean, "test_accuracy_low": ends[0], "test_accuracy_high": ends[1],
                "difference": decision.difference if decision else None,
                "low": decision.low if decision else None, "high": decision.high if decision else None,
                "n": one.n, "diverged": len(one.diverged), "seconds_per_epoch": one.seconds_per_epoch,
                "parameters": one.parameters, **values,
            })  # fmt: skip
        names = pd.Index([one.name for one in self._of.block.configurations], name="configuration")
        return pd.DataFrame(rows, index=names)

    @property
    def unfinished(self) -> list[Problem]:
        """What is the matter with each run of it that has no results: it was interrupted, or failed."""
        return [
            asking.problem_in_python(Problem(f"{name} has no results: {state(run)}", str(near(run.folder))))
            for name, run in self._of.block.waiting
        ]

    def __getitem__(self, name: str) -> Run:
        """The run of the configuration of a name; a KeyError with the names where there is none."""
        if name not in self._by_name:
            raise KeyError(f"{name}: there are {', '.join(self._by_name)}")
        return self._by_name[name]

    def __iter__(self) -> Iterator[str]:
        """The names of the configurations, as of a dict."""
        return iter(self._by_name)

    def __repr__(self) -> str:
        return f"<Comparison of {self._of.block.title}: {self.verdict}\n {near(self.folder)}>"

    def _repr_html_(self) -> str:
        return html.of_comparison(self, self._of)


def of_study(
    folder: Path, *, margin: float | None = None, about: Sequence[str] = (), failed: Sequence[Problem] = (),
    write: bool = False,
) -> Comparison:  # fmt: skip
    """The comparison of the runs in a study's folder.

    Args:
        margin: None for that of the study.
        about: ids of configurations: of several comparisons the one that they are in is returned.
        failed: problems that are known already.
        write: whether the page is written, which is a look at the results.

    Raises:
        UserError: there is no such folder, or no run with results in it, or none of them can be read.
    """
    from actbench.report import looks, pages

    unwritten: list[Problem] = []
    with asking.errors_in_python(), pages.alone(folder / "report") if write else contextlib.nullcontext():
        report = command.make_report([folder], command.Asked(margin=None if margin is None else float(margin)))
        if write and report.comparisons:
            looks.record(report.studies)
            try:
                command.write(report, folder / "report", elsewhere="output_dir")
            except UserError as error:  # the results are there, whatever happened to the page
                unwritten += error.problems
    problems = [*failed, *report.problems, *unwritten]
    found = [Comparison(one, folder, problems) for one in report.comparisons]
    ids = {*about}
    found.sort(key=lambda one: not ids & {decision.id for decision in one.verdict.decisions})
    found[0].others = tuple(found[1:])
    return found[0]
