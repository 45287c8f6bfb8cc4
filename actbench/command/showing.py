"""What Hydra's flags show instead of training: the configuration, information on Hydra, and its help."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from hydra import compose
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, flag_override, open_dict, read_write

from actbench.command.composing import assumed_folder, composing


def parser() -> argparse.ArgumentParser:
    """The flags that are supported, as Hydra's help lists them; `typed` takes a command line apart."""
    flags = argparse.ArgumentParser(prog="actbench", add_help=False)
    flags.add_argument("overrides", nargs="*", help="KEY=VALUE or GROUP=CHOICE")
    flags.add_argument("--help", "-h", action="store_true", help="what can be typed")
    flags.add_argument("--hydra-help", action="store_true", help="this text")
    flags.add_argument("--version", action="store_true", help="print the version")
    flags.add_argument("--multirun", "-m", action="store_true", help="a sweep over comma-separated values")
    flags.add_argument("--run", "-r", action="store_true", help="one run, as without a flag")
    flags.add_argument("--cfg", "-c", choices=("job", "hydra", "all"), help="print the configuration, and stop")
    flags.add_argument("--resolve", action="store_true", help="with --cfg: with the values of interpolations")
    flags.add_argument("--package", "-p", help="with --cfg: a part of the configuration")
    flags.add_argument("--info", "-i", nargs="?", const="all", help="print what Hydra knows of itself: plugins, say")
    return flags


def show(flags: Sequence[str], overrides: Sequence[str]) -> None:
    """Prints what some flags ask for.

    Args:
        flags: those of `line.CommandLine.shows`, of which `typed` has found nothing to be wrong.
        overrides: of the command, in Hydra's grammar.
    """
    asked = parser().parse_args(flags)
    OmegaConf.register_new_resolver("actbench.folder", assumed_folder, replace=True)
    with composing():
        if asked.cfg:
            _configuration(asked, compose("config", overrides=list(overrides), return_hydra_config=True))
            return
        # Hydra's pages on itself have no public function; the object that has them, public `GlobalHydra` gives.
        hydra: Any = GlobalHydra.instance().hydra
        if asked.hydra_help:
            hydra.hydra_help(config_name="config", args_parser=parser(), args=argparse.Namespace(overrides=[]))
        else:
            hydra.show_info(asked.info, config_name="config", overrides=list(overrides))


def _configuration(asked: argparse.Namespace, config: DictConfig) -> None:
    HydraConfig.instance().set_config(config)
    with read_write(config), open_dict(config):
        OmegaConf.set_readonly(config.hydra, False)
        if asked.resolve:
            OmegaConf.resolve(config.hydra if asked.cfg == "hydra" else config)
        if asked.cfg == "job":
            del config["hydra"]
        elif asked.cfg == "hydra":
            config = OmegaConf.masked_copy(config, "hydra")
            with flag_override(config.hydra, "struct", False):
                del config.hydra["hydra_help"], config.hydra["help"]
    package = None if asked.package == "_global_" else asked.package
    part = config if package is None else OmegaConf.select(config, package)
    if package is not None and OmegaConf.is_config(part):
        print(f"# @package {package}")
    if OmegaConf.is_config(part):
        sys.stdout.write(OmegaConf.to_yaml(part))
    else:
        print(part)
