"""Models against oracles in plain torch: the Transformer encoder, gated layers, residual connections; and their errors."""

from __future__ import annotations

import math

import pytest
import torch
from helpers import settings_of
from torch import nn
from torch.nn import functional

from actbench import inits
from actbench.errors import UserError
from actbench.inits import auto_gain, initialise
from actbench.models import Components, batch_norm, mlp, vit
from actbench.models.layers import Residual
from actbench.models.vit import Patches
from actbench.stacking import activation_sites
from actbench.train.networks import build_network

RELU = Components(activation=lambda units: nn.ReLU())


def of(activation, **other):
    return Components(activation=lambda units: activation(), **other)


def shuffled(network):
    """The network in float64 with other parameters than it starts from, norms and positions included."""
    generator = torch.Generator().manual_seed(3)
    for parameter in network.double().parameters():
        nn.init.normal_(parameter, 0.1, 0.4, generator=generator)
    return network


def images(n=5, shape=(1, 28, 28)):
    return torch.randn(n, *shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)


# ---------------------------------------------------------------- vit


def encoder_like(block, *, heads, activation):
    """torch's own pre-norm Transformer layer with the parameters of `block`."""
    width, hidden = block.output.out_features, block.output.in_features
    layer = nn.TransformerEncoderLayer(
        width, heads, hidden, dropout=0.0, activation=activation, batch_first=True, norm_first=True, dtype=torch.float64
    )
    layer.load_state_dict(
        {
            "self_attn.in_proj_weight": block.attention.query_key_value.weight,
            "self_attn.in_proj_bias": block.attention.query_key_value.bias,
            "self_attn.out_proj.weight": block.attention.output.weight,
            "self_attn.out_proj.bias": block.attention.output.bias,
            "linear1.weight": block.hidden.linear.weight, "linear1.bias": block.hidden.linear.bias,
            "linear2.weight": block.output.weight, "linear2.bias": block.output.bias,
            "norm1.weight": block.attention_norm.weight, "norm1.bias": block.attention_norm.bias,
            "norm2.weight": block.hidden_norm.weight, "norm2.bias": block.hidden_norm.bias,
        }
    )  # fmt: skip
    return layer


def patches_by_hand(x, p):
    rows = range(0, x.shape[-2], p)
    columns = range(0, x.shape[-1], p)
    return torch.stack([x[:, :, i : i + p, j : j + p].flatten(1) for i in rows for j in columns], 1)


@pytest.mark.parametrize(
    ("activation", "function", "inputs", "patch_size", "heads"),
    [
        (nn.ReLU, functional.relu, (1, 28, 28), 7, 4),
        (nn.GELU, functional.gelu, (3, 8, 12), 4, 2),
        (nn.SiLU, functional.silu, (2, 6, 6), 6, 1),
    ],
)
def test_vit_is_torch_s_transformer_encoder_on_patches(activation, function, inputs, patch_size, heads):
    network = vit(
        of(activation), inputs=inputs, classes=10, patch_size=patch_size, width=12, depth=3, heads=heads, expansion=3
    )
    shuffled(network)
    x = images(shape=inputs)
    tokens = network.embedding(patches_by_hand(x, patch_size)) + network.positions.weight
    for block in (network.block1, network.block2, network.block3):
        tokens = encoder_like(block, heads=heads, activation=function)(tokens)
    expected = network.output(functional.layer_norm(tokens, (12,), network.norm.weight, network.norm.bias).mean(1))
    torch.testing.assert_close(network(x), expected, rtol=1e-10, atol=1e-10)


def test_gradients_of_vit_are_those_of_torch_s_encoder():
    network = shuffled(vit(RELU, inputs=(1, 8, 8), classes=3, patch_size=4, width=8, depth=1, heads=2))
    theirs = encoder_like(network.block1, heads=2, activation=functional.relu)
    x = torch.randn(3, 4, 8, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    network.block1(x).sin().sum().backward()
    theirs(x).sin().sum().backward()
    for mine, its in (
        (network.block1.attention.query_key_value.weight, theirs.self_attn.in_proj_weight),
        (network.block1.hidden.linear.weight, theirs.linear1.weight),
        (network.block1.attention_norm.weight, theirs.norm1.weight),
    ):
        torch.testing.assert_close(mine.grad, its.grad, rtol=1e-9, atol=1e-10)


def test_patches_are_squares_of_the_image_row_by_row():
    x = torch.arange(2 * 3 * 4 * 6.0).view(2, 3, 4, 6)
    assert torch.equal(Patches(2)(x), patches_by_hand(x, 2))
    assert torch.equal(Patches(2)(x.expand(5, -1, -1, -1, -1))[3], patches_by_hand(x, 2))  # seeds in front


def test_the_default_vit_has_these_parameters_and_sites():
    network = build_network(settings_of("model=vit"), (1, 28, 28), 10, 0)
    shapes = {
        name: tuple(p.shape) for name, p in network.named_parameters() if "weight" in name and "block" not in name
    }
    assert shapes == {
        "embedding.weight": (64, 49), "positions.weight": (16, 64), "norm.weight": (64,), "output.weight": (10, 64),
    }  # fmt: skip
    assert {name: tuple(p.shape) for name, p in network.block4.named_parameters()} == {
        "attention_norm.weight": (64,), "attention_norm.bias": (64,),
        "attention.query_key_value.weight": (192, 64), "attention.query_key_value.bias": (192,),
        "attention.output.weight": (64, 64), "attention.output.bias": (64,),
        "hidden_norm.weight": (64,), "hidden_norm.bias": (64,),
        "hidden.linear.weight": (128, 64), "hidden.linear.bias": (128,),
        "output.weight": (64, 128), "output.bias": (64,),
    }  # fmt: skip
    assert list(activation_sites(network)) == [f"block{number}.hidden" for number in (1, 2, 3, 4)]


def test_to_an_activation_in_vit_each_token_is_a_sample():
    seen = []
    network = vit(of(nn.ReLU), inputs=(1, 28, 28), classes=10, patch_size=14, width=8, depth=2, heads=2)
    for site in activation_sites(network).values():
        site.register_forward_pre_hook(lambda module, arguments: seen.append(tuple(arguments[0].shape)))
    network(torch.randn(5, 1, 28, 28))
    assert seen == [(5 * 4, 16)] * 2


def test_vit_takes_both_activations_norm_and_dropout_in_its_feed_forward_parts():
    overrides = ["model=vit", "model.width=8", "model.heads=2", "upper_activation=gelu", "norm=batch", "dropout=0.1"]
    network = build_network(settings_of(*overrides), (1, 28, 28), 10, 0)
    kinds = [type(site).__name__ for site in activation_sites(network).values()]
    assert kinds == ["ReLU", "ReLU", "GELU", "GELU"]
    assert [name for name, _ in network.block1.hidden.named_children()] == ["linear", "norm", "activation", "dropout"]
    assert isinstance(network.block1.hidden.norm, nn.BatchNorm1d)


def test_where_a_patch_lies_matters_to_vit_but_for_its_positions():
    network = shuffled(vit(RELU, inputs=(1, 8, 8), classes=3, patch_size=4, width=8, depth=2, heads=2))
    x = images(2, (1, 8, 8))
    swapped = torch.cat([x[..., 4:], x[..., :4]], -1)  # the left and the right half
    assert not torch.allclose(network(x), network(swapped), atol=1e-3)
    nn.init.zeros_(network.positions.weight)
    torch.testing.assert_close(network(x), network(swapped), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("override", "how"),
    [
        ("model.patch_size=5", "one that does: 1, 2, 4, 7, 14, 28"),
        ("model.patch_size=56", "one that does: 1, 2, 4, 7, 14, 28"),
        ("model.heads=5", "one that does: 1, 2, 4, 8, 16, 32, 64"),
    ],
)
def test_what_does_not_divide_is_named_with_what_would(override, how):
    with pytest.raises(UserError, match="does not divide") as caught:
        build_network(settings_of("model=vit", override), (1, 28, 28), 10, 0)
    (problem,) = caught.value.problems
    assert (problem.where, problem.how) == (override, how)


def test_a_patch_must_divide_both_sides():
    with pytest.raises(UserError, match="8×12 pixels") as caught:
        vit(RELU, inputs=(1, 8, 12), classes=3, patch_size=8)
    assert caught.value.problems[0].how == "one that does: 1, 2, 4"


def test_a_wrong_patch_size_is_one_clear_line_of_the_command(actbench):
    done = actbench("model=vit", "model.patch_size=5", "dataset=digits", "num_seeds=1", "train.threads=1")
    assert done.returncode == 2
    assert done.stderr.startswith("error: model.patch_size=5: does not divide 28×28 pixels\n    one that does: 1, 2,")
    assert "Traceback" not in done.stderr


# ---------------------------------------------------------------- gated


@pytest.mark.parametrize(
    ("activation", "function"),
    [(nn.Sigmoid, torch.sigmoid), (nn.SiLU, functional.silu), (nn.GELU, functional.gelu), (nn.ReLU, torch.relu)],
    ids=["GLU", "SwiGLU", "GEGLU", "ReGLU"],
)
def test_a_gated_layer_multiplies_the_gate_by_the_value(activation, function):
    network = shuffled(mlp(of(activation), inputs=(1, 4, 4), classes=3, width=6, depth=2, gated=True))
    h = images(shape=(1, 4, 4)).flatten(1)
    for layer in (network.hidden1, network.hidden2):
        gate, value = layer.gate.linear, layer.value
        h = function(h @ gate.weight.mT + gate.bias) * (h @ value.weight.mT + value.bias)
    torch.testing.assert_close(network(images(shape=(1, 4, 4))), network.output(h), rtol=1e-12, atol=1e-12)


def test_a_sigmoid_gate_is_torch_s_glu():
    network = shuffled(mlp(of(nn.Sigmoid), inputs=(1, 4, 4), classes=3, width=6, gated=True))
    x = images(shape=(1, 4, 4)).flatten(1)
    layer = network.hidden1
    theirs = functional.glu(torch.cat([layer.value(x), layer.gate.linear(x)], 1))
    torch.testing.assert_close(layer(x), theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("model", ["mlp", "vit"])
def test_the_gate_is_the_activation_site_and_dropout_comes_behind_the_product(model):
    overrides = [f"model={model}", "model.gated=true", "dropout=0.3", "activation=silu"]
    network = build_network(settings_of(*overrides), (1, 28, 28), 10, 0)
    layer = network.hidden1 if model == "mlp" else network.block1.hidden
    assert [name for name, _ in layer.named_children()] == ["gate", "value", "dropout"]
    assert next(iter(activation_sites(network))) == ("hidden1.gate" if model == "mlp" else "block1.hidden.gate")
    layer.train()
    torch.manual_seed(0)
    dropped = layer(torch.ones(200, layer.value.in_features)) == 0
    assert dropped.float().mean().item() == pytest.approx(0.3, abs=0.02 if model == "mlp" else 0.03)


def test_only_the_gate_is_normalised_and_has_the_gain_of_its_activation():
    normed = mlp(of(nn.ReLU, norm=batch_norm), inputs=(1, 4, 4), classes=3, width=6, gated=True)
    assert [name for name, _ in normed.hidden1.gate.named_children()] == ["linear", "norm", "activation"]
    assert normed.hidden1.value.bias is not None
    network = mlp(of(nn.ReLU), inputs=(1, 20, 20), classes=3, width=500, gated=True)
    initialise(network, scheme=inits.he_normal, gain="auto", generator=torch.Generator().manual_seed(0))
    n = network.hidden1.value.weight.numel()
    for weight, gain in (
        (network.hidden1.gate.linear.weight, auto_gain(nn.ReLU())),
        (network.hidden1.value.weight, 1.0),
    ):
        sigma = gain / math.sqrt(400)
        assert weight.std().item() == pytest.approx(sigma, abs=5 * sigma / math.sqrt(2 * n))


# ---------------------------------------------------------------- residual


def test_residual_layers_add_a_share_to_what_they_are_given():
    network = shuffled(mlp(of(nn.Tanh), inputs=(1, 4, 4), classes=3, width=6, depth=4, residual=True))
    x = images(shape=(1, 4, 4))
    h = torch.tanh(network.hidden1.linear(x.flatten(1)))
    for layer in (network.hidden2, network.hidden3, network.hidden4):
        h = h + torch.tanh(layer.linear(h)) / 3
    torch.testing.assert_close(network(x), network.output(h), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("gated", [False, True])
def test_a_residual_network_has_the_parameters_of_the_plain_one(gated):
    one, other = (
        mlp(RELU, inputs=(1, 4, 4), classes=3, width=6, depth=3, residual=r, gated=gated) for r in (True, False)
    )
    assert isinstance(one, Residual)
    assert not isinstance(other, Residual)
    assert {k: v.shape for k, v in one.state_dict().items()} == {k: v.shape for k, v in other.state_dict().items()}
    assert list(activation_sites(one)) == list(activation_sites(other))


def test_a_network_of_one_hidden_layer_has_nothing_to_skip():
    one, other = (mlp(RELU, inputs=(1, 4, 4), classes=3, width=6, residual=r) for r in (True, False))
    other.load_state_dict(one.state_dict())
    assert torch.equal(one(torch.ones(2, 1, 4, 4)), other(torch.ones(2, 1, 4, 4)))


def sizes(network, x):
    """Root mean square of the first and the last hidden output, and of the loss's gradient there."""
    outputs = []
    for name, module in network.named_children():
        x = x + network.scale * module(x) if name in network.skipped else module(x)
        if name.startswith("hidden"):
            x.retain_grad()
            outputs.append(x)
    x.square().sum().backward()
    first, last = outputs[0], outputs[-1]
    return [tensor.detach().square().mean().sqrt().item() for tensor in (first, last, first.grad, last.grad)]


@pytest.mark.parametrize("activation", [nn.ReLU, nn.GELU, nn.Tanh])
def test_sixty_residual_layers_neither_lose_nor_blow_up_a_signal(activation):
    """The sum of the scales is 1 at any depth; with 1/sqrt(59) the mean of ReLU's outputs would pile up instead."""
    network = mlp(of(activation), inputs=(1, 28, 28), classes=10, width=128, depth=60, residual=True)
    initialise(network, scheme=inits.he_normal, gain="auto", generator=torch.Generator().manual_seed(0))
    x = torch.randn(64, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    first, last, first_gradient, last_gradient = sizes(network, x)
    assert 0.9 < last / first < 2
    assert 0.5 < first_gradient / last_gradient < 2
    network.zero_grad()
    network.scale = 1 / math.sqrt(59)
    first, last, *_ = sizes(network, x)
    assert (last / first > 20) == (activation is not nn.Tanh)


def test_a_list_of_widths_has_one_for_each_hidden_layer():
    network = mlp(Components(activation=lambda units: nn.PReLU(units)), inputs=(1, 4, 4), classes=3, width=[7, 5])
    shapes = [tuple(p.shape) for name, p in network.named_parameters() if name.endswith("linear.weight")]
    assert shapes == [(7, 16), (5, 7)] and network.output.weight.shape == (3, 5)
    for wrong in ({"width": [7, 5], "depth": 3}, {"width": [7, 5], "residual": True}, {"width": []}):
        with pytest.raises(UserError, match=r"model\.width=\["):
            mlp(Components(activation=nn.PReLU), inputs=(1, 4, 4), classes=3, **wrong)
