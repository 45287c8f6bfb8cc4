"""Settings -> Parts: everything built, nothing left to configure. The only place that calls what YAML names."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from actbench.activations.examination import RESHAPES, WRITES, Complaint, Seen, examine
from actbench.custom import loading
from actbench.custom.isolation import isolated
from actbench.custom.sources import blamed, is_own, place, told
from actbench.custom.targets import resolve
from actbench.datasets import TRAINING_SAMPLES, Splits
from actbench.errors import Problem, UserError, in_a_line
from actbench.inits import initialise
from actbench.measures import own
from actbench.models import Components
from actbench.settings import GROUPS, Choice, Settings
from actbench.stacking import Alone, NotStackable, Replicas, assemble
from actbench.train import Training, Workers
from actbench.train.engines import choose_engine
from actbench.train.machine import allow_tf32, choose_device, memory_of_machine
from actbench.train.outcome import StepOutcome
from actbench.train.seeding import generator, generators, global_seed
from actbench.train.updates import spare_dynamo, update_of

UNITS = "units"  # as the value of an activation's parameter: as many as the layer has units
TOTAL_STEPS = "total_steps"  # as the value of a scheduler's parameter: how often it is stepped in the run


def build(settings: Settings) -> Training:
    """Builds all that the settings ask for, on the device they ask for.

    Raises:
        UserError: something cannot be built; all that can be known before the data are loaded is checked first.
    """
    device = _device(settings)
    allow_tf32(settings.train.precision == "tf32")
    splits = load_splits(settings)
    _check_batches(settings, len(splits.train_y))
    seeds = settings.seeds
    networks = [build_network(settings, splits.inputs, splits.classes, seed) for seed in seeds]
    dropout = generators(seeds, "dropout", device)
    optimizer = _partial("optimizer", settings.optimizer, settings.trust)
    threads = torch.get_num_threads()
    cores, sample = cores_of(settings, device, threads), splits.train_x[:4]
    replicas = _replicas(settings, networks, dropout, _class(optimizer), sample, device, cores).to(device)
    replicas.plain_network = partial(_plain_network, settings, splits.inputs, splits.classes, replicas)
    number = len(replicas.shares)
    workers = Workers(number, max(1, threads // number) if device.type == "cpu" else 1)
    optimizers = [_optimizer(settings, optimizer, list(member.parameters()), device) for member in replicas.members]
    schedulers = [s for s in (_scheduler(settings, o, len(splits.train_y)) for o in optimizers) if s is not None]
    augmentation = generators(seeds, "augment", device)
    return Training(
        seeds=seeds,
        network=replicas,
        workers=workers,
        optimizers=optimizers,
        schedulers=schedulers,
        schedule_by_step=settings.scheduler.params.get("interval") == "step",
        clip=_optional("clip", settings.clip, settings.trust),
        augment=_optional("augment", settings.augment, settings.trust),
        splits=splits.to(device),
        order=generators(seeds, "order"),
        dropout=dropout,
        augmentation=augmentation,
        epochs=settings.train.epochs,
        batch_size=settings.train.batch_size,
        eval_batch_size=settings.train.eval_batch_size,
        bf16=settings.train.precision == "bf16",
        probe=settings.probe,
        probe_every=settings.probe_every,
        device=device,
        engine=choose_engine(settings.train.engine, device, optimizers, [*dropout, *augmentation], _draws(replicas)),
        measurements=own.load(settings.measures, settings.trust) if settings.probe else (),
    )


def _plain_network(
    settings: Settings, inputs: tuple[int, ...], classes: int, replicas: Replicas, number: int
) -> nn.Module:
    """The ordinary module of seed number `number` with its current weights, on the CPU."""
    network = build_network(settings, inputs, classes, settings.seeds[number])
    network.load_state_dict(replicas.state_dicts()[number])
    return network


def cores_of(settings: Settings, device: torch.device, threads: int) -> int:
    """How many shares of the seeds may train side by side.

    Of code of the user's own nobody knows what it shares; torch's compiler is not for several threads.
    """
    own = any(is_own(getattr(settings, group).target) for group in GROUPS if group != "dataset")
    return threads if device.type == "cpu" and not own and settings.train.engine != "compiled" else 1


def _draws(replicas: Replicas) -> bool:
    return any(isinstance(member, Alone) and member.draws for member in replicas.members)


def _device(settings: Settings) -> torch.device:
    device = choose_device(settings.train.device)
    if settings.train.precision == "tf32" and device.type != "cuda":
        raise UserError(
            f"only CUDA devices have it, and this is {device.type}",
            where="train.precision=tf32",
            how="train.precision=fp32",
        )
    return device


def _replicas(
    settings: Settings, networks: list[nn.Module], dropout: list[torch.Generator], optimizer: type,
    sample: torch.Tensor, device: torch.device, cores: int = 1,
) -> Replicas:  # fmt: skip
    """The seeds in the way that `train.execution` and `train.memory_format` ask for.

    Raises:
        UserError: `stacked` was insisted on, and cannot be had.
    """
    train = settings.train
    try:
        return assemble(
            networks, dropout, optimizer=optimizer, sample=sample, device=device,
            execution=train.execution, memory_format=train.memory_format, batch=train.batch_size, cores=cores,
        )  # fmt: skip
    except NotStackable as reason:
        raise UserError(
            f"cannot be had: {reason}", where="train.execution=stacked", how="train.execution=auto"
        ) from None


@isolated()
def check(settings: Settings, *, quick: bool = False) -> None:
    """Finds what `build` would stumble over, at the price of building one small part of it.

    Args:
        quick: leave out what takes seconds, the data and the optimizer: something else is wrong already.

    Raises:
        UserError: with every mistake that is found.
    """
    problems: list[Problem] = []

    def attempt(step: Callable[[], Any]) -> Any:
        try:
            return step()
        except UserError as error:
            problems.extend(error.problems)
            return None

    device = attempt(lambda: _device(settings))
    attempt(lambda: _optional("clip", settings.clip, settings.trust))
    attempt(lambda: _optional("augment", settings.augment, settings.trust))
    attempt(lambda: own.load(settings.measures, settings.trust))
    splits = None if quick else attempt(lambda: load_splits(settings))
    inputs, classes = ((1, 28, 28), 10) if splits is None else (splits.inputs, splits.classes)
    sound = attempt(lambda: _examine_activations(settings))
    network = attempt(lambda: build_network(settings, inputs, classes, settings.seed)) if sound else None
    samples = TRAINING_SAMPLES.get(settings.dataset.name, 55_000) if splits is None else len(splits.train_y)
    samples = min(samples, settings.dataset.params.get("train_size") or samples)
    if network is not None:
        attempt(lambda: _check_memory(settings, network))
    if network is not None and device is not None and not quick and not problems:
        attempt(lambda: _try_network(settings, network, inputs, samples, device))
    if splits is not None or settings.dataset.name in TRAINING_SAMPLES:
        attempt(lambda: _check_batches(settings, samples))
    if problems:
        raise UserError.of(problems)


def _try_network(
    settings: Settings, network: nn.Module, inputs: tuple[int, ...], samples: int, device: torch.device
) -> None:
    """One step of everything, on noise."""
    _try_forward_and_backward(settings, network, inputs)
    constructor = _partial("optimizer", settings.optimizer, settings.trust)
    optimizer = _optimizer(settings, constructor, list(network.parameters()), torch.device("cpu"))
    scheduler = _scheduler(settings, optimizer, samples)  # before the first step: it counts them
    _built("optimizer", update_of(optimizer), settings.optimizer, settings.trust)
    if scheduler is not None:
        _built("scheduler", scheduler.step, settings.scheduler, settings.trust)
    cpu = torch.device("cpu")
    noise = generators([settings.seed], "dropout", cpu)
    replicas = _replicas(settings, [network], noise, _class(constructor), torch.zeros(4, *inputs), cpu)
    engine = choose_engine(settings.train.engine, device, [optimizer], [], _draws(replicas))
    if settings.train.engine == "compiled":  # is there a compiler?
        forward = engine.forward(nn.ReLU())
        engine.step(lambda rows, _: StepOutcome(forward(rows), rows))(torch.zeros(2, device=device), False)


def _try_forward_and_backward(settings: Settings, network: nn.Module, inputs: tuple[int, ...]) -> None:
    """With a look at what each activation is given, by which it is examined once more in its place.

    Raises:
        UserError: something fails, an activation is not what it has to be, or the images are written to.
    """
    x = torch.randn(2, *inputs, generator=torch.Generator().manual_seed(0))
    given, seen = x.clone(), Seen(network)
    failure: Exception | None = None
    try:
        with seen.listening():
            network.train()(x).sum().backward()
    except UserError:
        raise
    except Exception as error:  # of whatever kind, in code of the user's own
        failure = error
    wrong = [p for group, choice in _activations(settings) for p in _examined(settings, group, choice, seen, failure)]
    if wrong:
        raise UserError.of(wrong) from failure
    names = f"activation={settings.activation.name} model={settings.model.name}"
    if failure is not None:
        raise _blaming(failure, settings, names) from failure
    if not torch.equal(x, given):
        raise UserError(
            "writes to the images that it is given",
            where=f"model={settings.model.name}",
            how="x = x - 0.5, say, and not x.sub_(0.5)",
        )


def _activations(settings: Settings) -> list[tuple[str, Choice]]:
    both = (("activation", settings.activation), ("upper_activation", settings.upper_activation))
    return [(group, choice) for group, choice in both if choice.target]


_UNITS = 8  # of the layer that an activation is first examined in


def _examine_activations(settings: Settings) -> bool:
    """Each by itself, before anything is computed with it; what takes the outputs of convolutions only, is not yet.

    Raises:
        UserError: with everything that is wrong.
    """
    wrong: list[Problem] = []
    z = 2 * torch.randn(16, _UNITS, generator=torch.Generator().manual_seed(0))
    for group, choice in _activations(settings):
        module = activation_factory(choice, settings.trust, group)(_UNITS)
        try:
            complaints = examine(module, z)
        except Exception:  # whatever it is, it is seen again in its place
            continue
        wrong += _told(settings, group, choice, [c for c in complaints if c.kind != RESHAPES])
    if wrong:
        raise UserError.of(wrong)
    return True


def _examined(settings: Settings, group: str, choice: Choice, seen: Seen, failure: Exception | None) -> list[Problem]:
    """What is wrong with an activation where it stands in the network, each complaint once."""
    kind = type(activation_factory(choice, settings.trust, group)(_UNITS))
    complaints: list[Complaint] = []
    for module, z in seen.inputs:
        if type(module) is kind:
            try:
                complaints += examine(module, z)
            except Exception as error:
                if failure is not None:  # without one it was only in need of something that is not there alone
                    complaints.append(Complaint("", f"fails: {in_a_line(error)}", ""))
    ours = str(settings.model.target).startswith("actbench.")
    kept = [c for c in complaints if c.kind != RESHAPES or ours or failure is not None]
    if failure is not None and any(c.kind == WRITES for c in kept):  # then that is why, with or without probes
        what = f"changes its input in place, and training fails: {_first_line(failure)}"
        kept = [Complaint("", what, c.how) if c.kind == WRITES else c for c in kept]
    return _told(settings, group, choice, list({c.what: c for c in kept}.values()))


def _told(settings: Settings, group: str, choice: Choice, complaints: Sequence[Complaint]) -> list[Problem]:
    """A complaint in words; writing to the input only disturbs the probes."""
    told = []
    for complaint in complaints:
        what, how = f"{choice.target} {complaint.what}", complaint.how
        if complaint.kind == WRITES:
            if not settings.probe:
                continue
            what, how = f"{what}, which the probes look at", f"{how}; or probe=false"
        told.append(Problem(what, f"{group}={choice.name}", how))
    return told


def _check_memory(settings: Settings, network: nn.Module) -> None:
    """Whether the machine has room for every seed's weights, gradients and two moments: not tried, but counted."""
    needed = 4 * 4 * settings.num_seeds * sum(parameter.numel() for parameter in network.parameters())
    there = memory_of_machine()
    if there is not None and needed > there:
        raise UserError(
            f"weights, gradients and moments take {needed / 1e9:,.0f} GB, and this machine has {there / 1e9:,.0f}",
            where=f"num_seeds={settings.num_seeds} model={settings.model.name}",
            how="fewer seeds at a time (seed=5 num_seeds=5 adds to them), or a smaller model",
        )


def _check_batches(settings: Settings, n: int) -> None:
    batch = settings.train.batch_size
    if batch > n:
        raise UserError(
            f"is larger than the training set of {n:,} samples",
            where=f"train.batch_size={batch}",
            how=f"at most {n}",
        )
    if settings.norm.name == "batch" and (n % batch == 1 or batch == 1):
        raise UserError(
            f"leaves a batch of one sample ({n:,} = {n // batch} × {batch} + {n % batch}), and norm=batch needs two",
            where=f"train.batch_size={batch}",
            how=f"train.batch_size={batch + 1}",
        )


# ---------------------------------------------------------------- data


def load_splits(settings: Settings) -> Splits:
    """The dataset of the settings; a process loads it once, and again where a job has written to it."""
    return loading.load_splits(settings.dataset, settings.trust)


# ---------------------------------------------------------------- networks


def build_network(settings: Settings, inputs: tuple[int, ...], classes: int, seed: int) -> nn.Module:
    """The ordinary module of one seed, initialised from that seed's generator, on the CPU."""
    upper = settings.upper_activation
    components = Components(
        activation=activation_factory(settings.activation, settings.trust),
        upper_activation=activation_factory(upper, settings.trust, "upper_activation") if upper.target else None,
        split=settings.split,
        norm=_optional("norm", settings.norm, settings.trust),
        dropout=settings.dropout,
    )
    model = _partial("model", settings.model, settings.trust)
    params = dict(settings.init.params)
    gain = params.pop("gain", "auto")
    scheme = _partial("init", Choice(settings.init.name, settings.init.target, params), settings.trust)
    with global_seed(seed, "init"):  # what constructors draw, torch's default init above all
        network = _built(
            "model", lambda: model(components, inputs=inputs, classes=classes), settings.model, settings.trust
        )
    if not isinstance(network, nn.Module):
        raise UserError(
            f"{settings.model.target} returned {type(network).__name__}",
            where=f"model={settings.model.name}",
            how="return a torch.nn.Module",
        )
    try:
        initialise(network, scheme=scheme, gain=gain, generator=generator(seed, "init"))
    except UserError:
        raise
    except Exception as error:  # of the init, or of the activation whose gain it asks for
        raise _blaming(error, settings, "init", "actbench list init") from error
    return network


def activation_factory(choice: Choice, trust: Sequence[str], group: str = "activation") -> Callable[[int], nn.Module]:
    """Units -> a fresh module at every call. A parameter whose value is `units` gets their number.

    Raises:
        UserError: the module cannot be built, or would work in place, which would hide z from the probes.
    """
    if choice.params.get("inplace"):
        raise UserError("would overwrite what the probes look at", where=f"{group}.inplace=true", how="leave it out")
    constructor = _partial(group, choice, trust)

    def make(units: int) -> nn.Module:
        sized = {key: units for key, value in choice.params.items() if value == UNITS}
        return _built(group, lambda: constructor(**sized), choice, trust)

    if not isinstance(make(1), nn.Module):
        raise UserError(f"{choice.target} does not make a torch.nn.Module", where=f"{group}={choice.name}")
    return make


# ---------------------------------------------------------------- optimizer and scheduler


def _class(constructor: partial[Any]) -> type:
    if not isinstance(constructor.func, type):
        raise UserError(f"{constructor.func} is not a class", where="optimizer", how="a `_target_` that is one")
    return constructor.func


def _optimizer(
    settings: Settings, constructor: partial[Any], parameters: list[nn.Parameter], device: torch.device
) -> torch.optim.Optimizer:
    spare_dynamo()
    fused = constructor.keywords.get("fused")
    without = partial(constructor, fused=None) if fused and device.type not in ("cpu", "cuda") else constructor
    return _built("optimizer", lambda: without(parameters), settings.optimizer, settings.trust)


def _scheduler(settings: Settings, optimizer: torch.optim.Optimizer, samples: int) -> LRScheduler | None:
    if settings.scheduler.target is None:
        return None
    params = {key: value for key, value in settings.scheduler.params.items() if key != "interval"}
    by_step = settings.scheduler.params.get("interval") == "step"
    total = settings.train.epochs * (math.ceil(samples / settings.train.batch_size) if by_step else 1)
    params = {key: total if value == TOTAL_STEPS else value for key, value in params.items()}
    constructor = _partial(
        "scheduler", Choice(settings.scheduler.name, settings.scheduler.target, params), settings.trust
    )
    scheduler = _built("scheduler", lambda: constructor(optimizer), settings.scheduler, settings.trust)
    if not isinstance(scheduler, LRScheduler):
        raise UserError(
            f"{settings.scheduler.target} returned {type(scheduler).__name__}",
            where=f"scheduler={settings.scheduler.name}",
            how="return a torch.optim.lr_scheduler.LRScheduler",
        )
    return scheduler


# ---------------------------------------------------------------- instantiating


def _optional(group: str, choice: Choice, trust: Sequence[str]) -> partial[Any] | None:
    return None if choice.target is None else _partial(group, choice, trust)


def _partial(group: str, choice: Choice, trust: Sequence[str]) -> partial[Any]:
    """What the choice names, with its parameters, not yet called.

    Raises:
        UserError: the target is not one that the group may have, or is not there.
    """
    with isolated() if is_own(choice.target) else nullcontext():  # an import happens once
        return partial(resolve(group, choice, trust), **copy.deepcopy(choice.params))  # for code that changes a list


def _built(group: str, step: Callable[[], Any], choice: Choice | None = None, trust: Sequence[str] = ()) -> Any:
    """What `step` returns; whatever it raises is the user's mistake: of a value, or in code of their own."""
    try:
        return step()
    except UserError:
        raise
    except Exception as error:
        if choice is not None and is_own(choice.target):
            where = f"{group}={choice.name}"
            raise UserError(told(error, trust), where=where, how=f"mend {choice.target}, or its parameters") from error
        if "allocate memory" in str(error):
            raise UserError("there is not enough memory for it", where=group, how="fewer or smaller layers") from error
        expected = isinstance(error, (TypeError, ValueError, RuntimeError, ArithmeticError, AssertionError))
        what = _first_line(error) if expected else in_a_line(error)
        raise UserError(what, where=group, how=f"actbench list {group}") from error


def _blaming(error: Exception, settings: Settings, where: str, how: str = "") -> UserError:
    """What went wrong, with the line of the user's code that it came from, and the choice that this belongs to."""
    if not place(error, settings.trust):
        return UserError(_first_line(error), where=where, how=how)
    return UserError(told(error, settings.trust), where=blamed(error, settings) or where, how="mend it there")


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
