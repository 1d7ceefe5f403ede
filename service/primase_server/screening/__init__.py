"""Asking an operator's own program about every generated sequence before it is told."""
