"""What actbench is measured against, beside the article's script: an ordinary loop, JAX, and the bare floor."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

Epoch = Callable[[], None]


def in_memory(model: nn.Module, x: Tensor, y: Tensor, batch: int = 64) -> Epoch:
    """An epoch as a careful person writes it: tensors in memory, default Adam, nothing asked of the device."""
    model = model.to(x.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    criterion = nn.CrossEntropyLoss()

    def epoch() -> None:
        model.train()
        for rows in torch.randperm(len(x)).to(x.device).split(batch):
            optimizer.zero_grad()
            loss = criterion(model(x[rows]), y[rows])
            loss.backward()
            optimizer.step()
        loss.item()  # waits for the device

    return epoch


def resnet18() -> nn.Module:
    """torchvision's ResNet-18 for grey images, which are padded to 32×32."""
    from torchvision.models import resnet18 as of_torchvision

    network = of_torchvision(num_classes=10)
    network.conv1 = nn.Conv2d(1, 64, 7, 2, 3, bias=False)
    return nn.Sequential(nn.ZeroPad2d(2), network)


def floor(
    seeds: int, steps: int, device: torch.device, batch: int = 64, sizes: tuple[int, ...] = (784, 512, 10)
) -> Epoch:
    """An epoch of nothing but what no way of training can leave out: the products, and Adam's state once a step.

    For `seeds` networks at once: the products of forward and backward pass as batched matrix products into memory that
    is there already, and one fused update of as many parameters as the networks have.
    """
    sites = list(pairwise(sizes))
    weights = [torch.randn(seeds, fan_in, out, device=device) / fan_in**0.5 for fan_in, out in sites]
    values = [torch.randn(seeds, batch, size, device=device) for size in sizes]
    gradients = [torch.empty_like(weight) for weight in weights]
    size = seeds * sum((fan_in + 1) * out for fan_in, out in sites)
    parameters = [torch.zeros(size, device=device)]
    gradient, first, second = ([torch.full((size,), 0.01, device=device)] for _ in range(3))
    count = [torch.ones((), device=device)]
    adam: dict[str, Any] = {"lr": 1e-3, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8}

    def epoch() -> None:
        for _ in range(steps):
            for weight, x, y in zip(weights, values, values[1:], strict=False):
                torch.bmm(x, weight, out=y)
            for layer in reversed(range(len(weights))):
                torch.bmm(values[layer].mT, values[layer + 1], out=gradients[layer])
                if layer:
                    torch.bmm(values[layer + 1], weights[layer].mT, out=values[layer])
            torch._fused_adam_(
                parameters, gradient, first, second, [], count, weight_decay=0, amsgrad=False, maximize=False, **adam
            )
        float(parameters[0][0])  # waits for the device

    return epoch


def has_jax() -> bool:
    """Whether JAX is installed, which nothing here needs but for being compared with it."""
    return importlib.util.find_spec("jax") is not None


def in_jax(seeds: int, x: Tensor, y: Tensor, batch: int = 64, sizes: tuple[int, ...] = (784, 512, 10)) -> Epoch:
    """An epoch of the article's MLP with default Adam for `seeds` networks: one call of `jit(vmap(scan))`.

    The whole epoch, shuffling included, is compiled, and the data stay on the device. Nothing is measured or written.
    """
    import jax
    from jax import numpy as jnp

    samples, labels = jnp.asarray(x.flatten(1).numpy()), jnp.asarray(y.numpy())
    steps = len(labels) // batch

    def initial(key: Any) -> Any:
        keys = jax.random.split(key, len(sizes))
        shapes = pairwise(sizes)
        return [
            (jax.random.normal(k, (a, b)) * (2 / a) ** 0.5, jnp.zeros(b))
            for k, (a, b) in zip(keys, shapes)  # noqa: B905
        ]

    def loss(weights: Any, rows: Any) -> Any:
        h = samples[rows]
        for number, (w, b) in enumerate(weights):
            h = h @ w + b
            h = jax.nn.relu(h) if number < len(weights) - 1 else h
        return -jnp.take_along_axis(jax.nn.log_softmax(h), labels[rows][:, None], axis=1).mean()

    def step(state: Any, rows: Any) -> tuple[Any, Any]:
        weights, first, second, count = state
        value, slopes = jax.value_and_grad(loss)(weights, rows)
        count, each = count + 1, jax.tree_util.tree_map
        first = each(lambda m, g: 0.9 * m + 0.1 * g, first, slopes)
        second = each(lambda v, g: 0.999 * v + 0.001 * g * g, second, slopes)
        a, b = 1 - 0.9**count, 1 - 0.999**count
        weights = each(lambda w, m, v: w - 1e-3 * (m / a) / (jnp.sqrt(v / b) + 1e-8), weights, first, second)
        return (weights, first, second, count), value

    def whole(state: Any, key: Any) -> Any:
        rows = jax.random.permutation(key, len(labels))[: steps * batch].reshape(steps, batch)
        return jax.lax.scan(step, state, rows)

    keys = jax.random.split(jax.random.PRNGKey(0), seeds)
    weights = jax.vmap(initial)(keys)
    zeros = jax.tree_util.tree_map(jnp.zeros_like, weights)
    states = [(weights, zeros, zeros, jnp.zeros(seeds))]
    compiled = jax.jit(jax.vmap(whole))

    def epoch() -> None:
        states[0], losses = compiled(states[0], keys)
        losses.block_until_ready()

    return epoch
