"""Loading holds every weight once, and little more while it packs."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import sys
import torch
from primase_server.models import cpu_linear
from primase_server.models.given_weights import RandomWeights
from primase_server.models.esm2.weights import load

def resident(field):
    with open("/proc/self/status") as status:
        [line] = [line for line in status if line.startswith(field)]
    return int(line.split()[1]) * 1024

torch.set_num_threads(1)
make = cpu_linear.KERNELS[sys.argv[1]].make
load(RandomWeights("fixture"), make=make)
before = resident("VmRSS")
model = load(RandomWeights("esm2_t12_35M_UR50D"), make=make)
print(resident("VmRSS") - before, resident("VmHWM") - before)
"""
BLOCKS_BYTES = 12 * 12 * 480 * 480 * 4
OTHER_BYTES = (480 * 480 + 33 * 480 * 2) * 4
LARGEST_BYTES = 4 * 480 * 480 * 4
SLACK_BYTES = 6 << 20


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(("kernel", "share"), [("plain", 1.0), ("prepacked", 1.0), ("int8", 0.25)])
def test_weights_are_held_once(kernel: str, share: float) -> None:
    command = [sys.executable, "-c", PROGRAM, kernel]
    # what is freed goes back at once, so that what is counted is what is held
    environment = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"}
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=120, env=environment
    )
    held_bytes, peak_bytes = map(int, done.stdout.split())
    weights_bytes = share * BLOCKS_BYTES + OTHER_BYTES
    assert held_bytes < weights_bytes + SLACK_BYTES
    assert peak_bytes < weights_bytes + SLACK_BYTES + 2 * LARGEST_BYTES
