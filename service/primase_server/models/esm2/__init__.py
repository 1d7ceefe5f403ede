"""ESM-2: protein language models read from the official checkpoints (Lin et al., Science 2023)."""
