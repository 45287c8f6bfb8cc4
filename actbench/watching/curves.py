"""Names for the curves of watches that share a writer of TensorBoard, so that none is drawn over another one's."""

from __future__ import annotations

from typing import Any
from weakref import ReferenceType, WeakKeyDictionary, ref

from torch import nn

# writer -> what the tags of its watches begin with, the class of the network, and the network
_OF_WRITERS: WeakKeyDictionary[Any, list[tuple[str, str, ReferenceType[nn.Module]]]] = WeakKeyDictionary()


def start_of_tags(writer: Any, network: nn.Module, *, goes_on: bool) -> str:
    """What the tags of a watch begin with: nothing for the first one of a writer, then the class of its network.

    Args:
        writer: None, or that of the watch.
        network: what is watched.
        goes_on: whether the steps are those of the training loop: a network that is watched again has the same curves.

    >>> class Writer: ...
    >>> writer, network = Writer(), nn.ReLU()
    >>> [start_of_tags(writer, network, goes_on=True), start_of_tags(writer, network, goes_on=True)]
    ['', '']
    >>> [start_of_tags(writer, nn.GELU(), goes_on=True), start_of_tags(writer, network, goes_on=False)]
    ['GELU/', 'ReLU 2/']
    """
    try:
        taken = _OF_WRITERS.setdefault(writer, [])
    except TypeError:  # None, or a writer that cannot be told from others
        return ""
    for start, _, other in reversed(taken):
        if goes_on and other() is network:
            return start
    kind = type(network).__name__
    alike = sum(1 for _, other, _ in taken if other == kind)
    start = "" if not taken else f"{kind} {alike + 1}/" if alike else f"{kind}/"
    taken.append((start, kind, ref(network)))
    return start
