"""The rules behind findings: every one is declared whole, has a stable code, and its example shows it."""

from __future__ import annotations

import pkgutil
import re
import subprocess
import sys
from dataclasses import replace
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
from helpers import settings_of

import actbench.diagnosis
from actbench.diagnosis import rules, rules_markdown
from actbench.job.summary import Progress, summarise
from actbench.records import Finding
from actbench.settings import Choice, Settings
from actbench.train import Control, build, fit

# Codes are what people search for and programs compare. One that is renamed breaks both: never change a line of these,
# and add one for a new rule. The worst comes first.
CODES = [
    "diverged-loss",
    "stalled-loss",
    "no-gradients",
    "exploding-gradients",
    "vanishing-gradients",
    "dead-units",
    "saturated-units",
    "seeds-disagree",
    "overfitting",
    "unstable-accuracy",
    "mean-shift",
    "constant-clipping",
    "idle-clipping",
    "idle-gpu",
]
RULES = {rule.code: rule for rule in rules()}


def test_codes_are_stable_and_the_worst_comes_first():
    assert [rule.code for rule in rules()] == CODES


def test_ranks_say_which_is_worse():
    ranks = [rule.rank for rule in rules()]
    assert len({*ranks}) == len(ranks)


@pytest.mark.parametrize("code", CODES)
def test_a_rule_says_everything_in_whole_sentences(code):
    rule = RULES[code]
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", code)
    for text in (rule.summary, rule.what, rule.why, rule.remedy):
        assert text == " ".join(text.split()) and text.endswith(".") and len(text) > 20
    assert len(rule.summary) <= 72 and "`" not in rule.summary + rule.what + rule.why + rule.remedy
    assert rule.example.startswith("actbench ")


def test_each_module_with_a_find_declares_a_rule_and_is_named_after_it():
    package = actbench.diagnosis
    names = [module.name for module in pkgutil.iter_modules(package.__path__)]
    modules = {name: import_module(f"{package.__name__}.{name}") for name in names}
    declared = {name: module.RULE.code for name, module in modules.items() if hasattr(module, "RULE")}
    assert {*declared} == {name for name, module in modules.items() if hasattr(module, "find")}
    assert declared == {name: name.replace("_", "-") for name in declared}
    assert sorted(declared.values()) == sorted(CODES)


def test_a_module_that_is_added_is_a_rule_more(tmp_path, monkeypatch):
    (tmp_path / "cold_units.py").write_text(
        "from actbench.diagnosis.rule import Rule\n"
        "from actbench.records import Finding\n"
        "RULE = Rule(code='cold-units', rank=45, summary='.', what='.', why='.', example='actbench', remedy='.')\n"
        "def find(run):\n"
        "    return Finding('units are cold', 'all 3', 'No sun.', ('num_seeds=2',))\n"
    )
    monkeypatch.setattr(actbench.diagnosis, "__path__", [*actbench.diagnosis.__path__, str(tmp_path)])
    actbench.diagnosis._catalogue.cache_clear()
    try:
        assert [rule.code for rule in rules()] == [*CODES[:6], "cold-units", *CODES[6:]]
        history = actbench.diagnosis.RunHistory(settings=settings_of(), epochs=[], device="cpu")
        (finding,) = actbench.diagnosis.diagnose(history)
        assert finding.title == "cold-units: units are cold"
    finally:
        actbench.diagnosis._catalogue.cache_clear()
        sys.modules.pop("actbench.diagnosis.cold_units", None)
        vars(actbench.diagnosis).pop("cold_units", None)


def test_asking_for_the_rules_needs_no_torch():
    script = (
        "import sys; from actbench.diagnosis import rules; assert len(rules()) > 9; assert 'torch' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def findings_of(settings: Settings) -> tuple[Finding, ...]:
    """What a run of these settings, which is trained for that, ends with."""
    training = build.build(settings)
    progress = Progress(list(fit(training, control=Control())))
    return summarise(settings, training, progress, finished=True).findings


@cache
def found_by(example: str) -> tuple[Finding, ...]:
    return findings_of(settings_of(*example.split()[1:]))


@pytest.mark.parametrize("code", [code for code in CODES if code != "idle-gpu"])
def test_an_example_shows_its_finding(code):
    assert code in [finding.code for finding in found_by(RULES[code].example)]


def test_an_activation_of_the_users_own_that_dies_is_diagnosed_as_relu_is(tmp_path, monkeypatch):
    """The same figures, the same cause, the same remedies: it is flat below 0, whatever its name."""
    example = RULES["dead-units"].example
    (tmp_path / "own_ramp.py").write_text(
        "import torch\n\n\nclass Ramp(torch.nn.Module):\n    def forward(self, z):\n        return torch.relu(z)\n"
    )
    monkeypatch.chdir(tmp_path)
    own = replace(settings_of(*example.split()[1:]), activation=Choice("ramp", "own_ramp.Ramp"), trust=("own_ramp",))
    assert findings_of(own) == found_by(example)
    assert "dead-units" in [finding.code for finding in found_by(example)]


def test_the_example_of_a_gpu_can_be_typed():
    settings = settings_of(*RULES["idle-gpu"].example.split()[1:])
    assert (settings.train.device, settings.train.engine) == ("cuda", "eager")


def test_the_table_in_the_readme_is_that_of_the_rules():
    """Between two markers; `actbench.diagnosis.rules_markdown()` writes it."""
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    (table,) = re.findall(r"<!-- findings -->\n(.*?)\n<!-- /findings -->", readme, re.DOTALL)
    assert table.strip() == rules_markdown()
