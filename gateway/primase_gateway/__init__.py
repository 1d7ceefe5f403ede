"""REST gateway of Primase: JSON to protos and back, and nothing else. A pure gRPC client."""
