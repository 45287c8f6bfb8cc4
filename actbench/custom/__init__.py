"""The user's own code, data and YAML files: what they may name, how they are imported, isolated and hashed."""
