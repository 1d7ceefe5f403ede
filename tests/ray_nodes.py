"""Nodes of a Ray cluster that tests run here."""

from typing import Any

NODE_MEMORY = 80 << 20
ATTEMPTS = 3


def add_node(cluster: Any, num_cpus: int) -> Any:
    """Another node. Ray gives one 30 seconds, which a machine that does much else may need."""
    for left in reversed(range(ATTEMPTS)):
        try:
            return cluster.add_node(
                num_cpus=num_cpus,
                wait=False,
                object_store_memory=NODE_MEMORY,
                include_dashboard=False,
            )
        except Exception as error:
            if not left or "timed out during startup" not in str(error):
                raise
    raise AssertionError("no attempt was left")
