"""What the training scripts share: the optimiser, the schedule, checkpoints, log and curve."""

import argparse
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from tools.train_demo.protein_networks import ProteinNetwork

EMA_STEPS = 300
"""Steps that the running mean of the weights looks back on."""


class Muon(torch.optim.Optimizer):
    """Momentum whose matrix steps are made orthogonal, all matrices of a shape at once.

    After Jordan et al. 2024 (https://kellerjordan.github.io/posts/muon/): five Newton-Schulz steps
    with their coefficients. A step has the root mean square that AdamW's would have about.
    """

    def __init__(
        self, parameters: Iterable[Tensor], lr: float, momentum: float = 0.95, decay: float = 0.0
    ) -> None:
        super().__init__(list(parameters), {"lr": lr, "momentum": momentum, "decay": decay})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One step of every matrix that has a gradient."""
        for group in self.param_groups:
            by_shape: dict[torch.Size, list[Tensor]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    by_shape.setdefault(parameter.shape, []).append(parameter)
            for parameters in by_shape.values():
                self._step(parameters, group["lr"], group["momentum"], group["decay"])

    def _step(self, parameters: list[Tensor], lr: float, momentum: float, decay: float) -> None:
        steps = []
        for parameter in parameters:
            grad = parameter.grad
            assert grad is not None
            state = self.state[parameter]
            if "momentum" not in state:
                state["momentum"] = torch.zeros_like(parameter)
            state["momentum"].lerp_(grad, 1 - momentum)
            steps.append(grad.lerp(state["momentum"], momentum))
        rows, columns = parameters[0].shape
        scale = 0.2 * math.sqrt(max(rows, columns))
        for parameter, step in zip(parameters, orthogonal(torch.stack(steps)), strict=True):
            parameter.mul_(1 - lr * decay).add_(step, alpha=-lr * scale)


def orthogonal(x: Tensor) -> Tensor:
    """About U V' of x = U S V' for each matrix: [n, rows, columns], in bfloat16."""
    tall = x.shape[1] > x.shape[2]
    x = (x.mT if tall else x).bfloat16()
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        gram = x @ x.mT
        x = 3.4445 * x + (-4.7750 * gram + 2.0315 * gram @ gram) @ x
    return (x.mT if tall else x).float()


class Ema:
    """A running mean of weights, of less steps in the beginning."""

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        self.mean = {name: weight.detach().clone() for name, weight in weights.items()}

    @torch.no_grad()
    def update(self, weights: Mapping[str, Tensor], step: int) -> None:
        """Take in the weights after `step` steps, counted from 1."""
        share = max(1 / EMA_STEPS, 1 / (1 + step / 4))
        torch._foreach_lerp_(list(self.mean.values()), [weights[name] for name in self.mean], share)


def warm_up_and_decay(step: int, warm_up: int, decay_start: int, decay_steps: int) -> float:
    """Share of the learning rate: up, then level, then straight down to zero."""
    return min(1.0, (step + 1) / warm_up, max(0.0, 1 - (step - decay_start) / max(1, decay_steps)))


def save(path: Path, state: Mapping[str, object]) -> None:
    """Replace a checkpoint at once, so that a run that is killed leaves a whole one."""
    new = path.with_suffix(".new")
    torch.save(dict(state), new)
    new.replace(path)


def append(path: Path, row: Mapping[str, object]) -> None:
    """Add a line of JSON to a log."""
    with path.open("a", encoding="utf-8") as log:
        log.write(json.dumps(row) + "\n")


def read_log(path: Path) -> list[dict[str, Any]]:
    """The rows of a log; of steps told twice, after a resume, the later."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return sorted({row["step"]: row for row in rows}.values(), key=lambda row: int(row["step"]))


class Learner:
    """A protein network, its optimisers, and its place in a run of `num_steps` steps.

    `split` is the digest of the split that it learns from.
    """

    def __init__(
        self, network: ProteinNetwork, num_steps: int, lr: float, seed: int, split: str
    ) -> None:
        self.network, self.num_steps, self.lr, self.split = network, num_steps, lr, split
        matrices = network.matrices()
        known = {id(one) for one in matrices}
        rest = [one for one in network.parameters() if id(one) not in known]
        self.optimizers: list[torch.optim.Optimizer] = [
            Muon(matrices, lr=lr, decay=0.1),
            torch.optim.AdamW(rest, lr=lr, betas=(0.9, 0.98), weight_decay=0.01),
        ]
        self.ema, self.step = Ema(dict(network.weights.items())), 0
        self.generator = torch.Generator().manual_seed(seed + 1)

    def learn(self, loss: Tensor) -> None:
        """One step: up over 50, level, and down over the last third."""
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        decay_steps = self.num_steps // 3
        share = warm_up_and_decay(self.step, 50, self.num_steps - decay_steps, decay_steps)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.lr * share
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.step += 1
        self.ema.update(dict(self.network.weights.items()), self.step)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The network with the running mean of its weights, without gradients."""
        live = {name: weight.data for name, weight in self.network.weights.items()}
        for name, weight in self.ema.mean.items():
            self.network.weights[name].data = weight
        try:
            with torch.no_grad():
                yield
        finally:
            for name, weight in live.items():
                self.network.weights[name].data = weight

    def state(self) -> dict[str, object]:
        """All that a resumed run needs to go on as if it had not stopped."""
        return {
            "weights": {k: v.detach() for k, v in self.network.weights.items()},
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "ema": self.ema.mean,
            "step": self.step,
            "generator": self.generator.get_state(),
            "torch": torch.get_rng_state(),
            "split": self.split,
        }

    def load(self, path: Path) -> None:
        """Go on from `state`, which has to be of the same split."""
        state = torch.load(path, weights_only=True)
        if (split := state.get("split")) != self.split:
            raise SystemExit(f"{path} learned from split {split}, not {self.split}")
        for name, weight in state["weights"].items():
            self.network.weights[name].data.copy_(weight)
        for optimizer, one in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(one)
        self.ema.mean, self.step = state["ema"], state["step"]
        self.generator.set_state(state["generator"])
        torch.set_rng_state(state["torch"])

    def run(
        self, out: Path, loss: Callable[[], Tensor], validate: Callable[[], float], every: int,
        stop: int | None = None,
    ) -> None:  # fmt: skip
        """Go on to the end, or by `stop` steps: a log line and a checkpoint every so many steps."""
        out.mkdir(parents=True, exist_ok=True)
        path, losses, begun = out / "last.pt", [], time.process_time()
        if path.exists():
            self.load(path)
        last = min(self.num_steps, self.step + (stop or self.num_steps))
        for _ in tqdm(
            range(self.step, last), initial=self.step, total=self.num_steps, mininterval=10
        ):
            one = loss()
            self.learn(one)
            losses.append(float(one.detach()))
            if self.step % every == 0 or self.step == last:
                with self.averaged():
                    found = validate()
                row = {
                    "step": self.step,
                    "train_bits": round(sum(losses) / len(losses) / math.log(2), 4),
                    "validation_bits": round(found, 4),
                    "cpu_s": round(time.process_time() - begun, 1),
                }
                append(out / "log.jsonl", row)
                save(path, self.state())
                losses, begun = [], time.process_time()


def parse_options(doc: str, num_steps: int, lr: float) -> argparse.Namespace:
    """The options of a protein's script, with its own defaults."""
    parser = argparse.ArgumentParser(description=doc.split("\n", maxsplit=1)[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder of the sequences")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint and log go here")
    parser.add_argument("--num-steps", type=int, default=num_steps, help="of the whole run")
    parser.add_argument("--stop", type=int, help="stop after so many steps from now")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lr", type=float, default=lr)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--every", type=int, default=50, help="steps between checkpoints")
    parser.add_argument("--no-compile", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    return options
