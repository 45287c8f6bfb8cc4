"""`--fail-if`: what can be read, what it comes to, and the message where it cannot be read or decided."""

from __future__ import annotations

import pytest
from test_verdict import around, block, configuration

from actbench.errors import UserError
from actbench.report.conditions import HOLDS, OPEN, exit_code, judge, parse, told
from actbench.report.verdict import decide


@pytest.fixture(scope="module")
def verdict():
    """gelu is best, relu and tanh are worse; and elu diverged."""
    made = [configuration(name, around(mean, seed=i)) for i, (name, mean) in
            enumerate({"relu": 97.0, "gelu": 98.0, "tanh": 95.0}.items())]  # fmt: skip
    return decide(block([*made, configuration("elu", {1: 97.0}, diverged=(0, 2))]), test_set="fixed")


@pytest.fixture(scope="module")
def unclear():
    made = [configuration("relu", around(97.0, 0.5)), configuration("gelu", around(97.1, 0.5, seed=1))]
    return decide(block(made), test_set="fixed")


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("relu worse than gelu", True),
        ("relu is worse than gelu by 0.5", True),
        ("relu worse than gelu by 1.5", False),
        ("relu worse than gelu by 1.0", None),  # the interval is about 1
        ("relu not worse than gelu by 0.5 points", False),
        ("relu is not worse than gelu by 1", None),
        ("gelu better than tanh by 2.5", True),
        ("gelu worse than relu by 0.2", False),
        ("gelu best", True),
        ("gelu not best", False),
        ("relu is not best", True),
        ("tanh worse", True),
        ("elu best", False),
        ("elu not best", True),
        ("elu is diverged", True),
        ("elu worse", True),
        ("elu worse than relu", None),
        ("undecided", False),
        ("not settled", False),
        ("diverged", True),
        ("gelu as good", False),
        ("gelu worse than relu or  relu  not best", True),
        ("gelu worse than relu or undecided", False),
        ("gelu worse than relu or elu better than relu", None),
        ("gelu worse than relu or elu better than relu or diverged", True),
        ("activation=relu lr=0.001 worse than gelu", True),
    ],
)
def test_what_a_condition_comes_to(verdict, text, outcome):
    condition = parse(text)
    assert judge(condition, [verdict]) is outcome
    assert exit_code(outcome) == {True: HOLDS, False: 0, None: OPEN}[outcome]
    assert f"(exit code {exit_code(outcome)})" in told(condition, outcome)
    assert text in told(condition, outcome)


@pytest.mark.parametrize(
    ("text", "outcome"),
    [("undecided", True), ("not settled", True), ("relu best", None), ("relu not best", None), ("relu undecided", True),
     ("relu not undecided", False), ("relu worse than gelu by 5", False), ("relu worse than gelu by 0.1", None)],
)  # fmt: skip
def test_what_is_undecided_is_neither_held_nor_denied(unclear, text, outcome):
    assert judge(parse(text), [unclear]) is outcome


def test_the_words_of_the_verdict_and_conditions_agree(verdict, unclear):
    for of in (verdict, unclear):
        for decision in of.decisions:
            for word in ("best", "as good", "worse", "undecided", "diverged"):
                for name in (decision.name, f"{decision.name} is"):
                    outcome = judge(parse(f"{name} {word}"), [of])
                    assert outcome is not False or decision.word != word
                    negated = judge(parse(f"{name} not {word}"), [of])
                    assert negated is (None if outcome is None else not outcome)


@pytest.mark.parametrize(
    ("text", "what", "how"),
    [
        ("", "cannot be read", 'one of: "undecided"'),
        ("relu", "cannot be read", 'one of: "undecided"'),
        ("relu good", "cannot be read", 'one of: "undecided"'),
        ("worse than relu", "cannot be read", 'one of: "undecided"'),
        ("relu best or", "cannot be read", 'one of: "undecided"'),
        ("relu best or nonsense", "cannot be read at 'nonsense'", 'one of: "undecided"'),
        ("relu worse than gelu by", "there is no configuration 'gelu by' with results", "did you mean gelu?"),
        ("relu worse than gelu by much", "`by much` is not a number of 0 or more", "by 0.2, say"),
        ("relu worse than gelu by -1", "`by -1` is not a number of 0 or more", "by 0.2, say"),
        ("relu worse than gelu by nan", "`by nan` is not a number of 0 or more", "by 0.2, say"),
        ("Gelu best", "there is no configuration 'Gelu' with results", "did you mean gelu?"),
        ("gleu best", "there is no configuration 'gleu' with results", "did you mean gelu?"),
        ("lr=0.001 best", "'lr=0.001' matches several configurations", "one of: gelu, elu, relu and tanh"),
    ],
)
def test_what_cannot_be_read_is_one_message(verdict, text, what, how):
    with pytest.raises(UserError) as caught:
        judge(parse(text), [verdict])
    (problem,) = caught.value.problems
    assert problem.what == what
    assert problem.where == f"--fail-if {text!r}"
    assert problem.how.startswith(how)


def test_one_configuration_is_no_comparison():
    alone = decide(block([configuration("relu", around(97.0))]), test_set="fixed")
    for verdicts in ([alone], []):
        with pytest.raises(UserError, match="fewer than two configurations"):
            judge(parse("relu best"), verdicts)


def test_of_several_blocks_those_count_that_have_the_names(verdict, unclear):
    assert judge(parse("relu worse than tanh by 1"), [unclear, verdict]) is False  # unclear has no tanh
    assert judge(parse("relu worse than gelu by 0.5"), [unclear, verdict]) is True
    assert judge(parse("relu worse than gelu by 1"), [unclear, verdict]) is None
