"""Benchmarks: every module here has a `main` that measures one thing and tells what it found."""
