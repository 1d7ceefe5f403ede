"""Files of any size by way of Ray Data: read as a stream, answered in chunks, kept in shards."""
