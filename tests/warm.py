"""What the server of `processes` does once, so that no fork of it has to: imports, and a composition.

A composition fills the caches of the parsers with which Hydra reads overrides and files. What actbench itself remembers
is forgotten again, so that a fork begins as a process begins; but for what Hydra's settings are if nobody changes them,
which are composed for every command and depend on nothing but our `conf` (`processes` forgets them where there is another).
"""

from __future__ import annotations

import gc
import importlib
import math
import pkgutil
import sys

from helpers import settings_of
from PIL import Image
from quick_data import remember_digits
from quick_yaml import remember_files

import actbench
from actbench.command import crew, hydra_settings
from actbench.command.composing import composing

_IMPORTED_LATE = (  # by what is ours, within functions, and by others
    "hydra._internal.logging_config", "matplotlib.backends.backend_agg", "matplotlib.backends.backend_svg",
    "pandas.io.formats.csvs", "rich._emoji_codes", "rich._unicode_data", "sketches", "sklearn.datasets",
    "tensorboard.plugins.hparams.metadata", "tensorboard.plugins.hparams.plugin_data_pb2", "torch.utils._device",
    "torch.utils.serialization.config",
)  # fmt: skip
_OF_OTHERS = ("actbench.watching.lightning", "actbench.watching.transformers")  # import half of torch, and read CXX
_OURS = [
    module.name for module in pkgutil.walk_packages(actbench.__path__, "actbench.") if module.name not in _OF_OTHERS
]


def _forget() -> None:
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] == "actbench":
            for member in list(vars(module).values()):
                if hasattr(member, "cache_clear"):
                    member.cache_clear()
    with composing():
        hydra_settings._baseline()


for name in (*_IMPORTED_LATE, *_OURS):
    if not name.endswith("__main__"):
        importlib.import_module(name)
crew.WORTH = math.inf  # no command has workers but those that are asked for
remember_files()
remember_digits()
Image.preinit()  # the formats in which pictures are written
settings_of("activation=leaky_relu", "activation.negative_slope=0.2", "optimizer.betas=[0.9,0.99]")
_forget()
gc.collect()
gc.freeze()  # what is there by now is not looked at again, nor copied
gc.set_threshold(200_000, 20, 100)
