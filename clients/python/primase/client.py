"""The blocking client."""

from collections.abc import Iterable
from dataclasses import replace
from types import TracebackType
from typing import Self

import grpc

from primase.admin_client import Admin
from primase.channel import DEFAULT_RETRY, RetryPolicy, TlsOptions, call_metadata, channel_options
from primase.esm2_client import Esm2
from primase.evo2_client import Evo2
from primase.model_calls import estimate_request, list_request
from primase.models.v1.model_service_pb2 import EstimateResponse, GetModelRequest, Model
from primase.models.v1.model_service_pb2_grpc import ModelServiceStub
from primase.names import DataTypeName, EstimateOutputName, FamilyName
from primase.progen2_client import ProGen2
from primase.transport import RequestT, ResponseT, Transport


class Client:
    """A connection to one server, safe to use from several threads. Close it, or use `with`.

    Every call raises a `PrimaseError`, or a kind of it, where it fails as a whole.
    """

    def __init__(self, channel: grpc.Channel, transport: Transport) -> None:
        self._channel = channel
        self._transport = transport
        self._models = ModelServiceStub(channel)

    def models(self, family: FamilyName | None = None) -> list[Model]:
        """The models served there in order of name, also those that are still loading: state,
        limits in tokens and bytes, defaults, weights. `family` leaves the others out.
        """
        models: list[Model] = []
        page_token = ""
        while True:
            page = self._transport.call(self._models.ListModels, list_request(family, page_token))
            models += page.models
            page_token = page.next_page_token
            if not page_token:
                return models

    def model(self, name: str) -> Model:
        """One model, with its layers and the tokens of its vocabulary in order of the columns of
        `logits`. Its `num_queued_tokens` wait or run now. Raises UnknownModel.
        """
        return self._transport.call(self._models.GetModel, GetModelRequest(model=name)).model

    def estimate(
        self,
        model: str,
        sequence_lengths: Iterable[int],
        *,
        outputs: Iterable[EstimateOutputName] = (),
        num_layers: int = 0,
        num_attention_maps: int = 0,
        num_new_tokens: int = 0,
        num_samples: int = 0,
        dtype: DataTypeName = "float32",
    ) -> EstimateResponse:
        """What a request would cost, told from its lengths alone: tokens that admission would
        charge, bytes of the numbers in the answer, whether it fits, and the longest sequence that
        does.

        sequence_lengths: of each sequence, in residues or bases.
        outputs: those that cost more than a mean, by the names that `encode` takes.
        num_layers, num_attention_maps: asked for; 0 is one layer.
        num_new_tokens, num_samples: of a generation, for each prompt.
        dtype: type of the numbers in the answer.

        Raises UnknownModel, and InvalidRequest for lengths or outputs that the model does not have.
        """
        request = estimate_request(
            model,
            sequence_lengths,
            outputs,
            num_layers,
            num_attention_maps,
            num_new_tokens,
            num_samples,
            dtype,
        )
        return self._transport.call(self._models.Estimate, request)

    def esm2(self, model: str) -> Esm2:
        """An ESM-2 model; nothing is sent yet."""
        return Esm2(self._channel, self._transport, model)

    def evo2(self, model: str) -> Evo2:
        """An Evo 2 model; nothing is sent yet."""
        return Evo2(self._channel, self._transport, model)

    def progen2(self, model: str) -> ProGen2:
        """A ProGen2 model; nothing is sent yet."""
        return ProGen2(self._channel, self._transport, model)

    @property
    def admin(self) -> Admin:
        """What an operator may do: list, load, unload and reload models."""
        return Admin(self._channel, self._transport)

    def within(self, timeout_s: float | None) -> Self:
        """This client with another deadline for each request, in seconds, over the same connection.

        `client.within(2).esm2("esm2-650m")` gives up after 2 s, and `client` as before.
        """
        return type(self)(self._channel, replace(self._transport, timeout_s=timeout_s))

    @property
    def channel(self) -> grpc.Channel:
        """The connection, for generated stubs: `Esm2ServiceStub(client.channel)`."""
        return self._channel

    def call(
        self, rpc: "grpc.UnaryUnaryMultiCallable[RequestT, ResponseT]", request: RequestT
    ) -> ResponseT:
        """One request, one answer, of a stub of `channel`, with this client's token, deadline and
        errors.
        """
        return self._transport.call(rpc, request)

    def close(self) -> None:
        """End the connection and the calls in progress."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def connect(
    target: str,
    *,
    token: str | None = None,
    tls: TlsOptions | None = None,
    timeout_s: float | None = None,
    retry: RetryPolicy | None = DEFAULT_RETRY,
) -> Client:
    """A client of the server at `target`, such as `localhost:50051`; it connects when first used.

    With `dns:///NAME:PORT` calls are spread over all addresses of the name.

    token: sent with every call as a bearer token.
    tls: encryption; without it the connection is in clear.
    timeout_s: deadline of each request in seconds, of which a long call makes several; None waits
        for as long as it takes.
    retry: when to try again; None never does.

    Raises OSError where a file of `tls` cannot be read, and nothing where nobody answers: calls do.
    """
    options = channel_options(target, retry)
    if tls is None:
        channel = grpc.insecure_channel(target, options=options)
    else:
        channel = grpc.secure_channel(target, tls.credentials(), options=options)
    return Client(channel, Transport(call_metadata(token), timeout_s))
