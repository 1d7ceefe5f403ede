"""Each family computes in the numbers that suit it, unless the operator says otherwise."""

import pytest

from primase_server.loading.precision import dtype_name, products_for
from primase_server.models import cpu_linear
from primase_server.models.families import ESM2, EVO2, PROGEN2, Family
from primase_server.settings import DATA_TYPES, Settings


@pytest.mark.parametrize(
    ("family", "device", "dtype"),
    [
        (ESM2, "cpu", "float32"),
        (ESM2, "cuda", "float32"),
        (EVO2, "cpu", "float32"),
        (EVO2, "cuda", "bfloat16"),
        (EVO2, "cuda:1", "bfloat16"),
        (PROGEN2, "cpu", "float32"),
        (PROGEN2, "cuda", "float16"),
    ],
)
def test_each_family_has_its_own_type(family: Family, device: str, dtype: str) -> None:
    assert dtype_name(family, Settings(device=device)) == dtype


@pytest.mark.parametrize("family", [ESM2, EVO2, PROGEN2])
@pytest.mark.parametrize("dtype", DATA_TYPES)
def test_the_operator_s_type_is_that_of_all(family: Family, dtype: str) -> None:
    for device in ("cpu", "cuda"):
        assert dtype_name(family, Settings(device=device, dtype=dtype)) == dtype


def test_8_bits_on_a_cpu_are_for_families_whose_error_is_known() -> None:
    settings = Settings(cpu_linear="int8")
    assert products_for(settings, PROGEN2).kernel is cpu_linear.INT8
    assert products_for(settings, ESM2).kernel is cpu_linear.INT8
    assert products_for(settings, EVO2).kernel is cpu_linear.HALF


def test_weights_published_in_16_bits_stay_in_them() -> None:
    assert products_for(Settings(), EVO2).kernel is cpu_linear.HALF
    assert products_for(Settings(cpu_linear="plain"), EVO2).kernel is cpu_linear.PLAIN
    assert products_for(Settings(), ESM2).kernel is cpu_linear.PREPACKED
