"""From a configured name to a loaded model: what all families share, and a file for each."""
