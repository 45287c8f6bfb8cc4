"""Where the activations of any network are, and how they are exchanged."""
