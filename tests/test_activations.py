"""Every choice of conf/activation computes its formula, has the right gradient, and is a fresh module at each site."""

import inspect
import itertools
import math

import numpy as np
import pytest
import torch
from helpers import activation_choice, activation_files, settings_of
from scipy import special
from torch.func import functional_call
from torch.nn.functional import silu

from actbench.activations import PACT, AconC, BipolarReLU, Swish, TopK
from actbench.errors import UserError
from actbench.settings import Choice
from actbench.train.checks import check
from actbench.train.networks import activation_factory

YAMLS = activation_files()
NAMES = [path.stem for path in YAMLS]
GRID = np.concatenate([np.linspace(-30.0, 30.0, 241), np.linspace(-3.3, 3.3, 97), [0.0, -1e-6, 1e-6]])
ABSENT = object()


def fresh(name, units=1, **changed):
    return activation_factory(activation_choice(name, **changed), ())(units).eval()  # rrelu draws in training


def sigma(z):
    return special.expit(z)


def gelu(z, approximate):
    if approximate == "none":
        return z * 0.5 * (1 + special.erf(z / math.sqrt(2)))
    return 0.5 * z * (1 + np.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3)))


def elu(z, alpha):
    return np.where(z > 0, z, alpha * np.expm1(np.minimum(z, 0)))


def softplus(z, beta=1.0, threshold=20.0):
    return np.where(beta * z > threshold, z, np.logaddexp(0, beta * z) / beta)


# Each from its paper or its YAML file's first line; the arguments are the keys of the YAML file.
CLOSED = {
    "acon": lambda z, num_parameters, p1, p2, beta: (p1 - p2) * z * sigma(beta * (p1 - p2) * z) + p2 * z,
    "bipolar_relu": lambda z: np.maximum(z, 0),  # of one unit: the first
    "celu": lambda z, alpha: np.maximum(0, z) + np.minimum(0, alpha * np.expm1(np.minimum(z, 0) / alpha)),
    "elu": elu,
    "gelu": gelu,
    "hardswish": lambda z: z * np.clip(z + 3, 0, 6) / 6,
    "hardtanh": lambda z, min_val, max_val: np.clip(z, min_val, max_val),
    "identity": lambda z: z,
    "rrelu": lambda z, lower, upper: np.where(z > 0, z, (lower + upper) / 2 * z),
    "leaky_relu": lambda z, negative_slope: np.where(z > 0, z, negative_slope * z),
    "mish": lambda z: z * np.tanh(np.logaddexp(0, z)),
    "pact": lambda z, num_parameters, init: 0.5 * (np.abs(z) - np.abs(z - init) + init),
    "prelu": lambda z, num_parameters, init: np.where(z > 0, z, init * z),
    "relu": lambda z: np.maximum(z, 0),
    "relu6": lambda z: np.clip(z, 0, 6),
    "selu": lambda z: 1.0507009873554805 * elu(z, 1.6732632423543772),
    "sigmoid": sigma,
    "silu": lambda z: z * sigma(z),
    "softplus": softplus,
    "softsign": lambda z: z / (1 + np.abs(z)),
    "squared_relu": lambda z: np.maximum(z, 0) ** 2,
    "swish": lambda z, num_parameters, init: z * sigma(init * z),
    "tanh": lambda z: np.tanh(z),
    "topk": lambda z, fraction, k: z,  # of one unit: the largest of a layer of one
}
INTERACTING = {"topk"}  # an output depends on the layer's other units
UNLIKE = {"bipolar_relu"}  # units are not all alike
PARAMETERS = {"acon": ["p1", "p2", "beta"], "pact": ["alpha"], "prelu": ["weight"], "swish": ["weight"]}
PER_UNIT = [name for name in NAMES if name in PARAMETERS]

OTHER_VALUES = [
    ("leaky_relu", {"negative_slope": 0.2}),
    ("elu", {"alpha": 0.5}),
    ("celu", {"alpha": 2.0}),
    ("softplus", {"beta": 2.0, "threshold": 30.0}),
    ("gelu", {"approximate": "tanh"}),
    ("hardtanh", {"min_val": -2.0, "max_val": 0.5}),
    ("prelu", {"init": -0.5}),
    ("swish", {"init": 2.5}),
    ("pact", {"init": 1.5}),
    ("acon", {"p1": 1.5, "p2": -0.25, "beta": 3.0}),
    ("acon", {"p1": 0.5, "p2": 0.5}),
]

DEFAULTS = {
    "acon": {"num_parameters": 1, "p1": 1.0, "p2": 0.0, "beta": 1.0},
    "celu": {"alpha": 1.0},
    "elu": {"alpha": 1.0},
    "gelu": {"approximate": "none"},  # the exact one, by erf
    "hardtanh": {"min_val": -1.0, "max_val": 1.0},
    "leaky_relu": {"negative_slope": 0.01},
    "pact": {"num_parameters": 1, "init": 3.0},
    "prelu": {"num_parameters": 1, "init": 0.25},
    "rrelu": {"lower": 1 / 8, "upper": 1 / 3},
    "softplus": {"beta": 1.0, "threshold": 20.0},
    "swish": {"num_parameters": 1, "init": 1.0},
    "topk": {"fraction": 0.25, "k": None},
}

KINKS = {
    "hardswish": [-3, 3],
    "bipolar_relu": [0],
    "hardtanh": [-1, 1],
    "pact": [0, 3],
    "relu6": [0, 6],
    **{
        name: [0]
        for name in ("celu", "elu", "leaky_relu", "prelu", "relu", "rrelu", "selu", "squared_relu", "softsign")
    },
}


def test_every_choice_has_a_closed_form_to_be_held_against():
    assert set(NAMES) == set(CLOSED), "a new file needs a line in CLOSED"


@pytest.mark.parametrize("name", CLOSED)
def test_an_activation_has_the_values_of_its_paper_unless_asked_otherwise(name):
    assert activation_choice(name).params == DEFAULTS.get(name, {})


@pytest.mark.parametrize(("name", "changed"), [*((name, {}) for name in NAMES), *OTHER_VALUES])
def test_an_activation_computes_its_closed_form(name, changed):
    module = fresh(name, **changed).double()
    ours = module(torch.from_numpy(GRID)[:, None])[:, 0].detach().numpy()
    theirs = CLOSED[name](GRID, **activation_choice(name, **changed).params)
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in INTERACTING | UNLIKE])
def test_an_activation_is_elementwise_and_keeps_shape_and_dtype(name):
    module = fresh(name, units=3)
    z = torch.randn(4, 3, 5, 2, generator=torch.Generator().manual_seed(0))
    output = module(z)
    assert output.shape == z.shape
    assert output.dtype == torch.float32
    one_by_one = torch.stack([module(x.view(1, 1)).view(()) for x in z.flatten()])
    torch.testing.assert_close(output.flatten(), one_by_one)


@pytest.mark.parametrize("name", NAMES)
def test_looking_at_z_afterwards_shows_what_went_in(name):
    z = torch.linspace(-4, 4, 33)[:, None]
    before = z.clone()
    fresh(name)(z)
    assert torch.equal(z, before)


@pytest.mark.parametrize("units", [1, 3])
@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_is_the_derivative_of_z_and_of_every_parameter(name, units):
    per_unit = {"num_parameters": "units"} if "num_parameters" in activation_choice(name).params else {}
    module = fresh(name, units, **per_unit).double()
    grid = np.linspace(-7.03, 7.07, 48)
    kinks = np.array(KINKS.get(name, []), dtype=float)
    away = grid[(np.abs(grid[:, None] - kinks) > 1e-3).all(axis=1)]
    z = torch.from_numpy(away[: len(away) // units * units]).view(-1, units).clone().requires_grad_()
    learned = {key: value.detach().clone().requires_grad_() for key, value in module.named_parameters()}

    def apply(z, *values):
        return functional_call(module, dict(zip(learned, values, strict=True)), (z,))

    assert torch.autograd.gradcheck(apply, (z, *learned.values()), eps=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_each_call_of_the_factory_makes_a_fresh_module(name):
    make = activation_factory(activation_choice(name), ())
    one, other = make(5), make(5)
    assert one is not other
    assert type(one) is type(other)
    for mine, theirs in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(mine, theirs)
        with torch.no_grad():
            mine.add_(1.0)
        assert not torch.equal(mine, theirs)


@pytest.mark.parametrize("name", PER_UNIT)
@pytest.mark.parametrize(("asked", "units", "got"), [("units", 7, 7), ("units", 1, 1), (1, 7, 1)])
def test_num_parameters_units_gives_one_parameter_for_each_unit(name, asked, units, got):
    starts = {"p1": 0.75, "p2": -0.5, "beta": 2.0} if name == "acon" else {"init": 0.75}
    module = fresh(name, units, num_parameters=asked, **starts)
    for parameter, start in zip(module.parameters(), starts.values(), strict=True):
        assert parameter.shape == (got,)
        assert torch.equal(parameter, torch.full((got,), start))


@pytest.mark.parametrize("name", NAMES)
def test_what_learns_has_the_names_that_checkpoints_and_reports_know(name):
    assert [key for key, _ in fresh(name).named_parameters()] == PARAMETERS.get(name, [])


def alone(name, x, value):
    """f of one number, with `value` as the parameter (for ACON as β, with p1 = 2 and p2 = -0.5)."""
    if name == "acon":
        return float(CLOSED["acon"](np.float64(x), 1, 2.0, -0.5, value))
    return {
        "pact": min(max(x, 0), value) if value > 0 else 0,
        "prelu": x if x > 0 else value * x,
        "swish": x / (1 + math.exp(-value * x)),
    }[name]


@pytest.mark.parametrize("name", PER_UNIT)
@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 2, 5)])
def test_a_parameter_for_each_unit_acts_on_dimension_1_alone(name, shape):
    z = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    starts = {"p1": 2.0, "p2": -0.5} if name == "acon" else {}
    module = fresh(name, 3, num_parameters="units", **starts).double()
    values = [0.5, 0.25, 2.0]  # exact in float32 too
    with torch.no_grad():
        module.get_parameter(PARAMETERS[name][-1]).copy_(torch.tensor(values))
    output = module(z)
    assert output.shape == z.shape
    for place in itertools.product(*map(range, shape)):
        expected = alone(name, z[place].item(), values[place[1]])
        assert output[place].item() == pytest.approx(expected, rel=1e-12, abs=1e-14)


def test_swish_with_beta_1_is_silu_with_beta_0_half_of_z_and_with_a_huge_beta_relu():
    z = torch.linspace(-9, 9, 400, dtype=torch.float64)[:, None]
    torch.testing.assert_close(Swish().double()(z), silu(z), rtol=1e-14, atol=1e-15)
    torch.testing.assert_close(Swish(init=0.0).double()(z), z / 2, rtol=1e-14, atol=0)
    torch.testing.assert_close(Swish(init=1e6).double()(z), torch.relu(z), rtol=1e-14, atol=1e-15)


def test_pact_s_bound_gets_the_gradient_of_what_reaches_it():
    """Choi et al. 2018, eq. 3: 1 where z ≥ α, the bound itself included; and nothing goes on to z there."""
    module = PACT(init=2.0).double()
    z = torch.tensor([[-1.0, 0.5, 1.999, 2.0, 7.0]], dtype=torch.float64, requires_grad=True)
    weights = torch.tensor([[1.0, 10.0, 100.0, 1000.0, 10000.0]], dtype=torch.float64)
    (module(z) * weights).sum().backward()
    assert module.alpha.grad.tolist() == [11000.0]
    assert z.grad.tolist() == [[0.0, 10.0, 100.0, 0.0, 0.0]]


@pytest.mark.parametrize("init", [0.0, -1.0])
def test_a_pact_that_clips_everything_is_an_error(init):
    with pytest.raises(UserError, match="clips everything") as caught:
        PACT(init=init)
    assert caught.value.problems[0].where == f"activation.init={init:g}"


def test_acon_is_a_smooth_maximum_of_two_lines():
    z = torch.linspace(-9, 9, 400, dtype=torch.float64)[:, None]
    torch.testing.assert_close(AconC().double()(z), silu(z), rtol=1e-14, atol=1e-15)
    leaky = torch.where(z > 0, 1.5 * z, 0.25 * z)
    torch.testing.assert_close(AconC(p1=1.5, p2=0.25, beta=1e6).double()(z), leaky, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(AconC(p1=1.5, p2=0.25, beta=0.0).double()(z), 0.875 * z, rtol=1e-12, atol=0)


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 3, 2)])
def test_the_bipolar_relu_turns_every_other_unit_upside_down(shape):
    z = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    output = BipolarReLU()(z)
    assert torch.equal(output[:, 0::2], z[:, 0::2].clamp(min=0))
    assert torch.equal(output[:, 1::2], z[:, 1::2].clamp(max=0))


def test_the_outputs_of_a_bipolar_layer_are_symmetric_about_zero():
    z = torch.randn(400, 512, generator=torch.Generator().manual_seed(0))
    n = z.numel()
    assert abs(BipolarReLU()(z).mean().item()) < 5 * math.sqrt(0.5 / n)  # E[f²] = 1/2
    assert torch.relu(z).mean().item() == pytest.approx(1 / math.sqrt(2 * math.pi), rel=0.01)


def k_largest(sample, k):
    """An oracle in plain Python: the k largest entries where they are, 0 elsewhere."""
    flat = sample.flatten().tolist()
    places = sorted(range(len(flat)), key=lambda place: -flat[place])[:k]
    return torch.tensor([x if place in places else 0.0 for place, x in enumerate(flat)]).view(sample.shape)


@pytest.mark.parametrize("shape", [(5, 12), (5, 3, 2, 2)])
@pytest.mark.parametrize(
    ("params", "k"),
    [
        ({"fraction": 0.25}, 3),
        ({"fraction": 0.01}, 1),
        ({"fraction": 1.0}, 12),
        ({"k": 7}, 7),
        ({"fraction": 1.0, "k": 2}, 2),
    ],
)
def test_topk_keeps_the_k_largest_outputs_of_each_sample(shape, params, k):
    z = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    for layout in (z, z.transpose(0, -1).contiguous().transpose(0, -1)):
        expected = torch.stack([k_largest(sample, k) for sample in z])
        assert torch.equal(TopK(**params)(layout), expected)


@pytest.mark.parametrize("value", [1.0, -1.0])
def test_topk_keeps_exactly_k_of_equal_outputs(value):
    kept = TopK(k=3)(torch.full((4, 9), value)) != 0
    assert kept.sum(1).tolist() == [3] * 4


def test_the_gradient_of_topk_reaches_what_was_kept_alone():
    z = torch.randn(6, 10, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    module = TopK(fraction=0.3)
    assert torch.autograd.gradcheck(module, (z,), eps=1e-6, atol=1e-6)
    output = module(z)
    (slope,) = torch.autograd.grad(output.sum(), z)
    assert torch.equal(slope, (output != 0).double())


@pytest.mark.parametrize("shape", [(2, 512), (2, 8, 8, 8)])
def test_topk_of_more_outputs_than_a_layer_has_is_an_error(shape):
    assert torch.equal(TopK(k=512)(torch.ones(shape)), torch.ones(shape))
    with pytest.raises(UserError) as caught:
        TopK(k=513)(torch.ones(shape))
    (problem,) = caught.value.problems
    assert (problem.where, problem.how) == ("activation.k=513", "at most 512")
    assert "512 outputs" in problem.what


def test_topk_with_too_large_a_k_is_one_clear_line_before_anything_is_trained():
    with pytest.raises(UserError) as caught:
        check(settings_of("activation=topk", "activation.k=1000", "dataset=digits", "num_seeds=1"))
    (problem,) = caught.value.problems
    assert (problem.where, problem.what) == ("activation.k=1000", "is more than the 512 outputs of a layer")
    assert problem.how == "at most 512"


@pytest.mark.parametrize(
    "target",
    [
        "torch.nn." + name
        for name, kind in sorted(vars(torch.nn).items())
        if inspect.isclass(kind)
        and kind.__module__ == "torch.nn.modules.activation"
        and inspect.signature(kind).parameters.get("inplace", ABSENT) is not ABSENT
        and all(p.default is not p.empty for p in inspect.signature(kind).parameters.values())
    ],
)
def test_a_module_that_would_work_in_place_is_refused(target):
    with pytest.raises(UserError, match="that are measured") as caught:
        activation_factory(Choice("mine", target, {"inplace": True}), ())
    assert caught.value.problems[0].where == "activation.inplace=true"
    z = torch.full((1, 1), -2.0)
    activation_factory(Choice("mine", target, {"inplace": False}), ())(1)(z)
    assert z.item() == -2.0


def test_the_group_that_is_wrong_is_the_one_that_is_named():
    with pytest.raises(UserError) as caught:
        activation_factory(Choice("relu", "torch.nn.ReLU", {"inplace": True}), (), "upper_activation")
    assert caught.value.problems[0].where == "upper_activation.inplace=true"


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (Choice("mine", "torch.nn.ReLU", {"slope": 1}), "slope"),
        (Choice("mine", "torch.nn.Rulu", {}), "Rulu"),
        (Choice("mine", "torch.Size", {}), "torch.nn.Module"),
        (Choice("mine", "os.getcwd", {}), "trust"),
    ],
    ids=["unknown parameter", "unknown class", "not a module", "untrusted"],
)
def test_what_cannot_be_an_activation_is_the_users_error(bad, said):
    with pytest.raises(UserError) as caught:
        activation_factory(bad, ())
    assert said in str(caught.value)
