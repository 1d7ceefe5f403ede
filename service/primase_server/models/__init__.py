"""Model families: what is served, from which weights, and how each is run."""
