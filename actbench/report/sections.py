"""The sections of the page, in their order: each table and each plot says which one it belongs to."""

from __future__ import annotations

TOP = "top"  # beside the verdict: one picture and one table, always in sight
SECTIONS = {
    "curves": "Learning curves",
    "results": "Accuracies in detail",
    "tuning": "Tuned on equal terms",
    "search": "Search",
    "depth": "Depth",
    "findings": "What went wrong inside",
    "activations": "Activations, and what they saw",
    "units": "Dead units",
    "definitions": "Dead by definition",
    "learned": "Learned parameters",
    "int8": "INT8",
    "cost": "Cost",
    "measured": "Other measurements",
    "decided": "How this was decided",
    "unfinished": "Without results",
}
