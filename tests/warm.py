"""What the server of `processes` does once, so that no fork of it has to: imports, and a composition.

A composition fills the caches of the parsers with which Hydra reads overrides and files. What actbench itself remembers
is forgotten again, so that a fork begins as a process begins.
"""

from __future__ import annotations

import gc
import importlib
import pkgutil
import sys

from helpers import settings_of
from quick_yaml import remember_files

import actbench

_IMPORTED_LATE = (  # by what is ours, within functions
    "matplotlib.backends.backend_agg", "matplotlib.backends.backend_svg", "sketches", "sklearn.datasets",
    "tensorboard.plugins.hparams.plugin_data_pb2",
)  # fmt: skip
_OURS = [module.name for module in pkgutil.walk_packages(actbench.__path__, "actbench.")]


def _forget() -> None:
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "actbench":
            for member in list(vars(module).values()):
                if hasattr(member, "cache_clear"):
                    member.cache_clear()


for name in (*_IMPORTED_LATE, *_OURS):
    if not name.endswith("__main__"):
        importlib.import_module(name)
remember_files()
settings_of("activation=leaky_relu", "activation.negative_slope=0.2", "optimizer.betas=[0.9,0.99]")
_forget()
gc.collect()
gc.freeze()  # what is there by now is not looked at again, nor copied
gc.set_threshold(200_000, 20, 100)
