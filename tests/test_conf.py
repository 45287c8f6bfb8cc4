"""Every file of conf/ composes, builds and takes a training step, so that what is added enrols itself."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import torch
import yaml
from helpers import build_training, random_splits, settings_of

import actbench
from actbench.choices import packaged_conf
from actbench.custom import loading
from actbench.datasets import Splits
from actbench.errors import UserError
from actbench.train import Control, build, fit
from actbench.train.networks import build_network

CONF = packaged_conf()
FILES = sorted(path.relative_to(CONF) for path in CONF.rglob("*.yaml") if path.name != "config.yaml")
NEED_MORE = (
    "images",
    "arrays",
    "csv",
    "torchvision",
    "medmnist",
)  # a path or a name: tests of their own give them some
SMALL = ["num_seeds=2", "train.batch_size=20", "train.epochs=2"]


def small_images(n=60):
    """28×28, for models that pool."""
    return random_splits(train=n, side=28)


def overrides_of(file: Path) -> list[str]:
    """What chooses the file, with a network that is as small as its parameters can be made, whatever they are called."""
    group, name = file.parent.name, file.stem
    if group == "model":
        content = yaml.safe_load((CONF / file).read_text())
        return [f"model={name}", *smaller(content)]
    if group == "experiment":
        return [f"experiment={name}", "train.epochs=1", *smaller(settings_of(f"experiment={name}").model.params)]
    return [f"{group}={name}", "model.width=8"]


def smaller(params: dict) -> list[str]:
    """Overrides that halve every whole number of a model, and those of its lists, until it is at most 8.

    Numbers that have to divide each other (heads a width, say) still do, as far as powers of two go.
    """

    def halved(value):
        if isinstance(value, list):
            return [halved(item) for item in value]
        while isinstance(value, int) and value > 8:
            value //= 2
        return value

    return [f"model.{key}={halved(value)}".replace(" ", "") for key, value in params.items() if halved(value) != value]


OF_OWN_NETWORKS = ("activation/own.yaml",)
TRAINED = [
    f
    for f in FILES
    if f.parent.name not in ("dataset", "sweep", "search", "launcher") and str(f) not in OF_OWN_NETWORKS
]


@pytest.mark.parametrize("file", TRAINED, ids=str)
def test_every_choice_composes_builds_and_trains_a_step(monkeypatch, file):
    training = build_training(monkeypatch, small_images(), *SMALL, *overrides_of(file))
    before = {name: p.clone() for name, p in training.network.named_parameters()}
    epochs = list(fit(training, control=Control()))
    assert epochs[-1].number == training.epochs
    assert all(torch.isfinite(torch.tensor(record.val_loss)) for record in epochs[-1].records), file
    assert any(not torch.equal(before[name], p) for name, p in training.network.named_parameters())
    convolves = any(isinstance(module, torch.nn.Conv2d) for module in training.network.modules())
    way = "seed by seed, channels_last: on a CPU, convolutions are no faster stacked" if convolves else "stacked"
    assert training.network.execution == way


@pytest.mark.parametrize("file", [f for f in FILES if f.parent.name == "dataset"], ids=str)
def test_every_dataset_builds(monkeypatch, file):
    """With a stand-in for files that a machine may not have; the real ones are in test_datasets."""
    if file.stem in NEED_MORE:
        with pytest.raises(UserError, match=r"is missing|is not installed"):
            build.load_splits(settings_of(f"dataset={file.stem}"))
        return
    import importlib

    import numpy as np

    mnist = importlib.import_module("actbench.datasets.mnist")
    rng = np.random.default_rng(0)

    def fake(_family):
        def arrays(n):
            return rng.integers(0, 255, (n, 28, 28), dtype=np.uint8), np.arange(n).astype(np.uint8) % 10

        return arrays(6000), arrays(100)

    monkeypatch.setattr(mnist, "load", fake)
    loading._loaded.cache_clear()
    splits = build.load_splits(settings_of(f"dataset={file.stem}", "dataset.train_size=50"))
    loading._loaded.cache_clear()
    assert isinstance(splits, Splits)
    assert len(splits.train_y) == 50
    assert splits.inputs == ((1, 40) if file.stem == "mnist1d" else (1, 28, 28))
    assert splits.classes == 10


def test_config_names_every_group_and_folders_have_no_other():
    from actbench.settings import GROUPS

    folders = {path.parent.name for path in CONF.glob("*/*.yaml")}
    assert folders == {*GROUPS, "experiment", "sweep", "search"} - {"upper_activation"}


@pytest.mark.parametrize("file", FILES, ids=str)
def test_every_file_begins_with_a_line_that_says_what_it_is(file):
    lines = [x for x in (CONF / file).read_text().splitlines() if not x.startswith("# @package")]
    assert lines[0].startswith("# ")
    assert len(lines[0]) < 140


@pytest.mark.parametrize("name", [f.stem for f in FILES if f.parent.name == "optimizer"])
def test_optimizers_have_the_defaults_of_torch(name):
    """What the file says is what torch would do by itself, but for the kernel and for what the file's name says."""
    import inspect

    choice = settings_of(f"optimizer={name}").optimizer
    own = {"momentum": {"momentum": 0.9}, "nesterov": {"momentum": 0.9, "nesterov": True}}.get(name, {})
    constructor = getattr(torch.optim, choice.target.rpartition(".")[2])
    defaults = {k: p.default for k, p in inspect.signature(constructor).parameters.items()}
    for key, value in choice.params.items():
        if key not in ("fused", "decay"):  # which are ours, and decided by the device
            expected = own.get(key, defaults[key])
            assert value == (list(expected) if isinstance(expected, tuple) else expected), key
    has_fused = "fused" in defaults
    assert choice.params.get("fused", False) is has_fused


# ---------------------------------------------------------------- models


def count(network, kind):
    return sum(isinstance(module, kind) for module in network.modules())


def network_of(*overrides):
    return build_network(settings_of(*overrides), (1, 28, 28), 10, 0)


def test_the_default_is_784_512_10():
    shapes = {name: tuple(p.shape) for name, p in network_of().named_parameters()}
    assert shapes == {
        "hidden1.linear.weight": (512, 784), "hidden1.linear.bias": (512,),
        "output.weight": (10, 512), "output.bias": (10,),
    }  # fmt: skip


def test_cnn_has_the_stages_that_were_asked_for():
    shapes = {name: tuple(p.shape) for name, p in network_of("model=cnn").named_parameters() if "weight" in name}
    assert shapes == {
        "conv1.conv.weight": (16, 1, 3, 3), "conv2.conv.weight": (32, 16, 3, 3),
        "dense.linear.weight": (128, 32 * 7 * 7), "output.weight": (10, 128),
    }  # fmt: skip


def test_hybrid_alternates_relu_and_gelu_in_each_block():
    network = network_of("model=hybrid", "model.blocks=2", "model.width=6")
    kinds = [type(m).__name__ for m in network.modules() if isinstance(m, (torch.nn.ReLU, torch.nn.GELU))]
    assert kinds == ["ReLU", "GELU", "ReLU", "GELU"]
    other = network_of("model=hybrid", "model.width=6", "upper_activation=mish", "activation=elu")
    assert (count(other, torch.nn.ELU), count(other, torch.nn.Mish)) == (1, 1)
    same = network_of("model=hybrid", "model.width=6", "upper_activation=none")
    assert count(same, torch.nn.ReLU) == 2


@pytest.mark.parametrize(
    ("depth", "split", "lower"),
    [(2, 0.5, 1), (3, 0.5, 2), (4, 0.5, 2), (5, 0.5, 3), (4, 0.25, 1), (4, 0.75, 3), (10, 0.9, 9)],
)
def test_the_upper_part_uses_the_other_activation(depth, split, lower):
    network = network_of(f"model.depth={depth}", "model.width=4", "upper_activation=gelu", f"split={split}")
    kinds = [type(m).__name__ for m in network.modules() if isinstance(m, (torch.nn.ReLU, torch.nn.GELU))]
    assert kinds == ["ReLU"] * lower + ["GELU"] * (depth - lower)


def test_deep_cnn_is_the_network_of_mish_s_depth_test():
    network = network_of("experiment=mish_depth")
    shapes = {name: tuple(p.shape) for name, p in network.named_parameters() if "weight" in name and p.ndim > 1}
    assert shapes == {
        "conv1.conv.weight": (20, 1, 5, 5), "conv2.conv.weight": (50, 20, 5, 5),
        "hidden1.linear.weight": (500, 50 * 10 * 10),
        **{f"hidden{number}.linear.weight": (500, 500) for number in range(2, 13)}, "output.weight": (10, 500),
    }  # fmt: skip
    assert [name for name, _ in network.conv1.named_children()] == ["conv", "activation"]
    assert [name for name, _ in network.conv2.named_children()] == ["conv", "activation", "pool", "dropout"]
    assert [name for name, _ in network.hidden12.named_children()] == ["linear", "norm", "activation", "dropout"]


def test_a_deep_cnn_whose_kernels_eat_the_image_is_an_error():
    with pytest.raises(UserError, match="2 convolutions leave nothing of 28×28 pixels") as caught:
        network_of("model=deep_cnn", "model.kernel_size=15")
    assert caught.value.problems[0].where == "model.kernel_size=15"
    assert (
        network_of("model=deep_cnn", "model.kernel_size=13", "model.width=4").hidden1.linear.in_features == 50 * 2 * 2
    )


def test_norm_is_before_and_dropout_after_the_activation():
    names = [name for name, _ in network_of("norm=batch", "dropout=0.3").hidden1.named_children()]
    assert names == ["linear", "norm", "activation", "dropout"]
    conv = [name for name, _ in network_of("model=cnn", "norm=layer", "dropout=0.3").conv1.named_children()]
    assert conv == ["conv", "norm", "activation", "pool", "dropout"]


def test_fifty_layers_are_no_limit():
    network = network_of("model.depth=60", "model.width=4")
    assert count(network, torch.nn.ReLU) == 60
    sites = [module for module in network.modules() if isinstance(module, torch.nn.ReLU)]
    assert len({id(site) for site in sites}) == 60  # a fresh instance at each


def test_the_deep_preset_keeps_signals_alive_at_the_start():
    """He init with the activation's own gain: after 50 layers the outputs are neither gone nor exploded."""
    network = network_of("experiment=deep_clipped", "activation=leaky_relu")
    with torch.no_grad():
        logits = network(torch.randn(64, 1, 28, 28))
    assert 0.05 < float(logits.std()) < 20


def test_the_deep_sweep_runs_the_deep_preset_with_and_without_clipping():
    from actbench.command import composing
    from actbench.command.planning import plan

    composing.register()
    jobs, problems = plan(["+sweep=deep", "experiment=deep_clipped", "activation=relu,gelu"], multirun=True)
    assert problems == []
    got = {(j.settings.activation.name, j.settings.model.params["depth"], j.settings.clip.name) for j in jobs}
    assert got == {(a, d, c) for a in ("relu", "gelu") for d in range(10, 61, 10) for c in ("norm", "none")}
    assert len({job.settings.id for job in jobs}) == 24
    skipped = plan(["experiment=deep_clipped", "model.residual=true", "clip=none"], multirun=False)[0][0]
    assert (skipped.settings.clip.target, skipped.settings.model.params["residual"]) == (None, True)


# ---------------------------------------------------------------- identity


def test_the_id_knows_what_is_compared_and_nothing_else():
    base = settings_of()
    same = [
        ["seed=7"], ["num_seeds=2"], ["study=x"], ["train.device=cpu"], ["train.threads=1"], ["probe=false"],
        ["tensorboard=false"], ["train.eval_batch_size=10"], ["train.execution=seed_by_seed"], ["optimizer.lr=1e-3"], ["dataset=mnist"], ["split=0.3"],
        ["model.width=512"], ["dropout=0"], ["optimizer.betas=[0.9,0.999]"],
    ]  # fmt: skip
    other = [
        ["activation=gelu"], ["optimizer.lr=2e-3"], ["model.depth=2"], ["train.epochs=3"], ["train.batch_size=32"],
        ["dropout=0.1"], ["norm=batch"], ["init=orthogonal"], ["init.gain=1"], ["dataset=digits"], ["clip=norm"],
        ["augment=shift_rotate"], ["scheduler=cosine"], ["train.precision=bf16"], ["dataset.train_size=100"],
        ["upper_activation=gelu"], ["model.residual=true"], ["model.gated=true"],
    ]  # fmt: skip
    assert {settings_of(*o).id for o in same} == {base.id}
    ids = [settings_of(*o).id for o in other]
    assert len({base.id, *ids}) == len(ids) + 1


def test_one_and_one_point_zero_are_one_configuration():
    for pair in (("init.gain=1", "init.gain=1.0"), ("optimizer.betas=[0,0.9]", "optimizer.betas=[0.0,0.9]")):
        assert len({settings_of(o).id for o in pair}) == 1


@pytest.mark.parametrize("interval", ["step", "epoch"])
def test_a_cosine_reaches_its_end_whichever_way_it_is_stepped(monkeypatch, interval):
    overrides = ["model.width=8", "scheduler=cosine", f"scheduler.interval={interval}", "train.epochs=4"]
    training = build_training(monkeypatch, small_images(), *SMALL, *overrides)
    rates = [epoch.records[0].lr for epoch in fit(training, control=Control()) if epoch.records]
    assert training.optimizers[0].param_groups[0]["lr"] == pytest.approx(0, abs=1e-9)
    assert rates[-1] < rates[0] / 3


# ---------------------------------------------------------------- imports


def test_imports_point_one_way():
    """What `lint-imports` holds: the layers and contracts of pyproject.toml."""
    from importlinter.cli import EXIT_STATUS_SUCCESS, lint_imports

    root = Path(actbench.__file__).parent.parent
    assert lint_imports(config_filename=str(root / "pyproject.toml"), no_cache=True) == EXIT_STATUS_SUCCESS


def test_the_command_is_there_before_anything_else_is_imported():
    """`actbench --version` needs neither torch nor Hydra."""
    tree = ast.parse((Path(actbench.__file__).parent / "cli.py").read_text())
    names = set()
    for node in tree.body:
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module.split(".")[0])
    assert names <= {
        "__future__",
        "actbench",
        "atexit",
        "collections",
        "contextlib",
        "os",
        "pathlib",
        "signal",
        "sys",
        "typing",
    }
