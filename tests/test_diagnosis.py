"""Each finding planted in records with figures as real runs have them, and healthy runs in which nothing is found.

What is said of the rules themselves, and their examples, is in test_rules.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cache

import pytest
from helpers import build_training, random_splits, settings_of
from torch import nn

from actbench.activations.traits import measure
from actbench.diagnosis import RunHistory, clipped_steps, diagnose, remedies, seeds_disagree
from actbench.job.summary import traits_of
from actbench.measures.layers import LayerRecord
from actbench.measures.scores import EpochRecord
from actbench.naming import shown
from actbench.records import Epoch, Traits
from actbench.settings import Choice, Settings
from actbench.train import Control, fit
from actbench.train.networks import build_components
from actbench.train.step import GRADIENT_LOOKS

# `experiment=article_mlp`, mean over five seeds
TRAIN_LOSS = [0.2125, 0.0852, 0.0575, 0.0415, 0.0328, 0.0267, 0.0220, 0.0192, 0.0163, 0.0160]
TRAIN_ACCURACY = [93.58, 97.40, 98.20, 98.67, 98.93, 99.09, 99.26, 99.34, 99.46, 99.45]
VAL_ACCURACY = [96.11, 97.02, 97.09, 97.44, 97.54, 97.50, 97.40, 97.57, 97.69, 97.68]
LAYER = {"dead": 0.08, "dormant": 0.17, "saturated": 0.08, "active": 0.168, "mean": 0.67, "std": 2.1, "grad_norm": 0.2}
UNTRAINED = {"dead": 0.0, "dormant": 0.0, "saturated": 0.0, "active": 0.5, "mean": 0.23, "std": 0.34, "grad_norm": 1.9}


@cache
def _traits(activation: str, upper: str) -> dict[str, Traits]:
    return traits_of(build_components(settings_of(f"activation={activation}", f"upper_activation={upper}")))


def traits(settings: Settings) -> dict[str, Traits]:
    """Of a run of these settings: measured once for each pair of names, parameters aside."""
    return _traits(settings.activation.name, settings.upper_activation.name)


@dataclass
class Run:
    """A healthy run of three seeds, to plant something in.

    Curves hold a value for each epoch; `by_seed` replaces one of them for one seed: `{(seed, "val_accuracy"): [...]}`.
    Layers hold what differs from LAYER after each epoch, and from UNTRAINED before.
    """

    overrides: tuple[str, ...] = ("activation=relu",)
    seeds: int = 3
    epochs: int = 10
    train_loss: list[float] = field(default_factory=lambda: TRAIN_LOSS)
    train_accuracy: list[float] = field(default_factory=lambda: TRAIN_ACCURACY)
    val_accuracy: list[float] = field(default_factory=lambda: VAL_ACCURACY)
    grad_norm: float = 0.6
    clipped: float = math.nan
    busy: float = math.nan
    by_seed: dict = field(default_factory=dict)
    layers: dict = field(default_factory=lambda: {"hidden1": {}, "hidden2": {}})
    untrained: dict = field(default_factory=dict)
    diverged: dict = field(default_factory=dict)
    device: str = "cpu"

    def history(self) -> RunHistory:
        names = ("train_loss", "train_accuracy", "val_accuracy")
        epochs = [Epoch(number=0, rows=self._layers(0))]
        for e in range(1, self.epochs + 1):
            alive = [s for s in range(self.seeds) if self.diverged.get(s, e) >= e]
            records = []
            for s in alive:
                curves = {name: self.by_seed.get((s, name), getattr(self, name))[e - 1] for name in names}
                if self.diverged.get(s) == e:
                    curves["train_loss"] = math.nan
                records.append(
                    EpochRecord(
                        seed=s, epoch=e, lr=1e-3, val_loss=0.1, grad_norm=self.grad_norm, seconds=1.0,
                        clipped=self.clipped, **curves,
                    )
                )  # fmt: skip
            diverged = tuple(s for s, at in self.diverged.items() if at == e)
            layers = tuple(r for r in self._layers(e) if r.seed in alive)
            epochs.append(Epoch(number=e, rows=(*records, *layers), diverged=diverged, busy=self.busy))
        overrides = [o for o in self.overrides if o]
        settings = settings_of(f"num_seeds={self.seeds}", *overrides)
        samples = 180 if settings.dataset.name == "digits" else 5000
        return RunHistory(
            settings=settings, epochs=epochs, device=self.device, validation=samples, traits=traits(settings)
        )

    def _layers(self, epoch):
        return tuple(
            LayerRecord(
                seed=s, epoch=epoch, layer=name, units=512,
                **({**LAYER, **changed} if epoch else {**UNTRAINED, **self.untrained.get(name, {})}),
            )
            for s in range(self.seeds) for name, changed in self.layers.items()
        )  # fmt: skip

    def found(self):
        return diagnose(self.history())

    def only(self):
        (finding,) = self.found()
        return finding


GUESSING = [2.31] * 10
CHANCE = [10.4] * 10
EARLY_CURVES = {"train_accuracy": CHANCE, "val_accuracy": CHANCE}
DEAD = {"dead": 0.748, "saturated": 0.748, "mean": 0.18, "std": 2.3}

# name -> (run, the symptom in words)
PLANTED = {
    "diverged": (Run(diverged={1: 4}), "seeds diverged"),
    "vanished": (Run(train_loss=GUESSING, **EARLY_CURVES), "loss does not fall early"),
    "overshot": (Run(train_loss=[1600, 2.89, 2.32, *[2.31] * 7], **EARLY_CURVES), "loss does not fall early"),
    "slow": (
        Run(
            ("optimizer=sgd", "optimizer.lr=1e-4"), epochs=3, train_loss=[2.56, 2.31, 2.14],
            train_accuracy=[14.4, 19.7, 25.7], val_accuracy=[17.0, 22.0, 28.0],
        ),
        "loss does not fall early",
    ),
    "exploding": (Run(("init.gain=3",), grad_norm=4200.0), "exploding gradients"),
    "growing": (Run(layers={"hidden1": {"grad_norm": 90.0}, "hidden2": {}}), "exploding gradients"),
    "vanishing": (
        Run(
            ("activation=sigmoid", "init=torch_default"),
            layers={"hidden1": {"grad_norm": 5e-9}, "hidden2": {"grad_norm": 1e-5}, "hidden3": {"grad_norm": 0.05}},
        ),
        "vanishing gradients",
    ),
    "no gradients": (Run(layers={"hidden1": {"grad_norm": 0.0}, "hidden2": {"grad_norm": 0.0}}), "no gradients"),
    "died": (Run(("optimizer.lr=1e-2",), layers={"hidden1": DEAD, "hidden2": {}}), "units died"),
    "never alive": (
        Run(layers={"hidden1": {}, "hidden2": {**DEAD, "dead_at_init": 0.7, "died": 0.048}}), "units dead from the start"
    ),
    "saturated": (
        Run(("activation=tanh", "optimizer.lr=1e-2"), layers={"hidden1": {"dead": 0.0, "saturated": 0.305}, "hidden2": {"dead": 0, "saturated": 0}}),
        "units saturated",
    ),
    "disagreement": (Run(by_seed={(2, "val_accuracy"): CHANCE, (2, "train_accuracy"): CHANCE}), "seeds disagree"),
    "fall": (
        Run(val_accuracy=[93.0, 95.0, 96.0, 96.0, 95.5, 94.5, 94.0, 93.5, 93.0, 92.0]),
        "validation accuracy falls while training accuracy rises",
    ),
    "jumps": (
        Run(val_accuracy=[95.0, 96.5, 92.5, 96.6, 93.0, 96.7, 96.9, 97.0, 97.0, 97.0]),
        "validation accuracy jumps while training accuracy rises",
    ),
    "gap": (
        Run(val_accuracy=[88.0, 90.0, 91.0, 91.5, 91.8, 92.0, 92.0, 92.1, 92.0, 92.1]),
        "training accuracy far above validation accuracy",
    ),
    "mean": (
        Run(("activation=sigmoid",), layers={"hidden1": {"mean": 0.497, "std": 0.071, "saturated": 0, "dead": 0}}),
        "outputs far from zero mean",
    ),
    "always": (Run(("clip=norm", "clip.max_norm=0.1"), clipped=1.0), "clipping at work all the time"),
    "never": (Run(("clip=norm", "clip.max_norm=50"), clipped=0.0), "clipping never at work"),
    "idle": (Run(busy=0.21, device="cuda"), "GPU mostly idle"),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANTED)
def test_what_is_planted_is_found_alone(name):
    run, symptom = PLANTED[name]
    finding = run.only()
    assert finding.symptom == symptom
    assert any(digit.isdigit() for digit in finding.evidence) and finding.cause.endswith(".")
    assert finding.remedies


@pytest.mark.parametrize("seeds", [1, 3, 5])
@pytest.mark.parametrize("epochs", [1, 2, 3, 10])
def test_nothing_is_found_in_a_healthy_run_however_short(seeds, epochs):
    assert Run(("experiment=article_mlp",), seeds=seeds, epochs=epochs).found() == []


def test_healthy_figures_of_other_networks_are_no_findings():
    """Measured: softplus over ten layers, the article's CNN on the digits, sigmoid."""
    grads = {"hidden1": {"grad_norm": 0.037}, "hidden2": {"grad_norm": 2.1}}
    assert Run(("activation=softplus",), untrained=grads).found() == []
    assert Run(layers={"conv1": {"dead": 0.0}, "dense": {"dead": 0.43, "saturated": 0.43}}).found() == []
    assert Run(("activation=sigmoid",), layers={"hidden1": {"mean": 0.5, "std": 0.2}}).found() == []


def test_without_probes_only_the_curves_are_judged():
    """No layers, NaN for gradients: neither errors nor findings."""
    run = Run(grad_norm=math.nan, layers={})
    assert run.found() == []
    assert replace(run, train_loss=GUESSING, **EARLY_CURVES).only().symptom == "loss does not fall early"


def test_records_full_of_nan_and_runs_without_epochs_are_silent():
    nan = dict.fromkeys(LAYER, math.nan)
    run = Run(layers={"hidden1": nan, "hidden2": nan}, untrained={"hidden1": nan, "hidden2": nan}, grad_norm=math.nan)
    assert run.found() == []
    settings = settings_of("clip=norm")
    assert diagnose(RunHistory(settings=settings, epochs=[], device="cuda")) == []
    assert diagnose(RunHistory(settings=settings, epochs=Run().history().epochs[:1], device="cuda")) == []


def test_a_run_in_which_every_seed_diverged_has_one_finding():
    finding = Run(seeds=2, diverged={0: 1, 1: 2}, epochs=2).only()
    assert finding.symptom == "seeds diverged"
    assert "2 of 2 seeds" in finding.evidence and "seed 0 in epoch 1, seed 1 in epoch 2" in finding.evidence


def test_numbers_of_a_seed_that_diverged_count_for_nothing_else():
    """Seed 1 diverged at 10 %; the others agree, and are in the means alone."""
    run = Run(diverged={1: 10}, by_seed={(1, "val_accuracy"): CHANCE, (1, "train_accuracy"): CHANCE})
    assert [finding.symptom for finding in run.found()] == ["seeds diverged"]
    assert run.history().finals("val_accuracy") == [VAL_ACCURACY[-1]] * 2


def test_the_worst_comes_first():
    dead = {**DEAD, "dead": 0.97, "saturated": 0.97, "grad_norm": 0.0}
    run = Run(diverged={2: 5}, train_loss=GUESSING, **EARLY_CURVES, layers={"hidden1": dead, "hidden2": dead})
    assert [finding.symptom for finding in run.found()] == [
        "seeds diverged", "loss does not fall early", "no gradients", "units died",
    ]  # fmt: skip


# -- the thresholds, from both sides --------------------------------------------------------------------------------


@pytest.mark.parametrize(("dead", "found"), [(0.49, False), (0.51, True)])
def test_dead_units_from_half_of_a_layer_on(dead, found):
    layers = {"hidden1": {"dead": dead, "saturated": dead}, "hidden2": {}}
    assert bool(Run(layers=layers).found()) is found


@pytest.mark.parametrize(("loss", "found"), [(0.89, False), (0.91, True)])
def test_a_loss_near_that_of_guessing(loss, found):
    losses = [loss * math.log(10)] * 10
    assert bool(Run(train_loss=losses, **EARLY_CURVES).found()) is found


def test_the_loss_of_guessing_depends_on_the_classes():
    """ln 4 = 1.39 is what four classes guess, and far below guessing for ten."""
    case = Run(train_loss=[1.39] * 10, train_accuracy=[25.0] * 10, val_accuracy=[25.0] * 10).history()
    assert diagnose(case) == []
    assert [finding.symptom for finding in diagnose(replace(case, classes=4))] == ["loss does not fall early"]


def test_a_high_loss_of_a_network_that_knows_the_classes_is_no_standstill():
    """Measured: ten layers of ReLU with init.gain=3 have a loss of 7 and 71 % right."""
    run = Run(train_loss=[131.7, 14.2, 7.3], train_accuracy=[44, 64, 71], val_accuracy=[57.5, 66, 69], epochs=3)
    assert run.found() == []


def test_one_seed_that_stands_still_is_a_disagreement_and_most_of_them_a_standstill():
    stuck = {"train_loss": GUESSING, "train_accuracy": CHANCE, "val_accuracy": CHANCE}
    one = Run(seeds=4, by_seed={(0, name): curve for name, curve in stuck.items()})
    assert [f.symptom for f in one.found()] == ["seeds disagree"]
    half = Run(seeds=4, by_seed={(s, name): curve for s in (0, 3) for name, curve in stuck.items()})
    assert [f.symptom for f in half.found()] == ["seeds disagree"]
    most = Run(seeds=4, by_seed={(s, name): curve for s in (0, 2, 3) for name, curve in stuck.items()})
    assert most.found()[0].symptom == "loss does not fall early" and "3 of 4 seeds" in most.found()[0].evidence


def test_the_cause_of_a_standstill_decides_what_is_offered_first():
    assert PLANTED["slow"][0].only().remedies == ("optimizer.lr=0.001",)
    assert PLANTED["overshot"][0].only().remedies[:2] == ("optimizer.lr=0.0001", "optimizer.lr=1e-05")
    assert PLANTED["vanished"][0].only().remedies[0] == "activation=leaky_relu"


def test_slow_steps_are_made_no_longer_where_gradients_explode():
    """Measured: fifty layers of tanh, clipped at 1: 19 % right at optimizer.lr=0.1, 9 % at 1, 81 % with elu."""
    slow = PLANTED["slow"][0]
    assert slow.only().cause == "It falls, but slowly: steps are too short."
    stalled, exploding, _ = replace(
        slow, overrides=("clip=norm", "activation=tanh"), grad_norm=1093.7, clipped=1.0
    ).found()
    assert "vanishes or explodes" in stalled.cause and stalled.remedies[0] == "activation=leaky_relu"
    assert exploding.evidence == "the whole gradient's norm is 1,100 in epoch 1"


@pytest.mark.parametrize(
    ("first", "symptom"), [(0.0034, None), (0.0032, "vanishing"), (299.0, None), (301.0, "exploding")]
)
def test_gradients_three_hundred_times_apart(first, symptom):
    layers = {"hidden1": {"grad_norm": first}, "hidden2": {"grad_norm": 1.0}}
    found = Run(layers=layers).found()
    assert [finding.symptom for finding in found] == ([f"{symptom} gradients"] if symptom else [])


def test_gradients_that_vanish_before_training_alone_are_found_with_depth_and_factor():
    """Measured: ten layers of sigmoid, 0.00019 and 0.29, (0.00019 / 0.29)^(1/9) = 0.443 a layer."""
    names = [f"hidden{n}" for n in range(1, 11)]
    untrained = {"hidden1": {"grad_norm": 0.00019}, "hidden10": {"grad_norm": 0.29}}
    finding = Run(
        ("activation=sigmoid", "model.depth=10"), layers={name: {} for name in names}, untrained=untrained
    ).only()
    assert finding.symptom == "vanishing gradients"
    assert "0.00019 in hidden1, 0.29 in hidden10 before training" in finding.evidence
    assert "1/1,500 over 10 layers, a factor of 0.44 each" in finding.evidence


def test_batch_norm_is_judged_by_training_alone():
    """Measured: ten layers of sigmoid with norm=batch learn to 91 %, and look as bad before training as without it."""
    run = Run(("activation=sigmoid",), untrained={"hidden1": {"grad_norm": 0.00019}, "hidden2": {"grad_norm": 0.29}})
    assert run.only().symptom == "vanishing gradients"
    assert replace(run, overrides=("activation=sigmoid", "norm=batch")).found() == []
    assert replace(run, overrides=("activation=sigmoid", "norm=layer")).only().symptom == "vanishing gradients"


def test_one_layer_has_no_depth_over_which_gradients_could_vanish():
    assert Run(layers={"hidden1": {"grad_norm": 1e-9}}).found() == []


def test_of_units_that_died_it_is_said_when_where_and_how_many():
    layers = {"hidden1": {**DEAD, "dead": 0.55, "saturated": 0.55}, "hidden2": DEAD, "hidden3": {}}
    evidence = Run(layers=layers, untrained={"hidden2": {"dead": 0.02}}).only().evidence
    assert evidence.startswith("hidden2: 74.8 % of 512 units dead (2.0 % before training, 72.8 % died in it")
    assert "2 layers of 3 at 50.0 % or more" in evidence


def test_dead_at_init_and_died_of_the_records_go_before_the_untrained_network():
    """Half of the units that were dead before came to life since."""
    layers = {"hidden1": {**DEAD, "dead_at_init": 0.1, "died": 0.648}}
    evidence = Run(layers=layers, untrained={"hidden1": {"dead": 0.2}}).only().evidence
    assert "10.0 % before training, 64.8 % died in it" in evidence


def test_nothing_is_said_of_the_time_before_where_nobody_looked():
    case = Run(layers={"hidden1": DEAD}).history()
    (finding,) = diagnose(replace(case, epochs=case.epochs[1:]))
    assert finding.symptom == "units died" and "before training" not in finding.evidence


def test_a_dead_relu_unit_is_not_saturated_and_a_rounded_sigmoid_is():
    relu = Run(layers={"hidden1": DEAD}).found()
    assert [f.symptom for f in relu] == ["units died"]
    sigmoid = Run(("activation=sigmoid",), layers={"hidden1": DEAD}).found()
    assert [f.symptom for f in sigmoid] == ["units died", "units saturated"]


def test_a_learned_slope_near_zero_is_no_saturation():
    """Measured: PReLU at a learning rate of 1e-2 learns slopes under 0.01, and 0.157 of its units are on that side."""
    layers = {"hidden1": {"dead": 0.0, "saturated": 0.157}}
    assert Run(("activation=prelu",), layers=layers).found() == []
    above = Run(("activation=prelu", "upper_activation=tanh", "model.depth=2"), layers=layers)
    assert above.only().symptom == "units saturated"


@pytest.mark.parametrize(("share", "found"), [(0.09, False), (0.11, True)])
def test_saturation_from_a_tenth_of_a_layer_on(share, found):
    run = Run(("activation=tanh",), layers={"hidden1": {"dead": 0.0, "saturated": share}})
    assert bool(run.found()) is found


@pytest.mark.parametrize(("mean", "found"), [(2.9, False), (3.1, True), (-3.1, True)])
def test_a_mean_three_deviations_from_zero(mean, found):
    assert bool(Run(layers={"hidden1": {"mean": mean, "std": 1.0}}).found()) is found


def test_a_layer_that_gives_a_constant_has_no_ratio():
    assert Run(layers={"hidden1": {"mean": 0.0, "std": 0.0}}).found() == []


@pytest.mark.parametrize(("low", "found"), [(92.9, False), (92.5, True)])
def test_seeds_five_points_apart(low, found):
    """The others end at 97.68 %, with nothing gained in the last epoch."""
    curve = [*VAL_ACCURACY[:3], *[low] * 7]
    symptoms = [f.symptom for f in Run(by_seed={(1, "val_accuracy"): curve}).found()]
    assert symptoms == (["seeds disagree"] if found else [])


def test_seeds_that_are_all_still_climbing_do_not_disagree():
    """Measured: ten layers of tanh after three epochs of 10,000 samples, 5.4 points apart, 4 gained in the last."""
    curves = [[83.2, 90.3, 92.5], [84.0, 86.2, 91.0], [82.1, 82.2, 87.1]]
    run = Run(epochs=3, train_loss=[1.03, 0.49, 0.38], train_accuracy=[65.0, 87.0, 90.0])
    climbing = replace(run, by_seed={(s, "val_accuracy"): curve for s, curve in enumerate(curves)})
    assert seeds_disagree.find(climbing.history()) is None
    arrived = {(s, "val_accuracy"): [*curve[1:], curve[-1]] for s, curve in enumerate(curves)}
    assert seeds_disagree.find(replace(run, by_seed=arrived).history()).symptom == "seeds disagree"


def test_the_noise_of_a_small_validation_split_is_no_disagreement_and_no_jump():
    """180 digits: 97.2 and 92.2 % differ by 9 samples, 96.1 and 92.8 % by 6."""
    curve = [90.0, 91.7, 94.4, 92.2, 94.4, 96.1, 92.8, 93.9, 93.9, 92.2]
    lucky = {(0, "val_accuracy"): [*curve[:9], 97.2]}
    run = Run(
        ("dataset=digits",), val_accuracy=curve, train_accuracy=[95.0 + 0.1 * e for e in range(10)], by_seed=lucky
    )
    assert run.found() == []
    mnist = replace(run, overrides=("dataset=mnist",))
    assert [f.symptom for f in mnist.found()] == [
        "seeds disagree",
        "validation accuracy jumps while training accuracy rises",
    ]


def test_one_seed_that_jumps_is_noise():
    jumps = [95.0, 96.5, 92.5, 96.6, 93.0, 96.7, 96.9, 97.0, 97.0, 97.0]
    assert Run(seeds=3, by_seed={(0, "val_accuracy"): jumps}).found() == []
    assert Run(seeds=3, by_seed={(s, "val_accuracy"): jumps for s in (0, 1)}).only().evidence.startswith("2 of 3 seeds")


def test_one_bad_last_epoch_is_neither_a_fall_nor_a_gap():
    """Measured: SGD at 0.1 on 10,000 samples, 96.3 % in training, and 92.2 and 90.8 % in the last two epochs."""
    run = Run(
        epochs=3, train_loss=[0.47, 0.2, 0.134], train_accuracy=[86.3, 94.3, 96.3], val_accuracy=[87.9, 92.2, 90.8]
    )
    assert run.found() == []
    worse = replace(run, val_accuracy=[87.9, 91.2, 90.8]).only()
    assert "validation 91.2 %" in worse.evidence and "5.1 points apart" in worse.evidence


def test_a_fall_with_a_falling_training_accuracy_is_none_of_generalisation():
    falling = [93.0, 95.0, 96.0, 96.0, 95.5, 94.5, 94.0, 93.5, 93.0, 92.0]
    assert Run(val_accuracy=falling, train_accuracy=falling).found() == []


@pytest.mark.parametrize(("share", "found"), [(0.94, False), (0.96, True)])
def test_clipping_all_the_time(share, found):
    assert bool(Run(("clip=norm", "clip.max_norm=0.1"), clipped=share).found()) is found


def test_clipping_offers_the_gradients_usual_norm_as_the_limit():
    always, never = PLANTED["always"][0].only(), PLANTED["never"][0].only()
    assert always.remedies[0] == "clip.max_norm=0.6" and "0.6 (median), max_norm 0.1" in always.evidence
    assert never.remedies == ("clip=none", "clip.max_norm=0.6") and "none of the 240 steps" in never.evidence


def test_clipping_all_the_time_means_less_where_the_optimizer_divides_by_the_gradients_size():
    """Measured, `deep_clipped` at depth 20: 88.3 % as it is, 88.5 with the limit raised and lr lowered, 75.6 with lr ÷ 3."""
    plain = Run(("clip=norm", "clip.max_norm=0.1", "optimizer=sgd", "optimizer.lr=0.1"), clipped=1.0).only()
    assert plain.remedies == ("clip.max_norm=0.6 optimizer.lr=0.02",) and "same length" in plain.cause
    adaptive = PLANTED["always"][0].only()
    assert adaptive.remedies == ("clip.max_norm=0.6", "clip=none") and "divides anyway" in adaptive.cause


def test_a_gate_passes_nothing_on_that_could_be_far_from_zero_mean():
    far = {"mean": 4.0, "std": 1.0}
    assert Run(layers={"hidden1": far, "hidden2": {}}).only().symptom == "outputs far from zero mean"
    assert Run(layers={"hidden1.gate": far, "hidden2.gate": {}}).found() == []


def test_a_slope_without_bounds_is_never_saturated():
    """Measured: squared_relu with z of about 0.07 has a slope of 0.14, and of 20 at z = 10."""
    layers = {"hidden1": {"saturated": 0.4}, "hidden2": {}}
    assert Run(("activation=relu",), layers=layers).only().symptom == "units saturated"
    assert Run(("activation=squared_relu",), layers=layers).found() == []


def test_clipping_of_some_entry_in_every_step_is_nothing():
    assert Run(("clip=value", "clip.clip_value=0.01"), clipped=1.0).found() == []
    assert Run(("clip=value",), clipped=0.0).only().symptom == "clipping never at work"


def test_never_is_said_only_after_enough_looks():
    """Two epochs of three seeds are 48 looks, three epochs 72."""
    run = Run(("clip=norm",), clipped=0.0)
    short = replace(replace(run, epochs=5).history(), steps=2)  # 30 looks
    assert diagnose(short) == [] and diagnose(replace(short, steps=4)) != []
    assert replace(run, epochs=2).found() == []
    assert replace(run, epochs=3).only().symptom == "clipping never at work"
    assert clipped_steps.PER_EPOCH == GRADIENT_LOOKS


def test_clipping_that_is_off_is_never_judged():
    assert Run(("clip=none",), clipped=0.0).found() == []


def test_idleness_is_a_matter_of_cuda_and_of_known_figures():
    assert Run(busy=0.21, device="cpu").found() == [] and Run(busy=0.21, device="mps").found() == []
    assert Run(device="cuda").found() == [] and Run(busy=0.51, device="cuda").found() == []
    assert "21.0 % of the time in epochs 2–10" in PLANTED["idle"][0].only().evidence


# -- what is offered ------------------------------------------------------------------------------------------------

SETUPS = [
    ("experiment=article_mlp",), ("experiment=article_cnn",), ("experiment=dying_relu",), ("experiment=hybrid_512",),
    ("experiment=deep_clipped",), ("experiment=mish_depth",), ("experiment=speedrun",),
    ("activation=leaky_relu", "norm=layer", "clip=value"), ("activation=prelu", "clip=norm", "scheduler=cosine", "dropout=0.3"),
    ("dropout=0.5", "augment=shift_rotate", "init=lecun_normal", "activation=selu", "train.engine=eager"),
    ("activation=gelu", "upper_activation=tanh", "model.depth=2", "optimizer=adagrad", "init=he_uniform"),
]  # fmt: skip


def as_typed(settings):
    """What overrides can change, by their keys and as they are typed."""
    flat = {**settings.flat(), "num_seeds": settings.num_seeds, "train.engine": settings.train.engine}
    return {key: shown(value) for key, value in flat.items()}


@pytest.mark.parametrize("setup", SETUPS, ids=" ".join)
def test_every_remedy_can_be_typed_and_changes_something(setup):
    """Every finding planted in all kinds of runs: what is offered is there to be chosen, and is not set already.

    A key of a group that the remedy does not choose has to be among those of the run; what it chooses, and the keys of
    that, are composed: groups do not depend on each other.
    """
    before = settings_of("num_seeds=3", *setup)
    set_already = as_typed(before)
    histories = [replace(run.history(), settings=before, traits=traits(before)) for run, _ in PLANTED.values()]
    found = [finding for history in histories for finding in diagnose(history)]
    assert all(len(set(finding.remedies)) == len(finding.remedies) for finding in found)
    offered = {remedy for finding in found for remedy in finding.remedies}
    assert len(offered) >= 10
    for remedy in sorted(offered):
        values = dict(override.split("=") for override in remedy.split())
        assert values.items() - set_already.items(), f"{remedy} is set already"
        groups = {key for key in values if "." not in key}
        for key in values.keys() - groups:
            assert key.partition(".")[0] in groups or key in set_already, f"{remedy}: there is no {key}"
        chosen = [f"{key}={value}" for key, value in sorted(values.items()) if key.partition(".")[0] in groups]
        after = as_typed(settings_of(*chosen))
        assert all(after[key] == value for key, value in values.items() if key.partition(".")[0] in groups)


def test_the_learning_rate_goes_down_to_one_digit():
    settings = settings_of("optimizer.lr=0.002")
    assert remedies.learning_rate(settings, times=1 / 3) == ("optimizer.lr=0.0007",)
    assert remedies.learning_rate(settings, times=1 / 10) == ("optimizer.lr=0.0002",)
    nothing = replace(settings, optimizer=replace(settings.optimizer, params={}))  # of the user's own, without lr
    assert remedies.learning_rate(nothing, times=1 / 3) == ()


FLAT = ("flat",)


def of(*overrides):
    settings = settings_of(*overrides)
    return RunHistory(settings=settings, epochs=[], device="cpu", traits=traits(settings))


def test_another_activation_replaces_the_one_that_suffers():
    both = of("activation=relu", "upper_activation=gelu", "model.depth=2")
    assert remedies.activation(both, "leaky_relu", instead_of=FLAT) == ("activation=leaky_relu",)
    above = of("activation=gelu", "upper_activation=relu", "model.depth=2")
    assert remedies.activation(above, "leaky_relu", instead_of=FLAT) == ("upper_activation=leaky_relu",)
    twice = of("activation=relu", "upper_activation=relu6", "model.depth=2")
    assert remedies.activation(twice, "prelu", instead_of=FLAT) == ("activation=prelu upper_activation=prelu",)
    assert remedies.activation(of("activation=elu"), "elu", "selu", instead_of=FLAT) == ("activation=selu",)


class Ramp(nn.Module):
    """What anyone may write in the place of ReLU."""

    def forward(self, z):
        return z.clamp(min=0)


def test_an_activation_of_ones_own_is_judged_as_one_of_ours_like_it():
    """A ramp of anyone's is ReLU in all that a finding says, whatever its name."""
    for planted in (
        Run(layers={"hidden1": DEAD}, overrides=("upper_activation=gelu", "model.depth=2")),
        Run(layers={"hidden1": {"dead": 0.0, "saturated": 0.4}, "hidden2": {}}),
        Run(layers={"hidden1": {"mean": 4.0, "std": 1.0}}, overrides=("upper_activation=gelu", "model.depth=2")),
    ):
        ours = planted.history()
        own = replace(
            ours,
            settings=replace(ours.settings, activation=Choice("ramp", "mine.Ramp", content="mine.py=1")),
            traits={**ours.traits, "activation": measure(Ramp())},
        )
        (finding,) = diagnose(ours)
        assert diagnose(own) == [finding]
        unknown = replace(own, traits={**ours.traits, "activation": Traits()})
        assert len(ours.traits) == 1 or diagnose(unknown)[0].remedies != finding.remedies


def test_units_that_are_not_kept_are_said_to_be_so_and_more_are_kept():
    for overrides, remedy in (
        (("activation.fraction=0.1",), "activation.fraction=0.4"),
        (("activation.k=3",), "activation.k=12"),
    ):
        finding = Run(("activation=topk", *overrides), layers={"hidden1": DEAD}).only()
        assert finding.symptom == "units died" and finding.remedies == (remedy,) and "kept" in finding.cause


def test_who_crowds_out_whom_is_said_where_units_compete_alone():
    tanh, saturated = Run(("activation=tanh",)), {"hidden1": {"dead": 0.0, "saturated": 0.3}}
    assert "crowd" not in replace(tanh, layers=saturated).only().cause
    competing = replace(replace(tanh, layers=saturated).history(), traits={"activation": measure(nn.Softmax(dim=1))})
    assert "crowd" in diagnose(competing)[0].cause


# -- from training to finding ---------------------------------------------------------------------------------------


def trained(monkeypatch, *overrides):
    """Symptoms of a small network that is really trained, on 400 random images of four classes."""
    overrides = ("num_seeds=2", "train.batch_size=20", "train.epochs=4", *overrides)
    training = build_training(monkeypatch, random_splits(400), *overrides)
    epochs = list(fit(training, control=Control()))
    settings = settings_of(*overrides)
    history = RunHistory(settings=settings, epochs=epochs, device="cpu", classes=4, traits=traits(settings))
    return {f.symptom for f in diagnose(history)}


ABOUT_LAYERS = {"units died", "units dead from the start", "units saturated", "vanishing gradients", "exploding gradients",
    "no gradients", "outputs far from zero mean", "loss does not fall early", "seeds diverged",
}  # fmt: skip


@pytest.mark.parametrize("activation", ["relu", "gelu", "leaky_relu", "tanh"])
def test_a_small_healthy_network(monkeypatch, activation):
    found = trained(monkeypatch, f"activation={activation}", "model.width=64", "model.depth=2")
    assert not found & ABOUT_LAYERS


def test_relu_at_a_hundred_times_its_learning_rate(monkeypatch):
    assert "units died" in trained(monkeypatch, "model.width=64", "model.depth=2", "optimizer.lr=0.1")


def test_ten_layers_of_sigmoid(monkeypatch):
    deep = ("model.width=32", "model.depth=10", "activation=sigmoid", "init=torch_default")
    found = trained(monkeypatch, *deep)
    assert {"vanishing gradients", "loss does not fall early", "outputs far from zero mean"} <= found


def test_seeds_that_really_diverge(monkeypatch):
    """Squares of squares, at a learning rate beyond all reason."""
    deep = ("activation=squared_relu", "model.width=16", "model.depth=4", "optimizer=sgd", "optimizer.lr=1000")
    assert "seeds diverged" in trained(monkeypatch, *deep)


@pytest.mark.parametrize(
    ("overrides", "remedy"),
    [
        (("activation=topk", "activation.k=5"), "activation.k=20"),
        (("activation=topk", "activation.fraction=0.1"), "activation.fraction=0.4"),
        (("upper_activation=topk", "model.depth=2"), "upper_activation.fraction=1"),
    ],
)
def test_units_that_top_k_never_keeps_want_more_to_be_kept(overrides, remedy):
    from actbench.diagnosis import dead_units

    finding = dead_units.find(Run(overrides, layers={"hidden1": {"dead": 0.9}}).history())
    assert finding.remedies == (remedy,)
    assert "never among them" in finding.cause


@pytest.mark.parametrize(
    ("overrides", "times", "expected"),
    [
        (("optimizer=adam", "optimizer.lr=1e30"), 0.1, ("optimizer.lr=0.001",)),
        (("optimizer=adam", "optimizer.lr=0.05"), 0.1, ("optimizer.lr=0.005",)),
        (("optimizer=adam", "optimizer.lr=1e-9"), 10, ("optimizer.lr=1e-08",)),
    ],
)
def test_an_absurd_learning_rate_is_answered_with_the_usual_one(overrides, times, expected):
    assert remedies.learning_rate(settings_of(*overrides), times=times) == expected
