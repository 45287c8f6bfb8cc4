"""What was found of the activations of a network of the user's own: shown before it trains, and kept in `sites.csv`."""

from __future__ import annotations

from statistics import mean

from actbench.sinks.terminal import TerminalSink
from actbench.sites.exchange import Exchanged
from actbench.sites.listing import as_csv, in_lines
from actbench.store.folder import RunFolder
from actbench.train import Training
from actbench.train.evaluation import evaluate


def show(training: Training, folder: RunFolder, terminal: TerminalSink, done: int) -> None:
    """Writes `sites.csv` and prints its beginning; of one of many runs only how many sites there are.

    Where a network starts from given weights, the accuracy that the exchange leaves it with is told as well.

    Args:
        training: as it begins, or goes on.
        folder: of the run.
        terminal: of the run.
        done: epochs that are already trained.
    """
    network = training.network.groups[0].network
    if not isinstance(network, Exchanged):
        return
    folder.write_sites(as_csv(network.found, network.exchanged))
    head, *lines = in_lines(network.found, network.exchanged)
    for line in [head.rstrip(":")] if terminal.brief else [head, *lines]:
        terminal.remark(line)
    if training.pretrained and done == 0:
        before = evaluate(training, training.splits.val_x, training.splits.val_y).accuracies
        terminal.remark(f"before training: validation accuracy {mean(before):.2f} %, from the given weights")
