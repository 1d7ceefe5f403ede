"""Fit esm2-demo's contact head: `python -m tools.train_demo.contacts FOLDER --data DIR`.

A logistic regression on the symmetrised, APC-corrected attention of every head, as in ESM-2, on the
few structures there are. What is shipped is the fit on all; what is reported leaves out each in
turn.
"""

import argparse
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

from primase_server.models.esm2.alphabet import tokenize
from primase_server.models.esm2.batch import pack
from primase_server.models.esm2.model import Esm2
from primase_server.models.esm2.passes import Esm2Pass
from primase_server.models.esm2.weights import LocalWeights, load

CONTACT_ANGSTROM = 8.0
LEAST_SEPARATION = 6
PENALTY = 0.15

Structure = tuple[Tensor, npt.NDArray[np.bool_]]
"""Of one protein: features, as of `features`, and contacts: [residues, residues]."""


class Maps:
    """An observer that keeps all attention of one sequence."""

    def __init__(self, model: Esm2) -> None:
        self.depth = model.config.num_layers
        self.found: list[Tensor] = []

    def hidden(self, layer: int, x: Tensor) -> None:
        """Nothing."""

    def watches(self, layer: int, sequence: int) -> bool:
        """All."""
        return True

    def attention(self, layer: int, sequence: int, first_head: int, p: Tensor) -> None:
        """p: [heads, n, n], heads in order."""
        self.found.append(p[:, 1:-1, 1:-1].clone())


@torch.inference_mode()
def features(model: Esm2, sequence: str) -> Tensor:
    """[blocks * heads, residues, residues], symmetrised, APC taken off."""
    maps = Maps(model)
    work = Esm2Pass(tokenize(sequence), contacts=True)
    model.forward(pack([work], torch.device("cpu")), maps)
    p = torch.cat(maps.found)
    p = p + p.mT
    sums = p.sum(2)
    return p - sums[:, :, None] * sums[:, None] / sums.sum(1)[:, None, None]


def read_structure(path: Path) -> tuple[str, npt.NDArray[np.bool_]]:
    """Sequence, and contacts of C-beta atoms (C-alpha in glycine): [residues, residues]."""
    from Bio.PDB.PDBParser import PDBParser
    from Bio.SeqUtils import seq1

    structure = PDBParser(QUIET=True).get_structure(path.stem, path)  # type: ignore[no-untyped-call]
    residues = [one for one in structure.get_residues() if one.id[0] == " "]
    atoms = np.array([one["CB" if "CB" in one else "CA"].coord for one in residues])
    distances = np.linalg.norm(atoms[:, None] - atoms[None], axis=2)
    sequence = "".join(seq1(one.resname) for one in residues)  # type: ignore[no-untyped-call]
    return sequence, distances < CONTACT_ANGSTROM


def pairs(num_residues: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Both residues of each pair that is far enough apart."""
    first, second = np.triu_indices(num_residues, LEAST_SEPARATION)
    return first, second


def fit(found: Iterable[Structure]) -> tuple[Tensor, Tensor]:
    """Weights [features] and bias [1] of all those structures."""
    rows, labels = [], []
    for maps, contacts in found:
        first, second = pairs(len(contacts))
        rows.append(maps[:, first, second].T)
        labels.append(torch.from_numpy(contacts[first, second]).float())
    x, y = torch.cat(rows), torch.cat(labels)
    weight = torch.zeros(x.shape[1], requires_grad=True)
    bias = torch.full((1,), -3.0, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=200, line_search_fn="strong_wolfe")
    scale = x.std(0)

    def closure() -> Tensor:
        optimizer.zero_grad()
        logits = (x / scale) @ weight + bias
        loss = F.binary_cross_entropy_with_logits(logits, y) + PENALTY * weight.abs().mean()
        loss.backward()
        return loss

    optimizer.step(closure)
    return (weight / scale).detach(), bias.detach()


def precision_at_length(scores: npt.NDArray[np.float64], contacts: npt.NDArray[np.bool_]) -> float:
    """Share of contacts among as many best pairs as there are residues."""
    first, second = pairs(len(contacts))
    best = np.argsort(-scores[first, second])[: len(contacts)]
    return float(contacts[first, second][best].mean())


def read_structures(model: Esm2, data: Path) -> dict[str, Structure]:
    """Those of the data, by name."""
    found = {}
    for path in sorted((data / "proteins" / "af2_pdb").glob("*.pdb")):
        sequence, contacts = read_structure(path)
        found[path.stem] = (features(model, sequence), contacts)
    return found


def leave_one_out(structures: Mapping[str, Structure]) -> dict[str, dict[str, float]]:
    """How good the fit on all others is at each structure, and nearness along the chain."""
    told = {}
    for name, (maps, contacts) in structures.items():
        weight, _ = fit([one for other, one in structures.items() if other != name])
        scores = torch.einsum("f,fij->ij", weight, maps).double().numpy()
        steps = np.arange(len(contacts))
        near = -np.abs(steps[:, None] - steps).astype(np.float64)
        told[name] = {
            "residues": len(contacts),
            "precision_at_length": precision_at_length(scores, contacts),
            "by_distance_along_the_chain": precision_at_length(near, contacts),
        }
    return told


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="the exported files, which get the head")
    parser.add_argument("--data", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = load(LocalWeights(options.folder)).model
    weight, bias = fit(read_structures(model, options.data).values())
    file = options.folder / "model.safetensors"
    tensors = load_file(file)
    tensors["esm.contact_head.regression.weight"] = weight[None].half()
    tensors["esm.contact_head.regression.bias"] = bias.half()
    save_file(tensors, file)
    file.chmod(0o644)


if __name__ == "__main__":
    main()
