"""`actbench.watch` in the loops of Lightning, Hugging Face's Trainer and Accelerate, and in several processes."""

from __future__ import annotations

import importlib
import re
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from actbench.watching import watch

pytestmark = pytest.mark.filterwarnings("ignore")  # of these libraries, about this machine


def same(states):
    return all(map(torch.equal, states[0].values(), states[1].values()))


@pytest.mark.parametrize("name", ["lightning", "transformers"])
def test_where_a_library_is_not_installed_the_extra_is_named(monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, f"actbench.watching.{name}", raising=False)
    with pytest.raises(ModuleNotFoundError, match=re.escape(f"pip install 'actbench[{name}]'")) as error:
        importlib.import_module(f"actbench.watching.{name}")
    assert error.value.name.startswith(name)


# ---------------------------------------------------------------- Lightning


def lightning_module(*, calls_itself):
    lightning = pytest.importorskip("lightning")

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
            self.decoder = nn.Sequential(nn.Linear(4, 12), nn.Tanh(), nn.Linear(12, 8))

        def forward(self, x):
            return self.decoder(F.relu(self.encoder(x)))

        def training_step(self, batch, _):
            return F.mse_loss(self(batch[0]) if calls_itself else self.decoder(self.encoder(batch[0])), batch[0])

        def validation_step(self, batch, _):
            self.log("loss", self.training_step(batch, 0))

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters())

    return Module()


def fitted(module, callbacks, folder):
    import lightning

    torch.manual_seed(1)
    data = TensorDataset(torch.randn(64, 8))
    trainer = lightning.Trainer(
        max_epochs=2, accelerator="cpu", devices=1, callbacks=callbacks, default_root_dir=folder, logger=False,
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
    )  # fmt: skip
    trainer.fit(module, DataLoader(data, 16, shuffle=True), DataLoader(data, 16))
    return module.state_dict()


@pytest.mark.parametrize(
    "calls_itself, layers", [(True, ["encoder.1", "relu", "decoder.1"]), (False, ["encoder.1", "decoder.1"])]
)
def test_lightning(tmp_path, calls_itself, layers):
    """Whatever `training_step` calls: the module itself, or networks in it."""
    pytest.importorskip("lightning")
    from actbench.watching.lightning import WatchCallback

    states = []
    for callbacks in ([WatchCallback(every=3)], []):
        torch.manual_seed(0)
        module = lightning_module(calls_itself=calls_itself)
        states.append(fitted(module, callbacks, tmp_path))
        assert not any("_compiled_call_impl" in vars(part) for part in module.modules())
        if callbacks:
            table = callbacks[0].watch.table
            assert table.step.unique().tolist() == [0, 3, 6, 8]
            assert table.layer.unique().tolist() == layers
            assert "nothing alarming" in str(callbacks[0].diagnosis())
    assert same(states)


def test_remedies_name_the_module_of_lightning():
    """`model.encoder[1]`, and not the layer's place within the network that is watched."""
    from actbench.watching.watch import Watch

    encoder = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2))
    with torch.no_grad():
        encoder[0].bias.fill_(-100)
    looks = Watch({"encoder": encoder}, every=1, writer=None, holdout=None, step=None).start()
    encoder(torch.randn(8, 8))
    looks.close()
    remedies = " ".join(looks.diagnosis().findings[0].remedies)
    assert "relu at model.encoder[1]" in remedies and "model.encoder[0].weight" in remedies


def test_lightning_networks_in_lists_and_metrics(tmp_path):
    """A ModuleList is never called itself, and a metric counts what it is shown."""
    lightning = pytest.importorskip("lightning")
    torchmetrics = pytest.importorskip("torchmetrics")
    from actbench.watching.lightning import WatchCallback

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.parts = nn.ModuleList([nn.Sequential(nn.Linear(8, 4), nn.ReLU()), nn.Linear(4, 8)])
            self.heads = nn.ModuleDict({"a": nn.ModuleList([nn.Sequential(nn.Linear(8, 8), nn.GELU())])})
            self.mean, self.loss = torchmetrics.MeanMetric(), nn.MSELoss()

        def training_step(self, batch, _):
            x = self.heads["a"][0](self.parts[1](self.parts[0](batch[0])))
            self.mean(x.detach())
            return self.loss(x, batch[0])

        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters())

    states, counts = [], []
    for callbacks in ([WatchCallback(every=1)], []):
        torch.manual_seed(0)
        module = Module()
        states.append(fitted(module, callbacks, tmp_path))
        counts.append((module.mean.update_count, module.mean.compute().item()))
        if callbacks:
            assert callbacks[0].watch.table.layer.unique().tolist() == ["parts.0.1", "heads.a.0.1"]
            assert callbacks[0].watch.table.step.max() == 8
    assert same(states) and counts[0] == counts[1]


# ---------------------------------------------------------------- transformers and Accelerate


def test_transformers(tmp_path):
    """With accumulated gradients, gradient checkpointing, evaluations and dropout."""
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("accelerate")
    from actbench.watching.transformers import WatchCallback

    words = torch.randint(50, (16, 6), generator=torch.Generator().manual_seed(0))
    data = [{"input_ids": row, "labels": row} for row in words]
    states = []
    for callbacks in ([WatchCallback(every=2)], []):
        torch.manual_seed(0)
        sizes = {"vocab_size": 50, "n_embd": 8, "n_layer": 2, "n_head": 2, "n_positions": 8}
        model = transformers.GPT2LMHeadModel(transformers.GPT2Config(**sizes, bos_token_id=0, eos_token_id=0))
        arguments = transformers.TrainingArguments(
            str(tmp_path), max_steps=3, per_device_train_batch_size=2, gradient_accumulation_steps=2, report_to=[],
            use_cpu=True, disable_tqdm=True, save_strategy="no", eval_strategy="steps", eval_steps=1,
            gradient_checkpointing=True,
        )  # fmt: skip
        transformers.Trainer(model, arguments, train_dataset=data, eval_dataset=data[:2], callbacks=callbacks).train()
        states.append(model.state_dict())
        assert not any("_compiled_call_impl" in vars(part) for part in model.modules())
        if callbacks:
            table = callbacks[0].watch.table
            assert table.step.unique().tolist() == [0, 2, 3]
            assert table.layer.unique().tolist() == ["transformer.h.0.mlp.act", "transformer.h.1.mlp.act"]
    assert same(states)


def test_accelerate():
    accelerate = pytest.importorskip("accelerate")
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)  # a Trainer's, of another precision
    network = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
    accelerator = accelerate.Accelerator(cpu=True, mixed_precision="bf16")
    model, optimizer = accelerator.prepare(network, torch.optim.SGD(network.parameters(), 0.1))
    with watch(model, every=2) as looks:
        for _ in range(3):
            accelerator.backward(model(torch.randn(4, 8)).square().mean())
            optimizer.step()
    assert looks.table.step.tolist() == [0, 2, 3]


# ---------------------------------------------------------------- several processes


def _train(rank, folder):
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"file://{folder}/together", rank=rank, world_size=2)
    results = {name: _loop(rank, name) for name in ("off", "outer", "inner")}
    torch.distributed.destroy_process_group()
    looks = results["outer"][2]
    told = str(looks.diagnosis()).splitlines()[0]  # afterwards, as any process of the script does
    torch.save({name: (*of[:2], told) for name, of in results.items()}, f"{folder}/{rank}.pt")


def _loop(rank, watched):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))
    parallel = nn.parallel.DistributedDataParallel(network)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    looks = watch(network if watched == "inner" else parallel, every=2)
    if watched != "off":
        looks.start()
    torch.manual_seed(rank)
    for _ in range(5):
        optimizer.zero_grad()
        parallel(torch.randn(8, 8)).square().mean().backward()
        optimizer.step()
    if watched != "off":
        looks.close()
    return network.state_dict(), looks.table.step.tolist(), looks if watched == "outer" else None


@pytest.mark.skipif(not torch.distributed.is_available(), reason="torch without distributed training")
def test_rank_0_looks_and_no_process_waits(tmp_path):
    torch.multiprocessing.spawn(_train, (str(tmp_path),), nprocs=2)
    for rank, steps in ((0, [0, 2, 4, 5]), (1, [])):
        results = torch.load(tmp_path / f"{rank}.pt")
        assert (results["outer"][2] == "no look was taken") is (rank == 1)
        assert [results[name][1] for name in ("off", "outer", "inner")] == [[], steps, steps]
        assert all(same([results["off"][0], results[name][0]]) for name in ("outer", "inner"))
