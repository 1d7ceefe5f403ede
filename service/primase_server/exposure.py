"""Whether others can reach a server that lets anybody in, or tells all that is said to it."""

from ipaddress import ip_address

from primase_server.settings import Screening, Settings

NO_KEYS = "keys: whoever reaches the ports may use the models (--keys-file)"
NO_TLS = "TLS: who is on the way can read sequences and keys (--tls-cert, --tls-key)"
NO_SCREENER_TLS = "TLS to the screener: who is on the way can read what is made (--screener-ca)"


def lacks(settings: Settings) -> tuple[str, ...] | None:
    """What is missing where other machines are spoken with; None where nothing is."""
    addresses = (settings.grpc, settings.rest)
    missing = []
    if not all(address is None or _is_loopback(address.host) for address in addresses):
        if settings.access.keys_file is None:
            missing.append(NO_KEYS)
        if settings.tls is None:
            missing.append(NO_TLS)
    if _is_told_in_clear(settings.screening):
        missing.append(NO_SCREENER_TLS)
    return tuple(missing) or None


def _is_told_in_clear(screening: Screening) -> bool:
    target = screening.target
    if not target or screening.ca is not None or target.startswith(("unix:", "unix-abstract:")):
        return False
    return not _is_loopback(target.rpartition(":")[0].rpartition("/")[2])


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
