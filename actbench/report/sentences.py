"""The verdict in sentences that somebody without statistics understands and acts on."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

from actbench.report import nothing_learned, recommendation, settling
from actbench.report.asking import IN_SHELL, Asking
from actbench.report.configurations import METRIC, Block, Configuration
from actbench.report.formatting import count, duration, ends, listed, points, signed
from actbench.report.simultaneous import MIN_SEEDS

if TYPE_CHECKING:
    from actbench.report.verdict import Decision, Verdict

_MANY = 30  # seeds more, from which on a larger margin is offered too


def of(verdict: Verdict, block: Block, asking: Asking = IN_SHELL) -> list[str]:
    """What to use, what to avoid, what is not decided and how to settle it, and what the verdict leaves out.

    Args:
        asking: how the reader asks for more: in a shell, or from Python.
    """
    if not verdict.decisions:
        return [_nothing_complete(block, asking)]
    waiting = {name for name, _ in block.waiting}
    sentences = [*_use(verdict, asking, waiting), *nothing_learned.sentences(verdict), *_avoid(verdict)]
    sentences += [*_compared_with_baseline(verdict), *_undecided(verdict, asking), *_limited_by_images(verdict, asking)]
    sentences += [*_hopeless(verdict), *_too_few_seeds(verdict, asking), *_not_finished(verdict, block, asking)]
    if block.note:
        sentences.append(f"All of this is about the dataset {_dataset(block)}. {block.note}.")
    return sentences


def brief(verdict: Verdict) -> list[str]:
    """What to use and what to avoid, and who is undecided."""
    undecided = [decision.name for decision in verdict.with_word("undecided")] if verdict.use is not None else []
    few = [decision.name for decision in verdict.with_word("too few seeds")]
    sentences = [*_use(verdict, IN_SHELL), *_avoid(verdict), *_compared_with_baseline(verdict)]
    sentences += [f"Undecided: {listed(undecided)}."] if undecided else []
    return sentences + ([f"Too few seeds in common: {listed(few)}."] if few else [])


def _not_finished(verdict: Verdict, block: Block, asking: Asking) -> Iterator[str]:
    waiting = list(dict.fromkeys(name for name, _ in block.waiting))
    judged = {decision.name for decision in verdict.decisions}
    missing = [name for name in waiting if name not in judged]
    partly = [name for name in waiting if name in judged]
    parts = [f"Not in this verdict, for lack of results: {listed(missing)}."] if missing else []
    parts += [f"Some seeds of {listed(partly)} are not finished."] if partly else []
    if parts:
        yield " ".join([*parts, asking.to_go_on(run for _, run in block.waiting)])


def _nothing_complete(block: Block, asking: Asking) -> str:
    names = list(dict.fromkeys(name for name, _ in block.waiting))
    if not names:
        return "There is no run."
    go_on = asking.to_go_on(run for _, run in block.waiting)
    return f"Nothing can be said yet: no run is complete ({listed(names)}). {go_on}"


def _dataset(block: Block) -> str:
    return block.configurations[0].runs[0].dataset if block.configurations and block.configurations[0].runs else ""


# ---------------------------------------------------------------- what to use


def _use(verdict: Verdict, asking: Asking, waiting: Collection[str] = ()) -> Iterator[str]:
    """What to use; `waiting` are the names of runs without results."""
    good = verdict.with_word("best", "as good")
    if verdict.use is not None:
        yield _use_this(verdict, good)
    elif good:  # a single one, without others
        reaches = f"{good[0].name} reaches {accuracy(good[0].configuration)}. There is nothing to compare it with"
        pending = {*waiting} - {good[0].name}  # of which another sentence tells, with the command that goes on
        yield f"{reaches} yet." if pending else f"{reaches}: {asking.for_another(good[0].configuration)}"
    elif verdict.with_word("undecided"):
        leader, *others = verdict.with_word("undecided")
        yield (
            f"Not decided yet: {leader.name} has the highest mean ({accuracy(leader.configuration)}), but "
            f"{listed([decision.name for decision in others])} may be as good or better. "
            f"For now, nothing here speaks against using {leader.name}."
        )
    elif all(decision.word == "diverged" for decision in verdict.decisions):
        yield "Use none of these: seeds diverged in every configuration. A smaller learning rate or clip=norm may help."


def _use_this(verdict: Verdict, good: Sequence[Decision]) -> str:
    use = verdict.use
    assert use is not None
    others = [decision.name for decision in good if decision.configuration is not use]
    within = f"as good within {points(verdict.margin)}"
    if others:
        are = "is" if len(others) == 1 else "are"
        return f"Use {use.name}: {listed(others)} {are} {within}, and {_reason(verdict, len(good))}."
    decision = good[0]
    if not verdict.members or len(verdict.members) < 2:
        return f"Use {use.name}: it is the only one that can be used. It reaches {accuracy(use)}."
    if decision.word == "as good":
        return f"Use {use.name}: no other is better by more than {points(verdict.margin)}."
    range_ = f"{_number(decision.difference)} points of test accuracy (between {_between(decision)})"
    rivals = [other for other in verdict.members if other is not use]
    if len(rivals) == 1:
        return f"Use {use.name}: it is better than {rivals[0].name} by {range_}."
    return f"Use {use.name}: it is the best, ahead of the next by {range_}."


def _reason(verdict: Verdict, among: int) -> str:
    use = verdict.use
    assert use is not None
    of_them = "of the two" if among == 2 else "of them"
    return {
        recommendation.CHEAPEST: f"{use.name} is the {'cheaper' if among == 2 else 'cheapest'} {of_them}",
        recommendation.SMALLEST: f"{use.name} has the {'fewer' if among == 2 else 'fewest'} parameters",
        recommendation.BASELINE: f"{use.name} is the baseline",
        recommendation.USUAL: f"{use.name} is the usual choice",
    }.get(verdict.reason, f"{use.name} has the highest mean ({accuracy(use)})")


def accuracy(configuration: Configuration) -> str:
    """`97.68 ± 0.40 %`: the mean over its seeds and half the 95 % interval of this mean alone."""
    return f"{configuration.estimate(METRIC).plus_minus()} %"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{abs(value):.2f}"


def _between(decision: Decision) -> str:
    assert decision.low is not None and decision.high is not None
    return ends(decision.low, decision.high).replace("+", "").replace(" to ", " and ")


# ---------------------------------------------------------------- what to avoid


def _avoid(verdict: Verdict) -> Iterator[str]:
    said = len(verdict.members) == 2 and verdict.with_word("best")  # the sentence about the best names the other
    worse = verdict.with_word("worse") if not said else []
    far = [decision for decision in worse if (decision.difference or 0.0) < -verdict.margin]
    near = [decision for decision in worse if decision not in far]
    if far:
        yield f"Avoid {_with_differences(far)}."
    if near:
        are = "is worse" if len(near) == 1 else "are worse"
        yield f"{_with_differences(near)} {are}, but perhaps by less than {points(verdict.margin)}."
    diverged = [
        f"{decision.name} ({len(decision.configuration.diverged)} of {_trained(decision.configuration)})"
        for decision in verdict.with_word("diverged")
    ]
    if diverged:
        yield f"Avoid {listed(diverged)}: seeds diverged."


def _with_differences(decisions: Sequence[Decision]) -> str:
    return listed([f"{decision.name} ({signed(decision.difference)})" for decision in decisions])


def _trained(configuration: Configuration) -> int:
    return configuration.n + len(configuration.diverged)


def _compared_with_baseline(verdict: Verdict) -> Iterator[str]:
    against = [(decision, decision.against_baseline) for decision in verdict.decisions if decision.against_baseline]
    if (
        verdict.baseline
        and len(verdict.decisions) > 1
        and verdict.baseline not in [one.name for one in verdict.members]
    ):
        diverged = verdict.baseline in [one.name for one in verdict.with_word("diverged")]
        why = "seeds of it diverged" if diverged else f"it has fewer than {MIN_SEEDS} seeds in common with others"
        yield f"Nothing is compared with the baseline {verdict.baseline}: {why}."
    if not against:
        return
    parts = []
    for word in ("better", "as good", "worse", "undecided"):
        names = [
            f"{decision.name} ({signed(of.difference)})" if word in ("better", "worse") else decision.name
            for decision, of in against
            if of is not None and of.word == word
        ]
        if names:
            within = f" within {points(verdict.margin)}" if word == "as good" else ""
            parts.append(f"{listed(names)} {'is' if len(names) == 1 else 'are'} {word}{within}")
    yield f"Compared with {verdict.baseline}, {'; '.join(parts)}."


# ---------------------------------------------------------------- what is not decided


def _undecided(verdict: Verdict, asking: Asking) -> Iterator[str]:
    can_be = [one for one in verdict.with_word("undecided") if one.more_seeds is not None]
    if not can_be:
        return
    names = listed([decision.name for decision in can_be])
    start = f"Undecided: {names}. " if verdict.use is not None else ""
    partly = len(can_be) < len(verdict.with_word("undecided"))  # more seeds cannot settle the others
    it = names if partly and not start else "it"
    seeds = max(decision.more_seeds or 0 for decision in can_be)
    each = "" if len(verdict.contenders) == 1 else " of each"
    takes = [f"about {count(seeds, 'more seed')}{each}", *_time(verdict.contenders, seeds)]
    now = f"; with `{asking.margin(_margin_now(verdict))}` {'all' if partly else 'it'} would be settled now"
    now = now if seeds > _MANY else ""
    yield f"{start}To settle {it}: {asking.more(verdict, verdict.contenders, seeds)} ({', '.join(takes)}){now}."


def _margin_now(verdict: Verdict) -> str:
    """The margin within which all that are undecided would be as good as the best."""
    needed = max(-(decision.low or 0.0) for decision in verdict.with_word("undecided"))
    return f"{settling.rounded_up(needed):g}" if math.isfinite(needed) else "1"


def _time(configurations: Sequence[Configuration], seeds: int) -> list[str]:
    """About how long the seeds take, one configuration after the other."""
    each = [one.seconds_per_epoch * one.settings.train.epochs for one in configurations]
    total = seeds * math.fsum(each)
    return [duration(total)] if math.isfinite(total) and total > 0 else []


def _limited_by_images(verdict: Verdict, asking: Asking) -> Iterator[str]:
    limited = [decision.name for decision in verdict.decisions if decision.limited_by_images]
    shown = settling.visible_from(verdict)
    if shown is None or verdict.differences is None:
        return
    images = f"{verdict.differences.images:,} test images"
    undecided = verdict.with_word("undecided")
    this = "this" if len(limited) == len(undecided) else listed(limited)
    start = f"Undecided: {listed(limited)}. " if verdict.use is not None and this == "this" else ""
    yield (
        f"{start}More seeds cannot settle {this}: {images} show differences from {shown[0]:.2f} points on; "
        f"{asking.margin(f'{shown[1]:g}')} or a larger test set would{asking.of_these_images}."
    )


def _hopeless(verdict: Verdict) -> Iterator[str]:
    """About those that neither more seeds nor more test images would settle."""
    undecided = verdict.with_word("undecided")
    names = [one.name for one in undecided if one.more_seeds is None and not one.limited_by_images]
    if not names:
        return
    if not all(math.isfinite(one.low or 0.0) for one in undecided):
        yield (
            "All accuracies are equal, and no run tells how many test images it was scored on: nothing can be said "
            "about the differences between new runs. A harder dataset would show some."
        )
    else:
        this = "this" if len(names) == len(undecided) and verdict.use is None else listed(names)
        yield f"More seeds cannot settle {this}: the margin is too small for any number of them."


def _too_few_seeds(verdict: Verdict, asking: Asking) -> Iterator[str]:
    few = verdict.with_word("too few seeds")
    if not few:
        return
    names = listed([decision.name for decision in few])
    everybody = len(few) == len([one for one in verdict.decisions if one.word != "diverged"])
    about = "Nothing can be said yet" if everybody else f"Nothing can be said about {names} yet"
    command = asking.more(verdict, [decision.configuration for decision in few], everyone=True)
    lead = ""
    if everybody:
        first = max((one.configuration for one in few), key=lambda one: one.mean(METRIC))
        lead = f" {first.name} has the highest mean so far, {accuracy(first)}."
    command = command if command.startswith("`") else command[0].upper() + command[1:] + ","
    yield f"{about}: fewer than {MIN_SEEDS} seeds in common.{lead} {command} trains what is missing."
