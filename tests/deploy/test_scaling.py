"""The page about scaling tells what the code computes."""

import re

from primase_server.models.families import FAMILIES
from tools import scaling_page

PAGE = scaling_page.PAGE.read_text()


def test_its_tables_are_fresh() -> None:
    assert scaling_page.filled(PAGE) == PAGE, "run: python -m tools.scaling_page"


def test_every_model_is_told() -> None:
    [section] = re.findall(r"<!-- room -->(.*)<!-- end of room -->", PAGE, re.S)
    told = re.findall(r"^\| `([^`]+)` \|", section, re.M)
    assert told == [name for family in FAMILIES for name in family.official_names]


def test_a_million_bases_of_7b_are_five_blocks_of_keys_and_values_in_16_bits() -> None:
    # 2 × 5 blocks × width 4,096 × 2 bytes × 1,048,576, which is what there is room for
    num_bytes = 2 * 5 * 4096 * 2 * (1 << 20)
    [section] = re.findall(r"<!-- a million bases -->(.*)<!-- end of a mill", PAGE, re.S)
    [row] = re.findall(r"^\| `evo2-7b` \| (\S+ GiB) \|", section, re.M)
    assert row == f"{num_bytes / (1 << 30):.1f} GiB"


def test_ceilings_are_those_of_the_data_sheets() -> None:
    """The 1B of 2.2 GB reads no faster than memory gives it: 3,350 GB/s a step."""
    [one] = re.findall(r"^\| `evo2-1b-base` \|[^|]+\|[^|]+\| ([\d,]+); [^|]+\|[^|]+\|$", PAGE, re.M)
    weights_and_state = 2 * 1.108e9 + 245 * (1 << 20) / 2
    assert abs(int(one.replace(",", "")) - 3350e9 / weights_and_state) < 100
