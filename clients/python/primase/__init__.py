"""Client of Primase, a service for biological sequence models.

`connect` gives a blocking client, `connect_async` an asyncio one; errors are in
`primase.exceptions`.
"""

from primase.aio_client import AsyncClient, connect_async
from primase.aio_esm2_client import AsyncEsm2
from primase.channel import RetryPolicy, TlsOptions
from primase.client import Client, connect
from primase.esm2_client import Esm2
from primase.exceptions import PrimaseError
from primase.results import ItemResult
from primase.sequences import VariantQuery

__all__ = [
    "AsyncClient",
    "AsyncEsm2",
    "Client",
    "Esm2",
    "ItemResult",
    "PrimaseError",
    "RetryPolicy",
    "TlsOptions",
    "VariantQuery",
    "connect",
    "connect_async",
]
