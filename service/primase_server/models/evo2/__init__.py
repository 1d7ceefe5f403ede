"""Evo 2: genomic language models of the StripedHyena 2 architecture."""
