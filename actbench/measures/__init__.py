"""What is measured, one module per measurement: its definition, its rows and how it is computed.

A module declares each quantity in the field of the row that holds it (`measured`). Tables, metrics of `summary.json`,
TensorBoard's tags, columns and the glossary are derived from these declarations. Measuring does not affect training: it
draws none of training's random numbers and leaves no gradient behind. Importing the package needs no torch.

A measurement of your own is a class that a YAML file in `conf/measure` names; see `actbench.measures.own`.
"""

from actbench.measures.own import Measurement, Moment
from actbench.measures.quantities import Quantity, identified, measured, quantities_of
from actbench.measures.registry import glossary, glossary_markdown

__all__ = [
    "Measurement",
    "Moment",
    "Quantity",
    "glossary",
    "glossary_markdown",
    "identified",
    "measured",
    "quantities_of",
]
