"""Hydra reads the same dozen files for every composition: each text is parsed once in a process, wherever it lies."""

from __future__ import annotations

import copy

import yaml


def remember_files() -> None:
    """From now on OmegaConf's loader remembers what a text says; every caller gets a copy of its own."""
    load, known = yaml.load, {}
    if getattr(load, "remembers", False):
        return

    def remembered(stream, Loader):
        if Loader.__name__ != "OmegaConfLoader":
            return load(stream, Loader)
        text = stream.read() if hasattr(stream, "read") else stream
        if text not in known:
            known[text] = load(text, Loader)
        return copy.deepcopy(known[text])

    remembered.remembers = True
    yaml.load = remembered
