"""The Primase service: biological sequence models behind one typed gRPC contract."""
