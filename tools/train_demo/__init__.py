"""Training of the demo models, on public sequences and on a CPU."""
