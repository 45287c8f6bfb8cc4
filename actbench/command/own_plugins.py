"""Sweepers of actbench's own: Hydra takes plugins from modules of the package `hydra_plugins` alone.

That package is there only where some plugin has been installed.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from importlib.util import module_from_spec
from types import ModuleType

from hydra.core.plugins import Plugins
from hydra.plugins.plugin import Plugin

_PACKAGE = "hydra_plugins"


def register(plugin: type[Plugin], module: ModuleType) -> None:
    """Makes a plugin known to Hydra, whose `__module__` says under which name it finds `module`."""
    Plugins.instance()  # has read those that are installed
    try:
        __import__(_PACKAGE)
    except ImportError:
        sys.modules[_PACKAGE] = module_from_spec(ModuleSpec(_PACKAGE, loader=None, is_package=True))
    sys.modules[plugin.__module__] = module
    Plugins.instance().register(plugin)
