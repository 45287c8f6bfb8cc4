"""What was found of the activations of a network of the user's own: shown before it trains, and kept in `sites.csv`."""

from __future__ import annotations

from actbench.sinks.terminal import Terminal
from actbench.sites.exchange import Exchanged
from actbench.sites.listing import as_csv, in_lines
from actbench.store.folder import RunFolder
from actbench.train import Training


def show(training: Training, folder: RunFolder, terminal: Terminal) -> None:
    """Writes `sites.csv` and prints its beginning.

    Args:
        training: of the run.
        folder: of the run.
        terminal: of the run.
    """
    network = training.network.groups[0].network
    if not isinstance(network, Exchanged):
        return
    folder.write_sites(as_csv(network.found, network.exchanged))
    terminal.describe(in_lines(network.found, network.exchanged))
