"""Whether this installation can serve: what there is, and what is wrong with it."""
