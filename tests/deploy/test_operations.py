"""The page for operators tells what the code has: every setting, and the memory of every model."""

import re

import yaml

from primase_server.health_command import health
from primase_server.models.families import FAMILIES
from tests.deploy.test_compose import COMPOSE
from tests.deploy.tree import PROJECT
from tools import operations_page

TWIN = re.compile(r"`(PRIMASE_\w+)`")
PAGE = operations_page.PAGE.read_text()


def test_its_tables_are_fresh() -> None:
    assert operations_page.filled(PAGE) == PAGE, "run: python -m tools.operations_page"


def test_memory_is_told_for_every_model() -> None:
    [section] = re.findall(r"<!-- memory of weights -->(.*)<!-- end of memory", PAGE, re.S)
    told = re.findall(r"^\| `([^`]+)` \|", section, re.M)
    assert told == [name for family in FAMILIES for name in family.official_names]
    assert "| `esm2-650m` | 651.0 M | 2.4 GiB | 1.2 GiB |" in section


def test_state_is_two_numbers_a_token_channel_and_block_of_attention() -> None:
    # 12 blocks of width 1,024 in float32; 5 blocks of attention of width 4,096 in 16 bits, and more
    assert "| `progen2-small` | 12 MiB; 24 MiB | 48 MiB; 96 MiB |" in PAGE
    assert 12 * 2 * 1024 * 1024 * 4 == 96 << 20
    assert 80 <= 5 * 2 * 4096 * (1 << 20) * 2 / (1 << 30) <= 80.05
    assert re.search(r"^\| `evo2-7b` .*\| 80\.0 GiB; 160 GiB \|$", PAGE, re.M)


def test_files_that_it_names_are_there() -> None:
    named = set(re.findall(r"`(deploy/[\w./-]+)`", PAGE))
    assert {"deploy/compose.yaml", "deploy/systemd/primase.service"} <= named
    assert [name for name in named if not (PROJECT / name).exists()] == []


def test_its_example_of_an_override_is_understood() -> None:
    """As compose would pass it: every variable is an option's."""
    [example] = re.findall(r"```yaml\n(.*?)```", PAGE, re.S)
    services = yaml.safe_load(example)["services"]
    known = {name for table in operations_page.tables().values() for name in TWIN.findall(table)}
    health_twins = {f"PRIMASE_HEALTH_{str(option.name).upper()}" for option in health.params}
    for container in services.values():
        assert set(container["environment"]) <= known | health_twins
    assert set(services) <= set(COMPOSE["services"])
