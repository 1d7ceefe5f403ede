"""Generated from the protos of the same name."""
