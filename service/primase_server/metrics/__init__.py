"""What a Prometheus server may read of this service; made only where it is asked for."""
