"""Whether others can reach a server that lets anybody in, or tells all that is said to it."""

from ipaddress import ip_address

from primase_server.settings import Settings

NO_KEYS = "keys: whoever reaches the ports may use the models (--keys-file)"
NO_TLS = "TLS: who is on the way can read sequences and keys (--tls-cert, --tls-key)"


def lacks(settings: Settings) -> tuple[str, ...] | None:
    """What is missing where a port is open to other machines; None where nothing is."""
    addresses = (settings.grpc, settings.rest)
    if all(address is None or _is_loopback(address.host) for address in addresses):
        return None
    missing = []
    if settings.access.keys_file is None:
        missing.append(NO_KEYS)
    if settings.tls is None:
        missing.append(NO_TLS)
    return tuple(missing) or None


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
