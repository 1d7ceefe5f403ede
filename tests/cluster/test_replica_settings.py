"""What a replica is told, of what its front end was told."""

from primase_server.cluster.ray_factory import replica_settings
from primase_server.cluster.replicas import ReplicaSpec, Resources
from primase_server.settings import Listen, ModelSettings, Settings, Telemetry

SETTINGS = Settings(
    models=(ModelSettings("small", "hub"), ModelSettings("large", "hub", ("big",))),
    telemetry=Telemetry(Listen("127.0.0.1", 9464)),
    rest_token="secret",
    num_threads=31,
)


def test_it_runs_where_it_has_been_given_room() -> None:
    small = replica_settings(SETTINGS, ReplicaSpec("small", "hub", Resources(num_cpus=4)))
    large = replica_settings(SETTINGS, ReplicaSpec("large", "hub", Resources(num_gpus=1)))
    assert (small.device, small.num_threads) == ("cpu", 4)
    assert (large.device, large.num_threads) == ("cuda", 1)


def test_it_has_its_model_alone_and_nothing_of_the_edge() -> None:
    told = replica_settings(SETTINGS, ReplicaSpec("large", "/srv/new", Resources()))
    assert told.models == (ModelSettings("large", "/srv/new", ("big",)),)
    assert (told.rest, told.rest_token, told.tls) == (None, "", None)
    assert told.telemetry == Telemetry()
