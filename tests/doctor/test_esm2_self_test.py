"""The self test sees a wrong number, and knows a right one."""

from dataclasses import replace

import numpy as np
import pytest
from torch import Tensor

from primase_server.doctor import esm2_self_test as self_test
from primase_server.doctor.errors import MAX_ERROR
from primase_server.doctor.esm2_self_test import error_on
from primase_server.models.cpu_linear import Chosen, Kernel
from primase_server.models.linear import Product, plain


def test_this_machine_is_right_in_float32() -> None:
    assert error_on("cpu", "float32") < MAX_ERROR / 10


def test_half_precision_is_near() -> None:
    assert MAX_ERROR < error_on("cpu", "bfloat16") < 0.05


@pytest.mark.parametrize("name", ["mean", "mask_logits", "contact_sums"])
def test_a_wrong_number_is_an_error(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    stored = self_test._stored()
    wrong = {**stored.outputs, name: stored.outputs[name] * np.float32(1.01)}
    monkeypatch.setattr(self_test, "_stored", lambda: replace(stored, outputs=wrong))
    assert error_on("cpu", "float32") == pytest.approx(0.01 / 1.01, rel=1e-2)


def test_the_kernel_that_serves_is_the_one_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(weight: Tensor, bias: Tensor | None, *, with_gelu: bool = False) -> Product:
        return plain(weight * 1.01, bias, with_gelu=with_gelu)

    kernel = Kernel("wrong", "1 % too much", 1e-5, wrong)
    monkeypatch.setattr(self_test, "products_for", lambda _: Chosen(kernel, kernel.note))
    assert error_on("cpu", "float32") > MAX_ERROR
