"""What Ray Serve is given to start: a front end with the options of `primase serve`."""

import importlib
from typing import Any

import pytest

from primase_server.settings import ReplicaRange

# Ray Serve defines its own settings in a way that pydantic will not know for ever.
pytestmark = pytest.mark.filterwarnings("ignore:Using extra keyword arguments on `Field`")


@pytest.fixture(name="ray_service")
def imported() -> Any:
    return importlib.import_module("primase_server.ray_service")


def test_its_arguments_are_those_of_the_command(ray_service: Any) -> None:
    settings = ray_service.settings_of(
        ["--model=esm2-8m=random", "--replicas=esm2-8m=1:4", "--grpc-port=0"]
    )
    assert (settings.engine, settings.cluster.address) == ("ray", "auto")
    assert settings.cluster.replicas == (ReplicaRange("esm2-8m", 1, 4),)
    assert settings.grpc.port == 0


def test_wrong_ones_say_why(ray_service: Any) -> None:
    with pytest.raises(ValueError, match="No such option"):
        ray_service.settings_of(["--modle=esm2-8m=random"])


def test_the_application_is_one_front_end(ray_service: Any) -> None:
    application = ray_service.front_end({"arguments": ["--model=esm2-8m=random"]})
    deployment = application._bound_deployment
    assert (deployment.name, deployment.num_replicas) == ("FrontEnd", 1)
