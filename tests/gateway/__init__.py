"""The gateway: a real uvicorn in front of a real gRPC server, both on port 0."""
