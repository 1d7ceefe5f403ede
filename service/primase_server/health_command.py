"""`primase health`: the question that orchestrators ask, as a command with a status."""

import click
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

import primase
from primase.cli.connection import calls_server

METHOD = "/grpc.health.v1.Health/Check"
SERVING = HealthCheckResponse.SERVING
NOT_SERVING_STATUS = 1


@click.command()
@click.option(
    "--service",
    default="",
    help="What to ask for, such as primase.esm2.v1.Esm2Service.  [default: all models together]",
)
@calls_server
def health(client: primase.Client, *, service: str) -> None:
    """Ask a server whether it serves: status 0 if it does.

    primase.models.v1.ModelService serves from the start until the server is told to stop; all
    together once every model is there.
    """
    check = client.channel.unary_unary(
        METHOD,
        request_serializer=HealthCheckRequest.SerializeToString,
        response_deserializer=HealthCheckResponse.FromString,
    )
    answer: HealthCheckResponse = client.call(check, HealthCheckRequest(service=service))
    click.echo(HealthCheckResponse.ServingStatus.Name(answer.status))
    if answer.status != SERVING:
        click.get_current_context().exit(NOT_SERVING_STATUS)
