"""The rules of keys, in the comments of YAML files: what they accept, how they are said, and that own files have them."""

from __future__ import annotations

import math

import pytest
from command_lines import answer

from actbench.choices import choices_of, parameters_of, usual_values
from actbench.command.completion import candidates
from actbench.command.conf_source import choice_of
from actbench.command.rules import in_words, plain_rules, rule_of, split
from actbench.settings import GROUPS

CASES = [  # comment, whole, in words, what fits, what does not
    ("> 0", False, "a number above 0", [1e-9, 1, 2.5], [0, -1, math.inf, math.nan, True, None, "x", [1]]),
    (">= 0; said", False, "a number of 0 or more", [0, 3.5], [-0.1]),
    (">= 0, <= 1", False, "a number from 0 to 1", [0, 0.5, 1, 1.0], [-0.01, 1.01]),
    (">= 0, < 1", False, "a number from 0 to below 1", [0, 0.99], [1, 1.0]),
    ("> 0, <= 1", False, "a number above 0 and up to 1", [0.01, 1], [0, 1.5]),
    ("> 0, < 1", False, "a number above 0 and below 1", [0.5], [0, 1]),
    ("< -1.5", False, "a number below -1.5", [-2], [-1.5, 0]),
    ("<= 2e-3", False, "a number of 0.002 or less", [0.002, -1], [0.003]),
    (">= 1", True, "a whole number of 1 or more", [1, 2**31 - 1], [0, 1.0, 2**31, True]),
    ("whole >= 1, <= 4 | null; said", False, "a whole number of 1 to 4, or null", [1, 4, None], [0, 5, 1.5, "null"]),
    ("> 0 | auto", False, "a number above 0, or auto", [0.5, 2, "auto"], [0, "automatic"]),
    ("a | b-2", False, "one of a, b-2", ["a", "b-2"], ["c", "a | b-2", None, 1]),
    ("1 | units", True, "1 or units", [1, "units"], [2, 1.0, True, "1"]),
    ("cpu | cuda | cuda:N", False, "one of cpu, cuda, cuda:N", ["cpu", "cuda:0", "cuda:12"], ["cuda:N", "cuda:", "N"]),
    ("= steps; said", False, "steps", ["steps"], ["step", 1]),
    ("both >= 0, < 1", False, "two numbers from 0 to below 1", [[0, 0.5]], [[0.5], [0, 0, 0], [0, 1], 0.5]),
    ("each >= 1", True, "a list, [A,B,...], of whole numbers of 1 or more", [[1], [2, 3, 4]], [[], [0], [1.5], 3]),
]  # fmt: skip


@pytest.mark.parametrize(("comment", "whole", "expected", "fits", "wrong"), CASES)
def test_a_rule_accepts_what_it_says(comment, whole, expected, fits, wrong):
    rule, remark = split(comment, whole=whole)
    assert (rule.expected, remark) == (expected, "said" if "said" in comment else "")
    assert all(rule.accepts(value) for value in fits)
    assert not any(rule.accepts(value) for value in wrong)


def test_words_that_are_offered_are_those_that_can_be_typed():
    assert split("auto | cpu | cuda:N")[0].words == ("auto", "cpu")
    assert split("whole >= 1 | null")[0].words == ("null",)


def test_real_numbers_are_one_value_however_they_are_typed_and_whole_ones_stay():
    assert repr(split("> 0")[0].normalised(1)) == "1.0"
    assert repr(split("both >= 0")[0].normalised([1, 0.5])) == "[1.0, 0.5]"
    assert repr(split("> 0 | auto")[0].normalised("auto")) == "'auto'"
    assert repr(split("each >= 1", whole=True)[0].normalised([16])) == "[16]"


@pytest.mark.parametrize(
    "comment",
    [
        "", "the step size", "z > 0", "x | y as in the paper", "|z| is small", "auto", "each of them", "whole", "1/2 of it",
        "=relu, as usual", "> much",
    ],
)  # fmt: skip
def test_other_comments_are_no_rules(comment):
    assert split(comment) == (None, comment)
    assert rule_of("activation", "unheard_of", 0.5, comment).expected == "a number (finite)"


def test_a_rule_is_shown_in_words():
    assert in_words("> 0; the slope", "1.0") == "a number above 0; the slope"
    assert in_words("> 0; the slope", "1.0", ranges=False) == "the slope"
    assert in_words("a | b", "a", ranges=False) == "one of a, b"
    assert in_words("just said", "1") == "just said"


@pytest.mark.parametrize("group", [group for group in GROUPS if group != "upper_activation"])
def test_every_default_is_what_its_key_may_hold(group):
    for choice in choices_of(group):
        defaults = choice_of(group, choice.name).params
        for item in parameters_of(choice):
            value = defaults[item.name]
            rule = rule_of(group, item.name, value, item.comment)
            assert str(value).startswith("${") or rule.accepts(value), (choice, item)
            assert rule_of(group, item.name, item.default, item.comment).expected == rule.expected  # as Tab reads it


def test_every_plain_key_has_a_rule_that_its_default_obeys():
    rules = plain_rules()
    for key, value in usual_values().items():
        assert str(value).startswith("${") or rules[key].accepts(value), key


# ---------------------------------------------------------------- choices of the user's own


OWN = """\
# a step of its own
_target_: torch.optim.Adamax
_partial_: true
{}
"""


@pytest.fixture
def own(tmp_path):
    """Writes `conf/optimizer/own.yaml` with some lines."""

    def write(*lines):
        (tmp_path / "conf/optimizer").mkdir(parents=True, exist_ok=True)
        (tmp_path / "conf/optimizer/own.yaml").write_text(OWN.format("\n".join(lines)))
        return tmp_path

    return write


def said(monkeypatch, folder, *typed):
    given = answer(["optimizer=own", "dataset=digits", *typed], folder, monkeypatch)
    return given.code, given.text


def test_an_own_choice_declares_its_rules_as_ours_do(own, monkeypatch):
    folder = own("lr: 0.01  # > 0, <= 0.1; no more", "mood: calm  # calm | wild", "rounds: 2  # >= 1")
    code, text = said(monkeypatch, folder, "optimizer.lr=0.5", "optimizer.mood=odd", "optimizer.rounds=0")
    assert code == 2
    assert "optimizer.lr=0.5: must be a number above 0 and up to 0.1" in text
    assert "optimizer.mood=odd: must be one of calm, wild" in text
    assert "optimizer.rounds=0: must be a whole number of 1 or more" in text
    assert said(monkeypatch, folder, "optimizer.lr=0.05", "optimizer.mood=wild")[0] == 0
    monkeypatch.chdir(folder)
    assert [c.word for c in candidates(["optimizer=own"], "optimizer.mood=")] == [
        "optimizer.mood=calm",
        "optimizer.mood=wild",
    ]


def test_without_one_it_has_the_rule_of_the_same_parameter_of_ours_if_that_fits_its_default(own, monkeypatch):
    folder = own("lr: 1", "momentum: 7.5", "follows: ${optimizer.lr}")
    code, text = said(monkeypatch, folder, "optimizer.lr=-1")
    assert code == 2 and "optimizer.lr=-1: must be a number above 0" in text
    assert said(monkeypatch, folder, "optimizer.lr=0.5", "optimizer.momentum=9")[0] == 0


def test_a_rule_that_cannot_be_read_is_one_message(own, monkeypatch):
    code, text = said(monkeypatch, own("lr: 0.01  # > 0 and < 1"))
    assert code == 2
    assert "optimizer.lr  # > 0 and < 1: the comment begins like a rule, and is none" in text
    assert "> 0, <= 1" in text
