"""How files are written and read: whole or not at all, and never more of them than a run can have."""
