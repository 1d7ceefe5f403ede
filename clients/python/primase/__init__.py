"""Client of Primase, a service for biological sequence models.

`connect` gives a blocking client, `connect_async` an asyncio one; errors are in
`primase.exceptions`.
"""

from primase.admin_client import Admin
from primase.aio_admin_client import AsyncAdmin
from primase.aio_client import AsyncClient, connect_async
from primase.aio_esm2_client import AsyncEsm2
from primase.aio_evo2_client import AsyncEvo2
from primase.aio_progen2_client import AsyncProGen2
from primase.channel import RetryPolicy, TlsOptions
from primase.client import Client, connect
from primase.esm2_client import Esm2
from primase.evo2_client import Evo2
from primase.evo2_queries import DnaVariant, DnaVariantQuery, ScanQuery
from primase.exceptions import PrimaseError
from primase.generation_options import Prompt, Sampling, TokenReport
from primase.generation_results import Failed, Finished, Heartbeat, Started, Tokens
from primase.progen2_client import ProGen2
from primase.progen2_results import ProteinFinished
from primase.results import ItemResult
from primase.sequences import VariantQuery

__all__ = [
    "Admin",
    "AsyncAdmin",
    "AsyncClient",
    "AsyncEsm2",
    "AsyncEvo2",
    "AsyncProGen2",
    "Client",
    "DnaVariant",
    "DnaVariantQuery",
    "Esm2",
    "Evo2",
    "Failed",
    "Finished",
    "Heartbeat",
    "ItemResult",
    "PrimaseError",
    "ProGen2",
    "Prompt",
    "ProteinFinished",
    "RetryPolicy",
    "Sampling",
    "ScanQuery",
    "Started",
    "TlsOptions",
    "TokenReport",
    "Tokens",
    "VariantQuery",
    "connect",
    "connect_async",
]
