"""Weights to start from: a state_dict of the user's own network."""

from __future__ import annotations

import pickle
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from actbench.errors import UserError, in_a_line

_FEW = 4  # names in one message


def load_weights(network: nn.Module, path: Path) -> None:
    """Gives a network the weights of a file, all of them and no others.

    Args:
        network: on the CPU.
        path: of a state_dict, as `torch.save(network.state_dict(), path)` or a run's `checkpoints` leave it.

    Raises:
        UserError: the file cannot be read, is no state_dict, or has other names or shapes than the network.
    """
    where = f"weights={path}"
    state = _read(path, where)
    own = network.state_dict()
    missing, beyond = [name for name in own if name not in state], [name for name in state if name not in own]
    shapes = [
        f"{name} {tuple(state[name].shape)} for {tuple(own[name].shape)}"
        for name in own
        if name in state and isinstance(own[name], Tensor) and state[name].shape != own[name].shape
    ]
    wrong = [
        f"{what} {_few(names)}"
        for what, names in (("lacks", missing), ("has beyond it", beyond), ("has other shapes:", shapes))
        if names
    ]
    if wrong:
        what = f"is no state_dict of this network: it {'; it '.join(wrong)}"
        raise UserError(what, where=where, how="weights of the same network, with the same model.* parameters")
    network.load_state_dict(state)


def _read(path: Path, where: str) -> dict[str, Tensor]:
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise UserError("is not there", where=where, how="the path of a file, from where you type") from error
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError, ValueError, KeyError) as error:
        how = "torch.save(network.state_dict(), FILE)"
        raise UserError(f"cannot be read as a state_dict: {in_a_line(error)}", where=where, how=how) from error
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        inner = [
            key for key in ("state_dict", "model", "model_state_dict") if isinstance(content, dict) and key in content
        ]
        what = f"holds more than a state_dict: it is under {inner[0]!r}" if inner else "is no state_dict of tensors"
        raise UserError(what, where=where, how="torch.save(network.state_dict(), FILE)")
    return content


def _few(names: Collection[str]) -> str:
    first = ", ".join([*names][:_FEW])
    return first if len(names) <= _FEW else f"{first} and {len(names) - _FEW} more"
