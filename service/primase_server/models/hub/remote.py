"""The hub, spoken to through its own library: listings and bytes.

`HF_ENDPOINT`, `HF_TOKEN`, `HF_HUB_OFFLINE` and the proxies' variables mean what they mean there.
Its own download function is not used: it throws away what it has when the process ends.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

# Otherwise the library asks the hub for more than we asked it for.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import httpx2
from huggingface_hub import HfApi, get_session, hf_hub_url
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import ModelInfo, RepoSibling
from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

from primase_server.models.hub.errors import HubRefused, HubUnreachable
from primase_server.models.hub.listing import Listing, RemoteFile, listing_of

TIMEOUT_S = 30.0
_PASSING_STATUSES = (408, 425, 429)  # besides 500 and above
_NO_REPOSITORY = "the hub has no such repository, or does not show it to this HF_TOKEN"


@dataclass(frozen=True)
class Body:
    """Bytes of a file from `offset` on, which is 0 where the server did not resume."""

    offset: int
    chunks: Iterator[bytes]


class Hub:
    """One hub; `endpoint` is `HF_ENDPOINT`, or the public one, unless given."""

    def __init__(self, endpoint: str | None = None) -> None:
        self._api = HfApi(endpoint=endpoint, library_name="primase")

    def listing(self, repository: str, revision: str) -> Listing:
        """What to pull at a commit, tag or branch. Raises HubUnreachable, HubRefused."""
        with self._named_errors(f"{repository} at {revision}"):
            info = self._model_info(repository, revision)
        if not info.sha:
            raise HubRefused(f"{self._api.endpoint} does not say which commit {revision} is")
        return listing_of(repository, info.sha, map(_remote_file, info.siblings or ()))

    @contextmanager
    def body(self, listing: Listing, name: str, offset: int) -> Iterator[Body]:
        """The bytes of a file, from an offset if the server can. Raises as `listing` does."""
        endpoint = self._api.endpoint
        url = hf_hub_url(listing.repository, name, revision=listing.commit, endpoint=endpoint)
        headers = build_hf_headers(library_name="primase") | {"Accept-Encoding": "identity"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
        with (
            self._named_errors(f"{name} of {listing.repository} at {listing.commit}"),
            get_session().stream("GET", url, headers=headers, timeout=TIMEOUT_S) as response,
        ):
            hf_raise_for_status(response)
            yield Body(_offset(response), response.iter_bytes())

    def _model_info(self, repository: str, revision: str) -> ModelInfo:
        try:
            return self._api.model_info(
                repository, revision=revision, files_metadata=True, timeout=TIMEOUT_S
            )
        except HFValidationError:
            raise
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise HubRefused(f"{self._api.endpoint} does not answer as a hub does") from error

    @contextmanager
    def _named_errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except OfflineModeIsEnabled as error:
            raise HubUnreachable(f"{what}: HF_HUB_OFFLINE forbids asking the hub") from error
        except httpx2.TransportError as error:
            reason = str(error) or type(error).__name__
            raise HubUnreachable(f"{what}: {self._api.endpoint}: {reason}") from error
        except GatedRepoError as error:
            raise HubRefused(f"{what}: access must be asked for, and HF_TOKEN set") from error
        except RevisionNotFoundError as error:
            raise HubRefused(f"{what}: the hub has no such revision") from error
        except (RepositoryNotFoundError, HFValidationError) as error:
            raise HubRefused(f"{what}: {_NO_REPOSITORY}") from error
        except HfHubHTTPError as error:
            raise _of_status(what, error.response.status_code) from error


def _remote_file(sibling: RepoSibling) -> RemoteFile:
    sha256 = sibling.lfs.sha256 if sibling.lfs else ""
    return RemoteFile(sibling.rfilename, sibling.size or 0, sha256, sibling.blob_id or "")


def _offset(response: httpx2.Response) -> int:
    # `bytes 100-199/200`; an answer without it holds the whole file
    if response.status_code != httpx2.codes.PARTIAL_CONTENT:
        return 0
    start = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
    if not start.isdecimal():
        raise HubRefused(f"{response.url}: a part of a file, without saying which")
    return int(start)


def _of_status(what: str, status: int) -> HubRefused | HubUnreachable:
    if status in _PASSING_STATUSES or status >= httpx2.codes.INTERNAL_SERVER_ERROR:
        return HubUnreachable(f"{what}: the hub answers {status}")
    if status == httpx2.codes.UNAUTHORIZED:
        return HubRefused(f"{what}: {_NO_REPOSITORY}")
    return HubRefused(f"{what}: the hub answers {status}")
