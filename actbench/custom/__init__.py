"""The user's own code, data and YAML: what may be named, what is in it, and how it is kept from everything else."""
