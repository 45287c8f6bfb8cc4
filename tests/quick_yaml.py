"""Hydra reads the same dozen files for every composition: each text is parsed once in a process, wherever it lies."""

from __future__ import annotations

import pickle
from functools import lru_cache

import yaml


def remember_files() -> None:
    """From now on OmegaConf's loader remembers what a text says, and its parser what an interpolation says.

    Every caller gets a copy of its own of a file; what was parsed of an interpolation is only looked at.
    """
    load, known = yaml.load, {}
    if getattr(load, "remembers", False):
        return

    def remembered(stream, Loader):
        if Loader.__name__ != "OmegaConfLoader":
            return load(stream, Loader)
        text = stream.read() if hasattr(stream, "read") else stream
        if text not in known:
            known[text] = pickle.dumps(load(text, Loader))
        return pickle.loads(known[text])

    remembered.remembers = True
    yaml.load = remembered
    _remember_interpolations()
    _make_no_map_that_nobody_reads()


def _remember_interpolations() -> None:
    from omegaconf import _utils, base, grammar_parser

    parse = lru_cache(maxsize=1000)(grammar_parser.parse)
    for module in (_utils, base, grammar_parser):
        if getattr(module, "parse", None) is grammar_parser.parse and module is not grammar_parser:
            module.parse = parse


def _make_no_map_that_nobody_reads() -> None:
    """Hydra makes a map for interpolations in each list of defaults, which hardly ever has one."""
    from hydra._internal import defaults_list

    create = defaults_list._create_interpolation_map

    def where_needed(overrides, defaults, self_added):
        return create(overrides, defaults, self_added) if any(d.is_interpolation() for d in defaults) else None

    defaults_list._create_interpolation_map = where_needed
