"""The stacked forms of torch's layers and of our activations, one module for each kind.

Every module of this folder is imported, which registers what it holds: a new kind of layer is one new file.
"""

import importlib
import pkgutil


def import_all() -> None:
    """Imports every module of this folder."""
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")


import_all()
