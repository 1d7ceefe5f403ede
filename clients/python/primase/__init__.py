"""Client of Primase, a service for biological sequence models."""
