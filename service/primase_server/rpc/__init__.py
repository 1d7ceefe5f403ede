"""The gRPC edge: proto to job and back, and what surrounds every call."""
