"""How weights start: the gain of an activation, the distribution of each scheme, and draws paired over activations."""

import math
from functools import partial
from itertools import pairwise

import pytest
import torch
from helpers import activation_files
from omegaconf import OmegaConf
from scipy import special, stats
from scipy.integrate import quad
from torch import nn

from actbench import inits
from actbench.activations import PACT, AconC, BipolarReLU, SquaredReLU, Swish, TopK
from actbench.choices import packaged_conf
from actbench.errors import UserError
from actbench.inits import auto_gain, fans, initialise
from actbench.models import Components, cnn, mlp
from actbench.settings import Choice, Settings, Train
from actbench.train.networks import activation_factory, build_network
from actbench.train.seeding import derive

ACTIVATIONS = [path.stem for path in activation_files()]
SCHEMES = {
    "he_normal": inits.he_normal,
    "he_normal fan_out": partial(inits.he_normal, mode="fan_out"),
    "he_uniform": inits.he_uniform,
    "he_uniform fan_out": partial(inits.he_uniform, mode="fan_out"),
    "xavier_normal": inits.xavier_normal,
    "xavier_uniform": inits.xavier_uniform,
    "lecun_normal": inits.lecun_normal,
    "orthogonal": inits.orthogonal,
}


def choice(group, name):
    content = OmegaConf.to_container(OmegaConf.load(packaged_conf() / group / f"{name}.yaml"))
    params = {key: value for key, value in content.items() if key not in ("_target_", "_partial_")}
    return Choice(name, content["_target_"], params)


def of(name):
    return Components(activation=activation_factory(choice("activation", name), ()))


def drawn(seed=0):
    return torch.Generator().manual_seed(seed)


# ---------------------------------------------------------------- gain


def closed_gain(f, *kinks):
    """1/sqrt(E[f(z)²]) by adaptive quadrature between kinks, which shares nothing with the package's panels."""
    edges = sorted({-13.0, -4.0, 0.0, 4.0, 13.0, *kinks})

    def weighed(z):
        return f(z) ** 2 * math.exp(-z * z / 2) / math.sqrt(2 * math.pi)

    parts = [quad(weighed, a, b, epsabs=1e-13, epsrel=1e-12, limit=200)[0] for a, b in pairwise(edges)]
    return 1 / math.sqrt(math.fsum(parts))


def elu(z, alpha):
    return z if z > 0 else alpha * math.expm1(z)


def softplus(z):
    return math.log1p(math.exp(z)) if z < 20 else z


GAINS = [
    (nn.ReLU(), math.sqrt(2)),
    (nn.Identity(), 1.0),
    (SquaredReLU(), 1 / math.sqrt(1.5)),  # E[max(0, z)⁴] = 3/2
    *((nn.LeakyReLU(a), math.sqrt(2 / (1 + a * a))) for a in (0.0, 0.01, 0.2, 0.5, 1.0, -1.0, 3.0)),
    (nn.PReLU(), math.sqrt(2 / (1 + 0.25**2))),
    (nn.PReLU(5), math.sqrt(2 / (1 + 0.25**2))),
    (nn.ReLU6(), closed_gain(lambda z: min(max(z, 0), 6), 0, 6)),
    (nn.Hardtanh(), closed_gain(lambda z: min(max(z, -1), 1), -1, 1)),
    (nn.Hardswish(), closed_gain(lambda z: z * min(max(z + 3, 0), 6) / 6, -3, 3)),
    (nn.Sigmoid(), closed_gain(special.expit)),
    (nn.Tanh(), closed_gain(math.tanh)),
    (nn.GELU(), closed_gain(lambda z: z * special.ndtr(z))),
    (nn.SiLU(), closed_gain(lambda z: z * special.expit(z))),
    (Swish(), closed_gain(lambda z: z * special.expit(z))),
    (Swish(4), closed_gain(lambda z: z * special.expit(z))),
    (Swish(init=2.0), closed_gain(lambda z: z * special.expit(2 * z))),
    (BipolarReLU(), math.sqrt(2)),
    (PACT(), closed_gain(lambda z: min(max(z, 0), 3), 0, 3)),
    (PACT(3, init=0.5), closed_gain(lambda z: min(max(z, 0), 0.5), 0, 0.5)),
    (AconC(), closed_gain(lambda z: z * special.expit(z))),
    (AconC(2, 1.5, -0.5, 2.0), closed_gain(lambda z: 2 * z * special.expit(4 * z) - 0.5 * z)),
    (nn.SELU(), closed_gain(lambda z: 1.0507009873554805 * elu(z, 1.6732632423543772))),
    (nn.ELU(0.7), closed_gain(lambda z: elu(z, 0.7))),
    (nn.Softsign(), closed_gain(lambda z: z / (1 + abs(z)))),
    (nn.Softplus(), closed_gain(softplus)),
    (nn.Mish(), closed_gain(lambda z: z * math.tanh(softplus(z)))),
]


@pytest.mark.parametrize(("activation", "gain"), GAINS, ids=[str(activation) for activation, _ in GAINS])
def test_the_gain_is_one_over_the_root_of_the_mean_square(activation, gain):
    assert auto_gain(activation) == pytest.approx(gain, rel=1e-9)


def test_selu_keeps_variance_1_by_itself():
    assert auto_gain(nn.SELU()) == pytest.approx(1.0, abs=1e-9)


def test_a_gain_keeps_the_mean_square_of_a_wide_layer():
    # unit inputs of mean square 1 -> Linear(gain) -> f has mean square 1 again: what the gain is for
    n = 4000
    for activation in (nn.ReLU(), nn.GELU(), nn.Tanh()):
        weight = torch.empty(n, 500)
        inits.lecun_normal(weight, gain=1.0, generator=drawn())
        h = auto_gain(activation) * activation(weight @ torch.ones(500))
        fourth = h.pow(4).mean().item()
        assert h.square().mean().item() == pytest.approx(1.0, abs=5 * math.sqrt(fourth / n))


def test_a_kink_that_is_on_no_edge_of_a_panel_costs_little():
    expected = closed_gain(lambda z: min(max(z, -0.77), 0.77), -0.77, 0.77)
    assert auto_gain(nn.Hardtanh(-0.77, 0.77)) == pytest.approx(expected, rel=1e-3)


def test_the_gain_counts_learned_parameters_as_they_are():
    prelu = nn.PReLU(2)
    with torch.no_grad():
        prelu.weight.copy_(torch.tensor([0.0, 1.0]))
    assert auto_gain(prelu) == pytest.approx(1 / math.sqrt((0.5 + 1.0) / 2), rel=1e-12)


def gain_of_the_largest(p):
    """E[f(z)²] = ∫ z²·φ(z) from z_p on = p + z_p·φ(z_p), where a normal z exceeds z_p with probability p."""
    z_p = stats.norm.isf(p)
    return 1 / math.sqrt(p + z_p * stats.norm.pdf(z_p))


@pytest.mark.parametrize("p", [0.05, 0.25, 0.5, 0.9])
def test_the_gain_of_topk_is_that_of_the_largest_normal_values(p):
    assert auto_gain(TopK(fraction=p), units=2000) == pytest.approx(gain_of_the_largest(p), rel=5e-3)
    assert auto_gain(TopK(k=round(2000 * p)), units=2000) == pytest.approx(gain_of_the_largest(p), rel=5e-3)


def test_the_gain_of_topk_is_that_of_as_many_units_as_the_layer_has():
    # of two units the larger: E[max(z1, z2)²] = 1, on average over both 1/2
    assert auto_gain(TopK(fraction=0.5), units=2) == pytest.approx(math.sqrt(2), rel=5e-3)
    assert auto_gain(TopK(fraction=1.0), units=7) == pytest.approx(1.0, rel=5e-3)
    assert auto_gain(TopK(fraction=0.25), units=1) == pytest.approx(1.0, rel=5e-3)
    # a convolution of 4 channels that keeps 100 of all its outputs: 100 are known to be there
    assert auto_gain(TopK(k=100), units=4) == pytest.approx(1.0, rel=5e-3)
    assert auto_gain(TopK(), units=64) == auto_gain(TopK(), units=64)


def test_a_deep_network_of_topk_keeps_the_size_of_its_signals():
    network = mlp(of("topk"), inputs=(1, 5, 4), classes=6, width=300, depth=20)
    initialise(network, scheme=inits.he_normal, gain="auto", generator=drawn())
    with torch.no_grad():
        h = network[:-1](torch.randn(50, 1, 5, 4, generator=drawn(1)))
    assert 0.4 < h.square().mean().sqrt().item() < 2.5


def test_taking_the_gain_leaves_the_activation_and_the_global_generator_alone():
    swish = Swish(3)
    before, state = swish.weight.detach().clone(), torch.get_rng_state()
    auto_gain(swish)
    auto_gain(TopK())
    assert swish.weight.dtype == torch.float32
    assert torch.equal(swish.weight, before)
    assert swish.weight.grad is None
    assert torch.equal(torch.get_rng_state(), state)


class Scaled(nn.Module):
    def __init__(self, scale):
        super().__init__()
        self.scale = scale

    def forward(self, z):
        return torch.full_like(z, self.scale)


@pytest.mark.parametrize("value", [0.0, math.inf, math.nan])
def test_a_function_without_a_mean_square_has_no_gain(value):
    with pytest.raises(UserError, match="Scaled") as caught:
        auto_gain(Scaled(value))
    assert "init.gain" in str(caught.value)


# ---------------------------------------------------------------- distributions


def variance_of(name, gain, fan_in, fan_out):
    fan = fan_out if name.endswith("fan_out") else fan_in
    if name.startswith("xavier"):
        return gain**2 * 2 / (fan_in + fan_out)
    return gain**2 / fan


@pytest.mark.parametrize("shape", [(700, 300), (96, 48, 5, 3)], ids=["linear", "conv"])
@pytest.mark.parametrize("name", [name for name in SCHEMES if name != "orthogonal"])
def test_a_scheme_draws_from_its_distribution(name, shape):
    gain, weight = 1.7, torch.empty(shape)
    SCHEMES[name](weight, gain=gain, generator=drawn(3))
    w, n = weight.double(), weight.numel()
    area = math.prod(shape[2:])
    sigma = math.sqrt(variance_of(name, gain, fan_in=shape[1] * area, fan_out=shape[0] * area))
    uniform = "uniform" in name
    kurtosis = 1.8 if uniform else 3.0  # E[(w/sigma)⁴]
    assert abs(w.mean().item()) < 5 * sigma / math.sqrt(n)
    assert w.std().item() == pytest.approx(sigma, abs=5 * sigma * math.sqrt((kurtosis - 1) / (4 * n)))
    eighth = 9.0 if uniform else 105.0  # E[(w/sigma)⁸]: 3⁴/9 of a uniform, 7·5·3 of a normal distribution
    assert (w / sigma).pow(4).mean().item() == pytest.approx(kurtosis, abs=5 * math.sqrt((eighth - kurtosis**2) / n))
    if uniform:
        bound = sigma * math.sqrt(3)
        assert bound * (1 - 25 / n) < w.abs().max().item() <= bound * (1 + 1e-6)


@pytest.mark.parametrize("shape", [(40, 40), (40, 90), (90, 40), (24, 8, 3, 3), (100, 8, 3, 3)])
def test_an_orthogonal_matrix_is_orthogonal_times_the_gain(shape):
    weight, gain = torch.empty(shape), 1.3
    inits.orthogonal(weight, gain=gain, generator=drawn())
    w = weight.double().flatten(1)
    product = w @ w.mT if w.shape[0] <= w.shape[1] else w.mT @ w
    torch.testing.assert_close(product, gain**2 * torch.eye(min(w.shape), dtype=torch.float64), rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    ("layer", "fan_in", "fan_out"),
    [(nn.Linear(7, 3), 7, 3), (nn.Conv2d(5, 11, (3, 2)), 30, 66), (nn.Conv2d(1, 1, 1), 1, 1)],
)
def test_fans_count_what_a_unit_is_connected_to(layer, fan_in, fan_out):
    assert fans(layer.weight) == (fan_in, fan_out)


@pytest.mark.parametrize("scheme", [inits.he_normal, inits.he_uniform])
def test_an_unknown_mode_is_an_error(scheme):
    with pytest.raises(ValueError, match="fan_avg"):
        scheme(torch.empty(2, 2), gain=1.0, generator=drawn(), mode="fan_avg")


@pytest.mark.parametrize("name", SCHEMES)
def test_a_scheme_draws_from_its_generator_alone(name):
    one, other, third = (torch.empty(9, 5) for _ in range(3))
    state = torch.get_rng_state()
    SCHEMES[name](one, gain=1.0, generator=drawn(1))
    assert torch.equal(torch.get_rng_state(), state)
    SCHEMES[name](other, gain=1.0, generator=drawn(1))
    SCHEMES[name](third, gain=1.0, generator=drawn(2))
    assert torch.equal(one, other)
    assert not torch.equal(one, third)


# ---------------------------------------------------------------- whole networks


def network_of(activation, scheme, gain="auto", *, kind="mlp"):
    if kind == "mlp":
        network = mlp(of(activation), inputs=(1, 5, 4), classes=6, width=12, depth=2)
    else:
        network = cnn(of(activation), inputs=(1, 8, 8), classes=6, channels=(3, 4), dense=10)
    initialise(network, scheme=scheme, gain=gain, generator=drawn(11))
    return network


def weights(network):
    return {name: p.detach() for name, p in network.named_parameters() if p.ndim > 1}


@pytest.mark.parametrize("kind", ["mlp", "cnn"])
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", ["relu", "prelu", "swish", "tanh"])
def test_activations_start_from_the_same_draws_and_differ_by_their_gain(name, scheme, kind):
    ours = weights(network_of(name, SCHEMES[scheme], kind=kind))
    plain = weights(network_of("identity", SCHEMES[scheme], kind=kind))
    gain = auto_gain(of(name).activation(12))
    assert len(ours) == (3 if kind == "mlp" else 4)
    for key, weight in ours.items():
        if key == "output.weight":
            assert torch.equal(weight, plain[key])
        else:
            torch.testing.assert_close(weight, gain * plain[key], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_is_paired_with_relu(name):
    ours, relus = (weights(network_of(a, inits.he_normal)) for a in (name, "relu"))
    ratio = auto_gain(of(name).activation(12), units=12) / math.sqrt(2)
    torch.testing.assert_close(
        ours["hidden1.linear.weight"], ratio * relus["hidden1.linear.weight"], rtol=1e-5, atol=1e-7
    )
    torch.testing.assert_close(
        ours["hidden2.linear.weight"], ratio * relus["hidden2.linear.weight"], rtol=1e-5, atol=1e-7
    )
    assert torch.equal(ours["output.weight"], relus["output.weight"])


def test_layers_of_one_shape_start_differently():
    network = mlp(of("relu"), inputs=(1, 3, 4), classes=12, width=12, depth=2)
    initialise(network, scheme=inits.he_normal, gain=1.0, generator=drawn())
    one, two, three = weights(network).values()
    assert not torch.equal(one, two)
    assert not torch.equal(two, three)
    assert not torch.equal(one, three)


def test_the_output_layer_has_gain_1():
    network = mlp(of("relu"), inputs=(1, 5, 5), classes=300, width=400, depth=1)
    initialise(network, scheme=inits.he_normal, gain=3.0, generator=drawn())
    n, sigma = 300 * 400, 1 / math.sqrt(400)
    assert network.output.weight.std().item() == pytest.approx(sigma, abs=5 * sigma / math.sqrt(2 * n))


def test_each_layer_has_the_gain_of_its_own_activation():
    mixed = Components(activation=of("tanh").activation, upper_activation=of("relu").activation)
    network = mlp(mixed, inputs=(1, 5, 4), classes=6, width=12, depth=2)
    initialise(network, scheme=inits.he_normal, gain="auto", generator=drawn(11))
    ours, tanhs, relus = weights(network), *(weights(network_of(a, inits.he_normal)) for a in ("tanh", "relu"))
    assert torch.equal(ours["hidden1.linear.weight"], tanhs["hidden1.linear.weight"])
    assert torch.equal(ours["hidden2.linear.weight"], relus["hidden2.linear.weight"])


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("kind", ["mlp", "cnn"])
def test_biases_start_at_zero(scheme, kind):
    network = network_of("relu", SCHEMES[scheme], kind=kind)
    biases = [p for name, p in network.named_parameters() if name.endswith("bias")]
    assert biases
    assert not any(bias.any() for bias in biases)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("gain", [0.5, 3.0, 2])
def test_a_number_for_the_gain_replaces_that_of_the_activation(scheme, gain):
    ours = weights(network_of("relu", SCHEMES[scheme], gain))
    plain = weights(network_of("relu", SCHEMES[scheme], 1.0))
    for key, weight in ours.items():
        own = 1.0 if key == "output.weight" else gain
        torch.testing.assert_close(weight, own * plain[key], rtol=1e-5, atol=1e-7)


def test_initialising_leaves_learned_activations_and_norms_at_their_start():
    components = Components(activation=of("prelu").activation, norm=lambda units, spatial: nn.LayerNorm(units))
    network = mlp(components, inputs=(1, 5, 4), classes=6, width=12, depth=1)
    initialise(network, scheme=inits.he_normal, gain="auto", generator=drawn())
    assert network.hidden1.activation.weight.item() == 0.25
    assert torch.equal(network.hidden1.norm.weight, torch.ones(12))


# ---------------------------------------------------------------- as a run builds them

TRAIN = Train(epochs=1, batch_size=8, eval_batch_size=8, device="cpu", threads=None, precision="fp32")
NONE = Choice("none")


def settings_of(init, model, *, activation="relu"):
    return Settings(
        activation=choice("activation", activation),
        upper_activation=NONE,
        init=init,
        model=model,
        norm=NONE,
        optimizer=choice("optimizer", "sgd"),
        scheduler=NONE,
        clip=NONE,
        dataset=choice("dataset", "digits"),
        augment=NONE,
        split=0.5,
        dropout=0.0,
        train=TRAIN,
        seed=0,
        num_seeds=1,
        probe=False,
        tensorboard=False,
        study="test",
        trust=(),
    )


MLP = Choice("mlp", "actbench.models.mlp", {"width": 9, "depth": 2})
CNN = Choice("cnn", "actbench.models.cnn", {"channels": [3, 4], "kernel_size": 3, "dense": 7})
LAYERS = {
    "mlp": lambda: [nn.Linear(64, 9), nn.Linear(9, 9), nn.Linear(9, 10)],
    "cnn": lambda: [nn.Conv2d(1, 3, 3), nn.Conv2d(3, 4, 3), nn.Linear(16, 7), nn.Linear(7, 10)],
}


@pytest.mark.parametrize("seed", [0, 5])
@pytest.mark.parametrize("model", [MLP, CNN], ids=["mlp", "cnn"])
def test_torch_default_is_what_torch_draws_after_manual_seed(model, seed):
    network = build_network(settings_of(choice("init", "torch_default"), model), (1, 8, 8), 10, seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "init"))
        theirs = LAYERS[model.name]()
    ours = [layer for layer in network.modules() if isinstance(layer, (nn.Linear, nn.Conv2d))]
    for mine, its in zip(ours, theirs, strict=True):
        assert torch.equal(mine.weight, its.weight)
        assert torch.equal(mine.bias, its.bias)
        assert mine.bias.any()


@pytest.mark.parametrize("path", sorted((packaged_conf() / "init").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_choice_of_init_builds_a_network_that_its_seed_alone_decides(path):
    init = choice("init", path.stem)
    one, same, other = (build_network(settings_of(init, MLP), (1, 8, 8), 10, seed) for seed in (1, 1, 2))
    for mine, again, its in zip(*(weights(n).values() for n in (one, same, other)), strict=True):
        assert torch.equal(mine, again)
        assert not torch.equal(mine, its)
        assert mine.isfinite().all()


def test_lecun_normal_has_gain_1_unless_asked_otherwise():
    ours = build_network(settings_of(choice("init", "lecun_normal"), MLP), (1, 8, 8), 10, 3)
    plain = build_network(settings_of(Choice("x", "actbench.inits.lecun_normal", {"gain": 1.0}), MLP), (1, 8, 8), 10, 3)
    auto = build_network(
        settings_of(Choice("x", "actbench.inits.lecun_normal", {"gain": "auto"}), MLP), (1, 8, 8), 10, 3
    )
    for key, weight in weights(ours).items():
        assert torch.equal(weight, weights(plain)[key])
        gain = 1.0 if key == "output.weight" else math.sqrt(2)
        torch.testing.assert_close(weights(auto)[key], gain * weight, rtol=1e-5, atol=1e-7)


def test_what_a_scheme_refuses_is_the_users_error():
    init = Choice("he_normal", "actbench.inits.he_normal", {"gain": 1.0, "mode": "fan_avg"})
    with pytest.raises(UserError, match="fan_avg"):
        build_network(settings_of(init, MLP), (1, 8, 8), 10, 0)
