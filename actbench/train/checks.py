"""What can be found wrong with the settings of a run before anything is trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from actbench.activations.examination import RESHAPES, WRITES, InputRecorder, Violation, examine
from actbench.custom import loading
from actbench.custom.isolation import isolated
from actbench.custom.randomness import check_augmentation, check_clip, check_optimizer_step
from actbench.custom.trust import is_own
from actbench.datasets import TRAINING_SAMPLES, Splits
from actbench.errors import Problem, UserError, in_a_line
from actbench.measures import own
from actbench.settings import Choice, Settings
from actbench.stacking import recomputing
from actbench.train.construct import blame, construct, first_line, optional_constructor
from actbench.train.engines import choose_engine
from actbench.train.machine import choose_device, memory_of_machine
from actbench.train.networks import activation_factory, build_network, build_replicas
from actbench.train.optimizers import build_optimizer, build_scheduler, optimizer_constructor
from actbench.train.outcome import StepOutcome
from actbench.train.seeding import generators
from actbench.train.updates import update_of

_UNITS = 8  # of the layer in which an activation is first examined
_sound: set[str] = set()  # activations in which nothing was found, by `_fingerprint`: a sweep has each in many jobs


@isolated()
def check(settings: Settings, *, quick: bool = False, elsewhere: bool = False) -> None:
    """Finds whatever `build` or the first training step would fail with, at the price of one small part of them.

    Args:
        settings: of a run.
        quick: leave out what takes seconds, the data and the optimizer, since something else is wrong already.
        elsewhere: it will run on another machine, whose devices, memory and compiler are not known here.

    Raises:
        UserError: with every mistake that was found.
    """
    problems: list[Problem] = []

    def attempt(step: Callable[[], Any]) -> Any:
        try:
            return step()
        except UserError as error:
            problems.extend(error.problems)
        except SystemExit as error:  # `sys.exit()` in the user's own code, wherever it is called
            problems.extend(blame(error, settings, settings.label).problems)
        return None

    device: torch.device | None = None
    if not elsewhere:
        device = attempt(lambda: choose_device(settings.train.device, settings.train.precision))
    clip = attempt(lambda: optional_constructor("clip", settings.clip, settings.trust))
    augment = attempt(lambda: optional_constructor("augment", settings.augment, settings.trust))
    attempt(lambda: own.load(settings.measures, settings.trust))
    splits = None if quick else attempt(lambda: loading.load_splits(settings.dataset, settings.trust))
    inputs, classes = ((1, 28, 28), 10) if splits is None else (splits.inputs, splits.classes)
    if augment is not None:
        background: float | torch.Tensor = 0.0 if splits is None else splits.background
        attempt(
            lambda: check_augmentation(
                settings.augment, augment, inputs=inputs, background=background, trust=settings.trust
            )
        )
    valid = attempt(lambda: _examine_activations(settings))
    network = attempt(lambda: build_network(settings, inputs, classes, settings.seed)) if valid else None
    samples = training_samples(settings.dataset, splits)
    if network is not None and not elsewhere:
        attempt(lambda: _check_memory(settings, network))
    if network is not None and (elsewhere or device is not None) and not quick and not problems:
        attempt(lambda: _try_a_step(settings, network, inputs, samples, device, clip))
    if splits is not None or settings.dataset.name in TRAINING_SAMPLES:
        attempt(lambda: check_batches(settings, samples))
    if problems:
        raise UserError.of(problems)


def training_samples(dataset: Choice, splits: Splits | None) -> int:
    """How many training samples there are; where the data are not loaded, as many as the dataset is known to have."""
    samples = TRAINING_SAMPLES.get(dataset.name, 55_000) if splits is None else len(splits.train_y)
    return min(samples, dataset.params.get("train_size") or samples)


def check_batches(settings: Settings, samples: int) -> None:
    """Checks the batch size against the number of training samples.

    Raises:
        UserError: it is too large, or leaves a batch that batch normalisation cannot use.
    """
    batch = settings.train.batch_size
    if batch > samples:
        raise UserError(
            f"is larger than the training set of {samples:,} samples",
            where=f"train.batch_size={batch}",
            how=f"at most {samples}",
        )
    if settings.norm.name == "batch" and (samples % batch == 1 or batch == 1):
        division = f"{samples:,} = {samples // batch} × {batch} + {samples % batch}"
        raise UserError(
            f"leaves a batch of one sample ({division}), and norm=batch needs two",
            where=f"train.batch_size={batch}",
            how=f"train.batch_size={batch + 1}",
        )


def _check_memory(settings: Settings, network: nn.Module) -> None:
    """Whether the machine has memory for the weights, gradients and two moments of all seeds: counted, not tried."""
    needed = 4 * 4 * settings.num_seeds * sum(parameter.numel() for parameter in network.parameters())
    available = memory_of_machine()
    if available is not None and needed > available:
        raise UserError(
            f"weights, gradients and moments take {needed / 1e9:,.0f} GB, and this machine has {available / 1e9:,.0f}",
            where=f"num_seeds={settings.num_seeds} model={settings.model.name}",
            how="fewer seeds at a time (seed=5 num_seeds=5 adds to them), or a smaller model",
        )


# ---------------------------------------------------------------- a training step


def _try_a_step(
    settings: Settings, network: nn.Module, inputs: tuple[int, ...], samples: int, device: torch.device | None,
    clip: Callable[..., None] | None,
) -> None:  # fmt: skip
    """One step of everything, on random images. The engine is left out where the device is not known.

    Raises:
        UserError: some part of it fails.
    """
    _try_forward_and_backward(settings, network, inputs)
    cpu = torch.device("cpu")
    if clip is not None:
        gradients = [parameter.grad[None] for parameter in network.parameters() if parameter.grad is not None]
        clipping = partial(check_clip, settings.clip, partial(clip, gradients))
        construct("clip", clipping, settings.clip, settings.trust)
    constructor = optimizer_constructor(settings)
    optimizer = build_optimizer(settings, constructor, network, cpu, plain=network)
    scheduler = build_scheduler(settings, optimizer, samples)  # before the first step, since it counts steps
    step = partial(check_optimizer_step, settings.optimizer, update_of(optimizer))
    construct("optimizer", step, settings.optimizer, settings.trust)
    if scheduler is not None:
        construct("scheduler", scheduler.step, settings.scheduler, settings.trust)
    dropout = generators([settings.seed], "dropout", cpu)
    replicas = build_replicas(
        settings, [network], dropout, optimizer=constructor, sample=torch.zeros(4, *inputs), device=cpu
    )
    if device is None:
        return
    engine = choose_engine(settings.train.engine, device, [optimizer], [], replicas.uses_global_rng)
    if settings.train.engine == "compiled":  # is there a compiler?
        forward = engine.forward(nn.ReLU())
        engine.step(lambda rows, _: StepOutcome(forward(rows), rows))(torch.zeros(2, device=device), False)


def _try_forward_and_backward(settings: Settings, network: nn.Module, inputs: tuple[int, ...]) -> None:
    """A forward and a backward pass, and each activation examined with the inputs that it is given there.

    Raises:
        UserError: a pass fails, an activation does not do what one has to do, or the images are changed in place.
    """
    x = torch.randn(2, *inputs, generator=torch.Generator().manual_seed(0))
    before, recorder = x.clone(), InputRecorder(network)
    failure: BaseException | None = None
    try:
        with recorder.recording():
            logits = network.train()(x)
            with recomputing(network):
                logits.sum().backward()
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # of any kind, in the user's own code
        failure = error
    problems = [
        problem
        for group, choice in _activations(settings)
        for problem in _examine_in_place(settings, group, choice, recorder, failure)
    ]
    if problems:
        raise UserError.of(problems) from failure
    if failure is not None:
        names = f"activation={settings.activation.name} model={settings.model.name}"
        raise blame(failure, settings, names) from failure
    if not torch.equal(x, before):
        raise UserError(
            "writes to the images that it is given",
            where=f"model={settings.model.name}",
            how="x = x - 0.5, say, and not x.sub_(0.5)",
        )


# ---------------------------------------------------------------- activations


def _activations(settings: Settings) -> list[tuple[str, Choice]]:
    """Group -> choice, of the one or two activations of the run."""
    both = (("activation", settings.activation), ("upper_activation", settings.upper_activation))
    return [(group, choice) for group, choice in both if choice.target]


def _examine_activations(settings: Settings) -> bool:
    """Examines each activation by itself, before anything is computed with it.

    One that takes nothing but the outputs of convolutions fails here, and is examined in its place in the network.

    Raises:
        UserError: with everything that is wrong.
    """
    problems: list[Problem] = []
    z = 2 * torch.randn(16, _UNITS, generator=torch.Generator().manual_seed(0))
    for group, choice in _activations(settings):
        fingerprint = _fingerprint(choice, settings.trust)
        if fingerprint in _sound:
            continue
        module = activation_factory(choice, settings.trust, group)(_UNITS)
        try:
            complaints = examine(module, z)
        except (Exception, SystemExit):  # if it is one, it shows again in its place in the network
            continue
        if not complaints and fingerprint:
            _sound.add(fingerprint)
        problems += _as_problems(settings, group, choice, [c for c in complaints if c.kind != RESHAPES])
    if problems:
        raise UserError.of(problems)
    return True


def _fingerprint(choice: Choice, trust: Sequence[str]) -> str:
    """What tells an activation from another, the digest of the user's own code included; empty if that is not known."""
    known = choice.content is not None or not is_own(choice.target)
    return repr((choice.target, sorted(choice.params.items()), choice.content, tuple(trust))) if known else ""


def _examine_in_place(
    settings: Settings, group: str, choice: Choice, recorder: InputRecorder, failure: BaseException | None
) -> list[Problem]:
    """What is wrong with an activation at its places in the network, each complaint once.

    Args:
        settings: of the run.
        group: `activation` or `upper_activation`.
        choice: of that group.
        recorder: what the activations of the network were given.
        failure: what the pass through the network failed with.
    """
    kind = type(activation_factory(choice, settings.trust, group)(_UNITS))
    complaints: list[Violation] = []
    for module, z in recorder.inputs:
        if type(module) is kind:
            try:
                complaints += examine(module, z)
            except (Exception, SystemExit) as error:
                if failure is not None:  # without one, it only lacks something that it has within the network
                    complaints.append(Violation("", f"fails: {in_a_line(error)}", ""))
    ours = str(settings.model.target).startswith("actbench.")
    complaints = [c for c in complaints if c.kind != RESHAPES or ours or failure is not None]
    if failure is not None and any(c.kind == WRITES for c in complaints):  # this is why it failed
        what = f"changes its input in place, and training fails: {first_line(failure)}"
        complaints = [Violation("", what, c.how) if c.kind == WRITES else c for c in complaints]
    return _as_problems(settings, group, choice, list({c.what: c for c in complaints}.values()))


def _as_problems(settings: Settings, group: str, choice: Choice, complaints: Sequence[Violation]) -> list[Problem]:
    """The complaints as problems of the choice. Writing to the input disturbs nothing but measurements."""
    problems = []
    for complaint in complaints:
        what, how = f"{choice.target} {complaint.what}", complaint.how
        if complaint.kind == WRITES:
            if not settings.probe:
                continue
            what, how = f"{what}, and z is measured there", f"{how}; or probe=false"
        problems.append(Problem(what, f"{group}={choice.name}", how))
    return problems
