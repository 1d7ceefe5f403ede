"""TLS of the gRPC port."""

import grpc

from primase_server.access.certificates import Certificates, watched
from primase_server.settings import Tls


def server_credentials(tls: Tls) -> grpc.ServerCredentials:
    """The files are looked at with every new connection; those that are open go on as they are.

    Raises OSError where the files cannot be read, or do not fit.
    """
    files = watched(tls.cert, tls.key, tls.client_ca)
    return grpc.dynamic_ssl_server_credentials(
        _configuration(files.current()),
        lambda: _configuration(files.current()),
        require_client_authentication=tls.client_ca is not None,
    )


def _configuration(found: Certificates) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(found.key, found.chain)], root_certificates=found.client_ca
    )
