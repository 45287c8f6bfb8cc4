"""All readers of a run's folder, without torch. Each file has its own module in `store`, which also writes it."""

from actbench.store.owner import LOCK, RESUME, TRACEBACK, check_owner, links_out, tidy
from actbench.store.plausible import environment
from actbench.store.settings_file import settings_of
from actbench.store.summary import completed, lacks_int8, status, summary
from actbench.store.tables import Record, last_layers, records, table

__all__ = [
    "LOCK",
    "RESUME",
    "TRACEBACK",
    "Record",
    "check_owner",
    "completed",
    "environment",
    "lacks_int8",
    "last_layers",
    "links_out",
    "records",
    "settings_of",
    "status",
    "summary",
    "table",
    "tidy",
]
