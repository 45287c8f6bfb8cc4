"""The verdict: laws over random results, the sentences in typical situations, and that everything shown agrees."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import numpy as np
import pytest
from helpers import settings_of, shell_words_in

from actbench.api.asking import IN_PYTHON
from actbench.report import sentences
from actbench.report.comparison import Comparison
from actbench.report.configurations import Block, Configuration, in_order
from actbench.report.evidence import evidence
from actbench.report.plots.differences import against_the_baseline, against_the_best
from actbench.report.sequential import level
from actbench.report.tables import comparison_tables
from actbench.report.verdict import decide

NAMES = ("relu", "gelu", "swish", "elu", "tanh", "sigmoid", "mish")


def configuration(name, accuracies, *, diverged=(), seconds=0.1, parameters=1000, validation=None):
    """`accuracies` by place, or by seed; None: no result."""
    seeds = dict(enumerate(accuracies)) if not isinstance(accuracies, dict) else accuracies
    values = {seed: float(value) for seed, value in seeds.items() if value is not None}
    return Configuration(
        name=name, settings=settings_of("dataset=digits", f"activation={name}"), runs=(),
        values={"test_accuracy": values, "val_accuracy": validation or values}, diverged=dict.fromkeys(diverged, 1),
        seconds_per_epoch=seconds, samples_per_second=1.0, parameters=parameters,
    )  # fmt: skip


def block(configurations, **other):
    ordered, _ = in_order(configurations)
    return Block(
        **{"title": "digits, 10 epochs", "shared": "", "configurations": tuple(ordered), "waiting": (), "remarks": (),
           "varying": ("activation",), **other}
    )  # fmt: skip


def random_block(rng):
    """Two to seven configurations: alike or not, some with gaps, few seeds, ties or diverged seeds."""
    k, n = rng.integers(2, 8), rng.integers(3, 9)
    spread = 10 ** rng.uniform(-2, 0)
    of_seeds = rng.normal(0, spread, n)
    configurations = []
    for name in NAMES[:k]:
        own = 10 ** rng.uniform(-2, 0) if rng.random() < 0.2 else spread
        values = 95 + rng.normal(0, rng.choice([0.02, 0.2, 2])) + of_seeds + rng.normal(0, own, n)
        values = {int(seed): float(np.round(min(value, 100), 2)) for seed, value in enumerate(values)}
        if rng.random() < 0.1:
            values = {seed: value for seed, value in values.items() if rng.random() < 0.7}
        diverged = (0,) if rng.random() < 0.1 else ()
        configurations.append(
            configuration(name, {s: v for s, v in values.items() if s not in diverged}, diverged=diverged)
        )
    return block(configurations)


RANDOM = range(150)


def words(verdict):
    return {decision.name: decision.word for decision in verdict.decisions}


# ---------------------------------------------------------------- laws


@pytest.mark.parametrize("seed", RANDOM)
def test_no_word_contradicts_its_interval(seed):
    rng = np.random.default_rng(seed)
    of = random_block(rng)
    baseline = of.configurations[0] if rng.random() < 0.3 and of.configurations[0].n else None
    verdict = decide(of, margin=float(rng.choice([0.02, 0.1, 0.5])), baseline=baseline, test_set="fixed")
    for one in verdict.decisions:
        if one.low is None:
            assert one.word in ("diverged", "too few seeds") or len(verdict.members) < 2
            continue
        assert one.low <= one.difference <= one.high
        assert {
            "best": one.low >= 0,
            "as good": one.low >= -verdict.margin,
            "worse": one.high <= 0 and one.low < -verdict.margin,
            "undecided": one.low < -verdict.margin < 0 < one.high,
        }[one.word]
        if of_baseline := one.against_baseline:
            excludes = of_baseline.low > 0 or of_baseline.high < 0
            assert excludes if of_baseline.word in ("better", "worse") else True
            assert not excludes if of_baseline.word == "undecided" else True
    assert verdict.settled == (not {"undecided", "too few seeds"} & {*words(verdict).values()})
    good = [one.configuration for one in verdict.with_word("best", "as good")]
    assert (verdict.use is None) == (not good or len(verdict.decisions) < 2)
    assert verdict.use is None or any(verdict.use is one for one in good)
    assert {one.name for one in verdict.undecided} <= {one.name for one in verdict.contenders}


@pytest.mark.parametrize("seed", RANDOM[:40])
def test_the_order_of_configurations_changes_no_word(seed):
    rng = np.random.default_rng(seed)
    of = random_block(rng)
    verdict = decide(of, test_set="fixed")
    shuffled = replace(of, configurations=tuple(of.configurations[i] for i in rng.permutation(len(of.configurations))))
    again = decide(shuffled, test_set="fixed")
    assert words(again) == words(verdict)
    assert (again.use and again.use.name) == (verdict.use and verdict.use.name)
    for one in verdict.decisions:
        other = next(other for other in again.decisions if other.name == one.name)
        assert one.low == other.low is None or (one.low, one.high) == pytest.approx((other.low, other.high), abs=1e-9)


@pytest.mark.parametrize("seed", RANDOM[:40])
def test_a_larger_margin_asks_for_less(seed):
    """What is best stays so, what is as good stays so, and nobody becomes worse or undecided."""
    of = random_block(np.random.default_rng(seed))
    before = {}
    for margin in (0.01, 0.1, 0.3, 1, 5, 50):
        now = words(decide(of, margin=margin, test_set="fixed"))
        for name, word in before.items():
            assert now[name] in (word, "as good"), (name, margin)
        before = now
    assert "undecided" not in before.values() or len(before) < 3


@pytest.mark.parametrize("seed", RANDOM[:60])
def test_words_tables_and_plots_say_the_same(seed):
    rng = np.random.default_rng(seed)
    of = random_block(rng)
    baseline = of.configurations[0] if seed % 2 and of.configurations[0].n else None
    verdict = decide(of, baseline=baseline, test_set="fixed")
    comparison = Comparison(of, verdict, None, None, ())
    table = comparison_tables(comparison)[0]
    column = {head: number for number, head in reversed(list(enumerate(table.header)))}
    for row, one in zip(table.rows, verdict.decisions, strict=True):
        assert (row[0], row[column["verdict"]]) == (one.name, one.word)
        if one.low is None:
            continue
        low, high = numbers(row[column["interval"]])
        assert low <= one.low and high >= one.high
        assert (low > 0, high < 0) == (one.low > 0, one.high < 0)
        if one.word == "undecided":
            assert low < -verdict.margin < 0 < high
    bars = against_the_best(verdict, of.configurations)
    assert [(bar.name, bar.word, bar.low, bar.high) for bar in bars] == [
        (one.name, one.word, one.low, one.high) for one in verdict.decisions if one.low is not None
    ]
    if baseline is not None:
        bars = against_the_baseline(verdict, of.configurations, baseline)
        assert [(bar.word, bar.low, bar.high) for bar in bars] == [
            (o.against_baseline.word, o.against_baseline.low, o.against_baseline.high)
            for o in verdict.decisions
            if o.against_baseline
        ]
    pairs = evidence(verdict)
    for row in pairs.rows if pairs else ():
        word, of = words(verdict)[row[0]], row[-1].rpartition(": ")
        pair_low, pair_high = numbers(of[2])  # of the pair that decides: it shows what the word says
        if word == "worse":
            assert of[0].startswith("worse than ") and pair_high <= 0
        elif word == "best":
            assert of[0].startswith("better than ") and pair_low >= 0
        elif word == "as good":
            assert of[0].startswith("at most ") and pair_low >= -verdict.margin - 0.01
        else:
            assert of[0].startswith("undecided with ") and pair_low < -verdict.margin and pair_high > 0
        if row[2] == "–":
            continue
        low, high = numbers(row[2])
        p = 0.0 if row[3].startswith("<") else float(row[3])
        if abs(p - verdict.level) > 0.001:
            assert (p < verdict.level) == (low > 0 or high < 0), row


def numbers(interval):
    return [
        float(end.replace("−", "-")) if end != "–" else side * math.inf
        for end, side in zip(interval.split(" to "), (-1, 1), strict=True)
    ]


@pytest.mark.parametrize("seed", RANDOM[:60])
def test_every_configuration_is_in_the_sentences(seed):
    of = random_block(np.random.default_rng(seed))
    verdict = decide(of, test_set="fixed")
    said = " ".join(verdict.sentences)
    assert all(re.search(rf"\b{one.name}\b", said) for one in verdict.decisions), said
    assert "  " not in said and " ." not in said and "None" not in said and "nan" not in said
    assert all(sentence[-1] in ".`" for sentence in verdict.sentences)


@pytest.mark.parametrize("seed", RANDOM[:20])
def test_a_later_look_is_never_bolder(seed):
    """Looking again is paid for by wider intervals."""
    of = random_block(np.random.default_rng(seed))
    first, third = decide(of, test_set="fixed"), decide(of, test_set="fixed", look=3)
    assert (first.level, third.level) == (level(1), level(3))
    for before, after in zip(first.decisions, third.decisions, strict=True):
        if before.low is not None:
            assert after.low <= before.low or before.word == "best"
            assert after.high >= before.high - 1e-9 or before.word == "worse"


# ---------------------------------------------------------------- sentences


def around(mean, spread=0.02, n=5, seed=0):
    """Exactly this mean, and deviations that are small beside differences of a tenth."""
    values = np.random.default_rng(seed).normal(0, spread, n)
    return list(mean + values - values.mean())


STEADY = {"relu": 97.5, "gelu": 97.52, "swish": 97.51}
SITUATIONS = {
    "one is best of two": (
        {"relu": around(97.0), "gelu": around(98.0, seed=1)},
        r"Use gelu: it is better than relu by 1\.00 points of test accuracy \(between 0\.\d\d and 1\.\d\d\)\.",
    ),
    "one is best of three": (
        {"relu": around(97.0), "gelu": around(98.0, seed=1), "tanh": around(96.0, seed=2)},
        r"Use gelu: it is the best, ahead of the next by 1\.00 points of test accuracy \(between .*\)\.",
        r"Avoid relu \(−1\.00\) and tanh \(−2\.00\)\.",
    ),
    "two are as good": (
        {"relu": around(97.5), "gelu": around(97.51, seed=1)},
        r"Use relu: gelu is as good within 0\.1 points, and relu is the usual choice\.",
    ),
    "several are as good": (
        {**{name: around(mean, 0.01, seed=i) for i, (name, mean) in enumerate(STEADY.items())}, "tanh": around(95.5)},
        r"Use gelu: swish and relu are as good within 0\.1 points, and gelu has the highest mean \(97\.52 ± 0\.0\d %\)\.|"
        r"Use relu: gelu and swish are as good within 0\.1 points, and relu is the usual choice\.",
        r"Avoid tanh \(−2\.02\)\.",
    ),
    "nothing is shown": (
        {"relu": around(97.4, 0.3), "gelu": around(97.5, 0.3, seed=1)},
        r"Not decided yet: gelu has the highest mean \(97\.50 ± 0\.\d\d %\), but relu may be as good or better\. "
        r"For now, nothing here speaks against using gelu\.",
        r"To settle it: more seeds \(about \d+ more seeds of each, \d+ (second|minute|hour)s?\); with `--margin [\d.]+` it would be settled now\.",
    ),
    "seeds diverged in one": (
        {"relu": around(97.0), "gelu": around(98.0, seed=1), "elu": ({1: 98.0, 2: 98.0, 3: 98.0}, (0, 4))},
        r"Use gelu: it is better than relu by .*",
        r"Avoid elu \(2 of 5\): seeds diverged\.",
    ),
    "all but one diverged": (
        {"relu": around(97.0), "elu": ({1: 98.0, 2: 98.0, 3: 98.0}, (0, 4))},
        r"Use relu: it is the only one that can be used\. It reaches 97\.00 ± 0\.0\d %\.",
        r"Avoid elu \(2 of 5\): seeds diverged\.",
    ),
    "all diverged": (
        {"relu": ({}, (0, 1, 2)), "elu": ({2: 50.0}, (0, 1))},
        r"Use none of these: seeds diverged in every configuration\..*",
        r"Avoid elu \(2 of 3\) and relu \(3 of 3\): seeds diverged\.",
    ),
    "one alone": (
        {"relu": around(97.0)},
        r"relu reaches 97\.00 ± 0\.0\d %\. There is nothing to compare it with: "
        r"the same command with `-m activation=relu,gelu` compares it with gelu\.",
    ),
    "all equal": (
        {"relu": [100.0] * 5, "gelu": [100.0] * 5},
        r"Not decided yet: gelu has the highest mean \(100\.00 ± 0\.00 %\), but relu may be .*",
        r"All accuracies are equal, and no run tells how many test images it was scored on: .*",
    ),
    "two seeds": (
        {"relu": [97.0, 97.1], "gelu": [98.0, 98.1]},
        r"Nothing can be said yet: fewer than 3 seeds in common\. gelu has the highest mean so far, 98\.05 ± .*",
    ),
    "other seeds": (
        {"relu": around(97.0), "gelu": around(98.0, seed=1), "tanh": ({10 + k: 97.0 + k / 10 for k in range(5)}, ())},
        r"Use gelu: it is better than relu by .*",
        r"Nothing can be said about tanh yet: fewer than 3 seeds in common\..*",
    ),
}  # fmt: skip


@pytest.mark.parametrize("situation", SITUATIONS)
def test_the_sentences_of_a_situation(situation):
    results, *expected = SITUATIONS[situation]
    made = [
        configuration(name, of[0], diverged=of[1]) if isinstance(of, tuple) else configuration(name, of)
        for name, of in results.items()
    ]
    said = decide(block(made), test_set="fixed").sentences
    assert len(said) == len(expected), said
    for sentence, pattern in zip(said, expected, strict=True):
        assert re.fullmatch(pattern, sentence), sentence


def test_in_python_the_same_is_said_without_words_of_a_shell():
    """Each situation, sentence by sentence; some name commands and options otherwise."""
    in_shell = []
    for results, *_ in SITUATIONS.values():
        made = [
            configuration(name, of[0], diverged=of[1]) if isinstance(of, tuple) else configuration(name, of)
            for name, of in results.items()
        ]
        verdict = decide(block(made), test_set="fixed")
        said = sentences.of(verdict, block(made), IN_PYTHON)
        assert len(said) == len(verdict.sentences) and not shell_words_in(said), said
        in_shell += shell_words_in(verdict.sentences)
    assert in_shell


def test_to_settle_it_is_said_of_those_alone_that_more_seeds_can_settle():
    of = block(
        [configuration(name, around(97 + i / 10, 0.3, seed=i)) for i, name in enumerate(("relu", "gelu", "elu"))]
    )
    verdict = decide(of, test_set="fixed")
    assert any(sentence.startswith("To settle it: ") for sentence in verdict.sentences)
    first, *others = verdict.decisions
    hopeless = replace(verdict, decisions=(replace(first, more_seeds=None), *others))
    said = sentences.of(hopeless, of)
    assert any(sentence.startswith("To settle gelu and relu: ") for sentence in said), said


def test_a_baseline_is_compared_with_in_a_sentence_of_its_own():
    made = [configuration(name, around(mean, seed=i)) for i, (name, mean) in
            enumerate({"relu": 97.0, "gelu": 98.0, "tanh": 95.0, "elu": 97.01}.items())]  # fmt: skip
    verdict = decide(block(made), baseline=made[0], test_set="fixed")
    assert verdict.baseline == "relu"
    assert "Compared with relu, gelu (+1.00) is better; elu is as good within 0.1 points; tanh (−2.00) is worse." in (
        verdict.sentences
    )


@pytest.mark.parametrize(
    ("of", "why"),
    [
        ((around(97.0), (5,)), "seeds of it diverged"),
        (([97.0, 97.1], ()), "it has fewer than 3 seeds in common with others"),
    ],
)
def test_why_nothing_is_compared_with_a_baseline_is_said(of, why):
    made = [configuration("elu", of[0], diverged=of[1]), *(configuration(n, around(97.0)) for n in ("relu", "gelu"))]
    verdict = decide(block(made), baseline=made[0], test_set="fixed")
    assert f"Nothing is compared with the baseline elu: {why}." in verdict.sentences
    assert not any(sentence.startswith("Compared with") for sentence in verdict.sentences)


def test_a_margin_too_small_for_any_number_of_seeds_is_told():
    made = [configuration(name, [97.0, 96.0, 95.0]) for name in ("relu", "gelu")]
    made[1].values["test_accuracy"][0] += 1
    made[1].values["test_accuracy"][1] -= 1
    verdict = decide(block(made), margin=1e-6, test_set="fixed")
    assert verdict.sentences[-1] == "More seeds cannot settle this: the margin is too small for any number of them."


def test_a_baseline_among_those_that_are_as_good_is_used():
    made = [configuration(name, around(97.5, 0.01, seed=i)) for i, name in enumerate(("gelu", "swish", "elu"))]
    verdict = decide(block(made), baseline=made[1], test_set="fixed")
    assert (verdict.use.name, verdict.reason) == ("swish", "baseline")


def test_fewer_parameters_decide_where_the_time_is_not_known():
    made = [configuration(name, around(97.5, 0.01, seed=i), parameters=1000 + (name == "relu"))
            for i, name in enumerate(("relu", "gelu", "swish"))]  # fmt: skip
    made[1] = replace(made[1], parameters=900)
    verdict = decide(block(made), test_set="fixed")
    assert (verdict.use.name, verdict.reason) == ("gelu", "smallest")
    assert "and gelu has the fewest parameters." in verdict.sentences[0]


def test_a_parameter_that_an_activation_learns_decides_nothing():
    made = [configuration(name, around(97.5, 0.01, seed=i), parameters=407_050 + (name != "gelu"))
            for i, name in enumerate(("relu", "gelu", "swish"))]  # fmt: skip
    verdict = decide(block(made), margin=0.5)
    assert verdict.use.name == "relu" and "relu is the usual choice" in verdict.sentences[0]


def test_about_as_many_seeds_as_it_says_settle_it():
    """By simulation: in most of the repetitions with so many seeds in all, the same two are no longer undecided."""
    rng = np.random.default_rng(3)
    made = [configuration(name, 97 + shift + rng.normal(0, 0.1, 5)) for name, shift in (("relu", 0.0), ("gelu", 0.1))]
    verdict = decide(block(made), test_set="fixed")
    d, more = verdict.differences, [one.more_seeds for one in verdict.with_word("undecided")]
    n, mean, sd = 5 + max(more), abs(d.mean[0, 1]), float(d.se_seeds[0, 1]) * math.sqrt(5 / 2)
    settled = 0
    for _ in range(100):
        a, b = 97 + rng.normal(0, sd, n), 97 + mean + rng.normal(0, sd, n)
        b += mean - (b - a).mean() + rng.normal(0, sd * math.sqrt(2 / n))
        settled += decide(block([configuration("relu", a), configuration("gelu", b)]), test_set="fixed", look=2).settled
    assert settled > 60


def test_of_very_many_the_best_by_validation_are_judged(monkeypatch):
    monkeypatch.setattr("actbench.report.verdict.MOST", 3)
    made = [configuration(name, around(90 + i, seed=i)) for i, name in enumerate(NAMES)]
    made[0] = replace(made[0], values={**made[0].values, "val_accuracy": {0: 99.0}})
    verdict = decide(block(made), test_set="fixed")
    assert {decision.name for decision in verdict.decisions} == {"relu", "mish", "sigmoid"}
    assert verdict.remarks == ("the verdict is about the 3 configurations with the best validation accuracy, of 7",)


@pytest.mark.parametrize("correlation", [None, 0.8])
def test_a_baseline_chosen_by_its_results_gives_no_more_false_alarms(correlation):
    """The best of six equal ones by the test set (None), or by a validation accuracy that goes along with it."""
    rng = np.random.default_rng(11)
    alarms = 0
    for _ in range(200):
        tests = rng.normal(97.8, 0.2, 5) + rng.normal(0, 0.1, (6, 5))
        by = tests.mean(1)
        if correlation is not None:
            by = correlation * (by - by.mean()) + math.sqrt(1 - correlation**2) * rng.normal(0, by.std(), 6)
        made = [configuration(name, values) for name, values in zip(NAMES, tests, strict=False)]
        chosen = made[int(np.argmax(by))]
        verdict = decide(block(made), margin=1e-6, baseline=chosen, test_set="fixed")
        alarms += any(
            one.against_baseline.word in ("better", "worse") for one in verdict.decisions if one.against_baseline
        )
    assert alarms / 200 <= 0.06


def test_what_is_worse_within_the_margin_is_not_to_be_avoided():
    """The user has said that so little does not matter; that it is worse is shown all the same."""
    made = [configuration(name, around(mean, 0.02, n=12, seed=i))
            for i, (name, mean) in enumerate((("relu", 97.6), ("gelu", 97.4), ("tanh", 97.0)))]  # fmt: skip
    verdict = decide(block(made), margin=0.21, test_set="fixed")
    assert [one.word for one in verdict.decisions] == ["best", "worse", "worse"]
    assert verdict.sentences[1:] == (
        "Avoid tanh (−0.60).", "gelu (−0.20) is worse, but perhaps by less than 0.21 points."
    )  # fmt: skip
