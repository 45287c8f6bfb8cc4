"""What `actbench try` shows and writes: what each remedy did, the one to use, and `try.json`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.text import Text

from actbench.command import next_commands, quoting, stored
from actbench.command.cures import METRIC, Offered, Trial, best_of
from actbench.command.suggestions import counted, enumerated
from actbench.diagnosis import rules
from actbench.errors import from_disk
from actbench.files.atomic import write_text
from actbench.records import RunSummary, decimal
from actbench.report import terminal
from actbench.report.columns import quantity
from actbench.report.formatting import minus
from actbench.report.runs import Run
from actbench.report.sequential import level
from actbench.store.summary import finite

FILE = "try.json"
_STYLES = {"better": "green", "worse": "red", "diverged": "red", "no result": "red"}


@dataclass(frozen=True)
class Outcome:
    """What came out: the run, the findings that were to be cured, the trials, best first, and the others' reasons."""

    run: Run
    codes: Sequence[str]
    trials: Sequence[Trial]
    not_tried: Mapping[str, str]
    test_set: str
    study: Path
    typed: Sequence[str] = ()  # beside the run: trust=...

    @property
    def before(self) -> RunSummary:
        """The results of the original."""
        assert self.run.summary is not None
        return self.run.summary


def begin(
    console: Console, run: Run, codes: Sequence[str], remedies: Sequence[Offered], not_tried: Mapping[str, str],
    study: Path,
) -> None:  # fmt: skip
    """What is going to be trained, and what not."""
    seeds = counted(run.settings.num_seeds, "seed")
    said = f"{_number(remedies)} for {enumerated(codes)} of {run.folder}"
    console.print(Text(f"{said}, {seeds} each; in {study}"), soft_wrap=True)
    for remedy, why in not_tried.items():
        console.print(Text(f"not tried: {remedy}: {why}"), soft_wrap=True)


def end(console: Console, outcome: Outcome) -> None:
    """What each remedy did, and, last, what to do."""
    console.print()
    console.print(Text("What each remedy did", style="bold"))
    original = outcome.before.metrics[METRIC].plus_minus(2) if METRIC in outcome.before.metrics else "none"
    console.print(Text(f"original: test accuracy {original} %", style="dim"))
    for trial in outcome.trials:
        head, *details = lines(outcome, trial, console.width)
        console.print(Text(head, style=_STYLES.get(trial.word, "")), soft_wrap=True)
        for line in details:
            console.print(Text(line, style="dim"), soft_wrap=True)
    if any(trial.high is not None for trial in outcome.trials):
        percent = f"{100 * (1 - level(1)):.0f} %"
        about = "new seeds and new test images" if outcome.test_set == "new" else "new seeds on these test images"
        console.print(Text(f"±: simultaneous {percent} intervals for {about}", style="dim"))
    console.print()
    for sentence in sentences(outcome):
        wrapped = [sentence] if sentence.startswith(" ") else terminal.lines(sentence, console.width)
        for line in wrapped:  # a command stays on one line
            console.print(Text(line), soft_wrap=True)


def lines(outcome: Outcome, trial: Trial, width: int) -> list[str]:
    """`optimizer.lr=0.003  accuracy 97.20 %, +1.30 ± 0.41, better`, and below it what became of the findings."""
    found = [f"{trial.remedy.overrides}  {_in_short(trial)}"]
    if trial.cured is None or trial.summary is None:
        return found
    gone = [_with_figure(outcome, trial, code) for code, cured in trial.cured.items() if cured]
    there = [_with_figure(outcome, trial, code) for code, cured in trial.cured.items() if not cured]
    if trial.diverged:  # the means are those of the other seeds
        there = [_with_figure(outcome, trial, code) if code == "diverged-loss" else code for code in trial.cured]
    for label, of in (("cured", gone), ("not cured", there), ("new", trial.new)):
        if of:
            first, *others = terminal.lines(", ".join(of), max(width - 15, 20))
            found += [f"    {label:<11}{first}", *(" " * 15 + line for line in others)]
    return found


def _in_short(trial: Trial) -> str:
    """What became of the accuracy, in words."""
    if trial.summary is None:
        return "failed; its folder has the reason"
    if trial.diverged:
        return f"{trial.diverged} of {counted(len(trial.summary.seeds), 'seed')} diverged"
    mean = trial.summary.metrics[METRIC].mean if METRIC in trial.summary.metrics else None
    words = [] if mean is None else [f"accuracy {mean:.2f} %"]
    words += [] if trial.difference is None else [_difference(trial)]
    words.append({"better": "better", "worse": "worse", "undecided": "undecided"}.get(trial.word, "not compared"))
    return ", ".join(words)


def _with_figure(outcome: Outcome, trial: Trial, code: str) -> str:
    figure = _figure(outcome, trial, code)
    return f"{code} ({figure})" if figure else code


def sentences(outcome: Outcome) -> list[str]:
    """What to do, and the command that does it."""
    symptoms, use = enumerated(outcome.codes), best_of(outcome.trials, outcome.codes)
    if use is not None:
        name, figures = use.remedy.overrides, ", ".join(_figures(outcome, use))
        new = f" It brought {enumerated(use.new)}." if use.new else ""
        said = f"Use {name}: it cured {symptoms}{f' ({figures})' if figures else ''}; {_accuracy(use)}.{new}"
        return [said, f"    {command(outcome, name)}"]
    cured = [trial for trial in outcome.trials if trial.cures(outcome.codes)]
    if cured:
        each = "; ".join(f"{trial.remedy.overrides}: {_accuracy(trial)}" for trial in cured)
        return [f"What cured {symptoms} cost accuracy ({each}): none is recommended."]
    better = [trial for trial in outcome.trials if trial.word == "better"]
    also = f" {better[0].remedy.overrides} raised the accuracy all the same: {_accuracy(better[0])}." if better else ""
    if len(outcome.trials) == 1:
        return [f"{outcome.trials[0].remedy.overrides} did not cure {symptoms}.{also}"]
    return [f"None of {_number(outcome.trials)} cured {symptoms}.{also}"]


def _number(remedies: Sequence[object]) -> str:
    return "1 remedy" if len(remedies) == 1 else f"{len(remedies)} remedies"


def command(outcome: Outcome, remedy: str) -> str:
    """The command of the run with a remedy in it."""
    words = next_commands.replaced(stored.overrides_of(outcome.run.folder), outcome.typed)
    return next_commands.whole([*map(quoting.as_typed, words)], remedy.split())


def _figures(outcome: Outcome, trial: Trial) -> list[str]:
    return [figure for code in outcome.codes if (figure := _figure(outcome, trial, code))]


def _figure(outcome: Outcome, trial: Trial, code: str) -> str:
    """`dead 74.8 → 0.0 %`: what shows a finding best, before and after."""
    if code == "diverged-loss" and trial.summary is not None:
        return f"seeds {len(outcome.before.diverged)} → {len(trial.summary.diverged)}"
    metric = next((rule.metric for rule in rules() if rule.code == code), "")
    if not metric or trial.summary is None:
        return ""
    means = [summary.metrics[metric].mean for summary in (outcome.before, trial.summary) if metric in summary.metrics]
    if len(means) < 2 or None in means:
        return ""
    shown, column = [], quantity(metric)
    for mean in means:
        assert mean is not None
        shown.append(minus(decimal(column.scale * mean, column.digits)))
    return f"{column.title} {' → '.join(shown)}{' %' if column.percent else ''}"


def _difference(trial: Trial) -> str:
    if trial.difference is None:
        return "–"
    if trial.high is None:
        return minus(f"{trial.difference:+.2f}")
    return minus(f"{trial.difference:+.2f} ± {trial.high - trial.difference:.2f}")


def _accuracy(trial: Trial) -> str:
    if trial.difference is None:
        return "accuracy cannot be compared with fewer than 3 seeds"
    said = f"accuracy {_difference(trial)}"
    return f"{said}, undecided" if trial.word == "undecided" else said


def write(outcome: Outcome) -> None:
    """Writes `try.json` into the study of the remedies.

    Raises:
        UserError: it cannot be written.
    """
    use = best_of(outcome.trials, outcome.codes)
    content = {
        "run": str(outcome.run.folder),
        "id": outcome.run.settings.id,
        "seeds": outcome.run.settings.seeds,
        "findings": [asdict(finding) for finding in outcome.before.findings or ()],
        "to_cure": [*outcome.codes],
        "level": level(1),
        "test_set": outcome.test_set,
        "remedies": [_as_json(outcome, trial) for trial in outcome.trials],
        "not_tried": dict(outcome.not_tried),
        "use": use.remedy.overrides if use else None,
        "command": command(outcome, use.remedy.overrides) if use else None,
    }
    path = outcome.study / FILE
    try:
        write_text(path, json.dumps(finite(content), indent=2, ensure_ascii=False) + "\n")
    except OSError as error:
        raise from_disk(error, str(path)) from error


def _as_json(outcome: Outcome, trial: Trial) -> dict[str, object]:
    before, after = outcome.before.metrics, trial.summary.metrics if trial.summary else {}
    metrics = {rule.metric for rule in rules() if rule.metric and trial.cured and rule.code in trial.cured}
    both = sorted(metrics & {*before} & {*after})
    return {
        "remedy": trial.remedy.overrides,
        "offered_by": [*trial.remedy.codes],
        "folder": str(trial.folder),
        "status": trial.summary.status if trial.summary else "failed",
        "cured": trial.cured,
        "new_findings": [*trial.new],
        "metrics": {name: [before[name].mean, after[name].mean] for name in both},
        "accuracy": after[METRIC].mean if METRIC in after else None,
        "difference": trial.difference,
        "low": trial.low,
        "high": trial.high,
        "word": trial.word,
    }
