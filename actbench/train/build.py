"""Settings -> Training: builds the data, networks, optimizers and engine of a run."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import torch

from actbench.custom import loading
from actbench.custom.trust import is_own
from actbench.datasets import Splits
from actbench.datasets.memory import SHARE, size
from actbench.datasets.streaming import Streamed, streamed
from actbench.measures import own
from actbench.settings import GROUPS, Settings
from actbench.stacking import activation_sites
from actbench.train import Training, Workers
from actbench.train.checks import check_batches
from actbench.train.construct import optional_constructor
from actbench.train.engines import choose_engine
from actbench.train.machine import allow_tf32, choose_device
from actbench.train.networks import build_components, build_network, build_replicas
from actbench.train.optimizers import build_optimizer, build_scheduler, optimizer_constructor, steps_each_batch
from actbench.train.seeding import generators


def build(settings: Settings) -> Training:
    """Builds everything that a run with these settings trains with, on the device that they ask for.

    Raises:
        UserError: something cannot be built. `checks.check` finds most of these errors before the first run.
    """
    train, seeds = settings.train, settings.seeds
    device = choose_device(train.device, train.precision)
    allow_tf32(train.precision == "tf32")
    splits = on_device(load_splits(settings), device)
    check_batches(settings, len(splits.train_y))

    components = build_components(settings)
    networks = [build_network(settings, splits.inputs, splits.classes, seed, components) for seed in seeds]
    initial_activations = copy.deepcopy(activation_sites(networks[0]))  # before they are trained
    dropout, augmentation = generators(seeds, "dropout", device), generators(seeds, "augment", device)
    optimizer = optimizer_constructor(settings)
    threads = torch.get_num_threads()
    cores = usable_cores(settings, device, threads)
    network = build_replicas(
        settings, networks, dropout, optimizer=optimizer, sample=splits.train_x[:4].cpu(), device=device, cores=cores,
    ).to(device)  # fmt: skip

    optimizers = [build_optimizer(settings, optimizer, g.network, device, plain=g.template[0]) for g in network.groups]
    schedulers = [build_scheduler(settings, optimizer, len(splits.train_y)) for optimizer in optimizers]
    random_numbers = [*dropout, *augmentation]
    number = min(len(network.shards), cores)
    return Training(
        seeds=seeds,
        network=network,
        components=components,
        initial_activations=initial_activations,
        workers=Workers(number, max(1, threads // number) if device.type == "cpu" else 1),
        optimizers=optimizers,
        schedulers=[scheduler for scheduler in schedulers if scheduler is not None],
        schedule_by_step=steps_each_batch(settings),
        clip=optional_constructor("clip", settings.clip, settings.trust),
        augment=optional_constructor("augment", settings.augment, settings.trust),
        splits=splits,
        order=generators(seeds, "order"),
        dropout=dropout,
        augmentation=augmentation,
        epochs=train.epochs,
        batch_size=train.batch_size,
        eval_batch_size=train.eval_batch_size,
        bf16=train.precision == "bf16",
        probe=settings.probe,
        probe_every=settings.probe_every,
        device=device,
        engine=choose_engine(
            train.engine,
            device,
            optimizers,
            random_numbers,
            network.uses_global_rng,
            streamed=isinstance(splits.train_x, Streamed),
        ),
        pretrained=settings.weights is not None,
        measurements=own.load(settings.measures, settings.trust) if settings.probe else (),
    )


def on_device(splits: Splits, device: torch.device) -> Splits:
    """The data on the device that trains; samples for which it has no room stay where they are, and are streamed."""
    if device.type == "cpu":
        return splits
    needed = 4 * math.prod(splits.inputs) * sum(len(y) for y in (splits.train_y, splits.val_y, splits.test_y))
    if device.type == "cuda" and needed > SHARE * (free := torch.cuda.mem_get_info(device)[0]):
        why = f"{size(needed)} are needed on {device}, more than {SHARE:.0%} of the {size(free)} that are free"
        return _streamed(splits, why).to(device)
    try:
        return splits.to(device)
    except torch.OutOfMemoryError:
        return _streamed(splits, f"{device} has no memory for them").to(device)


def _streamed(splits: Splits, why: str) -> Splits:
    return replace(
        splits, train_x=streamed(splits.train_x, why), val_x=streamed(splits.val_x, why),
        test_x=streamed(splits.test_x, why),
    )  # fmt: skip


def load_splits(settings: Settings) -> Splits:
    """The dataset of the settings. A process loads it once, and again if a job has written to it."""
    splits = loading.load_splits(settings.dataset, settings.trust)
    return replace(splits, note=settings.dataset_note) if settings.dataset_note else splits


def usable_cores(settings: Settings, device: torch.device, threads: int) -> int:
    """The largest number of shards that may train side by side, each in its own thread.

    It is 1 with the user's own code, which may share state between the seeds, and with torch's compiler, which is not
    made for several threads.
    """
    has_own_code = any(is_own(getattr(settings, group).target) for group in GROUPS if group != "dataset")
    return threads if device.type == "cpu" and not has_own_code and settings.train.engine != "compiled" else 1
