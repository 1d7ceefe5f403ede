"""Train evo2-demo: `python -m tools.train_demo.evo2 --data DIR --out DIR`.

The run goes on from the last checkpoint in `--out`, at a level learning rate and for as long as it
is let; `--decay STEPS` takes that checkpoint to its end and writes `final.pt` beside it.

What makes it learn from few tokens:

- **A teacher.** The targets are blended with those of a Markov model that knows where the genes of
  the training part lie. Where the base that comes is a draw of near two bits, the teacher's share
  of it is the distribution itself. The share falls as the model comes up to its teacher.
- **The phase** of each next base, by the same annotation, is a second thing to learn; its head is
  thrown away.
- **Depth by and by.** Blocks begin as nothing, so the first stages run some of them only.
"""

import argparse
import math
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from primase_server.models.evo2.config import VARIANTS
from tools.train_demo import curve, genome
from tools.train_demo.evo2_network import MATRICES, Evo2Network
from tools.train_demo.genome import Stretch
from tools.train_demo.markov import Markov
from tools.train_demo.training import Ema, Muon, append, save, warm_up_and_decay

CONFIG = replace(
    VARIANTS["evo2_1b_base"],
    width=96,
    num_heads=3,
    inner_width=256,
    hcs_groups=96,
    hcm_groups=12,
    needs_fp8=False,
)
NUM_PHASES = 7
TEACHER_WEIGHTS = (1.0, 10.0, 40.0, 40.0, 40.0, 40.0, 80.0, 160.0)
VALIDATION_WINDOWS, VALIDATION_TOKENS = 48, 512


@dataclass(frozen=True)
class Stage:
    """Up to `until` tokens in all: windows of `length` tokens, `batch` of them, so many blocks,
    and the teacher's share of a target, 0 to 1."""

    until: int
    num_blocks: int
    length: int
    batch: int
    blend: float = 0.8


STAGES = (
    Stage(2_500_000, 7, 512, 8),
    Stage(8_000_000, 14, 512, 8),
    Stage(11_650_000, 25, 512, 16),
    Stage(10**12, 25, 1024, 8, 0.6),
)
DECAY = Stage(10**12, 25, 4096, 2, 0.4)
"""The end of the run, in which all of the context is read."""


@dataclass(frozen=True, eq=False)
class Corpus:
    """All strands of the training part, end to end.

    bases, phases: [n]; teacher: [n, 4] float16; starts and lengths of the stretches.
    """

    bases: Tensor
    phases: Tensor
    teacher: Tensor
    starts: Tensor
    lengths: Tensor

    def windows(self, count: int, length: int, generator: torch.Generator) -> Tensor:
        """Places of `count` windows of length + 1: [count, length + 1]; none crosses a border."""
        room = (self.lengths - length).clamp_min(0).double()
        place = (torch.rand(count, generator=generator, dtype=torch.float64) * room.sum()).long()
        ends = room.cumsum(0).long()
        stretch = torch.searchsorted(ends, place, right=True)
        first = self.starts[stretch] + place - (ends - room.long())[stretch]
        return first[:, None] + torch.arange(length + 1)


def both(stretches: list[Stretch]) -> list[Stretch]:
    """Each with its other strand."""
    return [strand for one in stretches for strand in (one, one.reverse())]


def read_corpus(data: Path) -> Corpus:
    """The training part with what the teacher says of each base, without that base's own count."""
    ecoli = both(genome.part(genome.read_ecoli(data), None))
    others = both(genome.read_others(data))
    teacher = Markov(ecoli, len(TEACHER_WEIGHTS) - 1, phased=True)
    plain = Markov(others, 5)
    told = [teacher.probabilities(one, TEACHER_WEIGHTS, leave_out=True) for one in ecoli]
    told += [plain.probabilities(one, [16.0] * 6, leave_out=True) for one in others]
    stretches = ecoli + others
    lengths = torch.tensor([len(one) for one in stretches])
    return Corpus(
        torch.from_numpy(np.concatenate([one.bases for one in stretches])),
        torch.from_numpy(np.concatenate([one.phases for one in stretches])),
        torch.from_numpy(np.concatenate(told)).half(),
        lengths.cumsum(0) - lengths,
        lengths,
    )


def read_validation(data: Path) -> Tensor:
    """Windows of both strands of the validation part, evenly spread: [windows, tokens + 1]."""
    strands = both(genome.part(genome.read_ecoli(data), genome.VALIDATION_TURN))
    rows = []
    for index in range(VALIDATION_WINDOWS):
        strand = strands[index % len(strands)]
        turn = index // len(strands)
        turns = -(-VALIDATION_WINDOWS // len(strands))
        start = (len(strand) - VALIDATION_TOKENS - 1) * turn // turns
        rows.append(strand.bases[start : start + VALIDATION_TOKENS + 1])
    return torch.from_numpy(np.stack(rows)).long()


class Training:
    """Model, optimisers and their place in the run."""

    def __init__(self, seed: int, lr: float, *, compiled: bool, decays: bool = False) -> None:
        self.stages = (DECAY,) if decays else STAGES
        self.network = Evo2Network(CONFIG, seed, compiled=compiled)
        torch.manual_seed(seed)
        self.phase_head = torch.nn.Linear(CONFIG.width, NUM_PHASES)
        weights = dict(self.network.weights.items())
        matrices = [v for k, v in weights.items() if k.split("/")[-1] in MATRICES]
        poles = [v for k, v in weights.items() if k.endswith("/rates")]
        known = {id(one) for one in matrices + poles}
        rest = [v for v in weights.values() if id(v) not in known]
        self.optimizers: list[torch.optim.Optimizer] = [
            Muon(matrices, lr=lr, decay=0.05),
            torch.optim.AdamW(
                [
                    {"params": rest, "lr": lr},
                    {"params": poles, "lr": lr},
                    {"params": list(self.phase_head.parameters()), "lr": lr},
                ],
                betas=(0.9, 0.98),
                weight_decay=0.0,
            ),
        ]
        self.lr, self.step, self.tokens = lr, 0, 0
        self.ema = Ema(weights)
        self.generator = torch.Generator().manual_seed(seed + 1)

    def stage(self) -> Stage:
        """The one that the run is in."""
        return next(stage for stage in self.stages if self.tokens < stage.until)

    def run_step(self, corpus: Corpus, share: float) -> float:
        """Learn from one batch at a share of the learning rate. Returns its loss in bits."""
        stage = self.stage()
        places = corpus.windows(stage.batch, stage.length, self.generator)
        bases, phases = corpus.bases[places].long(), corpus.phases[places][:, 1:].long()
        logits, rows = self.network(bases[:, :-1], stage.num_blocks)
        log_probs = logits.log_softmax(-1)
        told = log_probs[..., :4] * corpus.teacher[places][:, 1:].float()
        hard = -log_probs.gather(2, bases[:, 1:, None]).mean()
        phase = F.cross_entropy(
            self.phase_head(rows).flatten(0, 1), phases.flatten(), ignore_index=genome.UNKNOWN
        )
        loss = -stage.blend * told.sum(-1).mean() + (1 - stage.blend) * hard + 0.15 * share * phase
        loss.backward()
        parameters = list(self.network.parameters()) + list(self.phase_head.parameters())
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.lr * share
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.step += 1
        self.tokens += stage.batch * stage.length
        self.ema.update(dict(self.network.weights.items()), self.step)
        return float(hard.detach()) / math.log(2)

    @torch.no_grad()
    def validate(self, windows: Tensor) -> tuple[float, float]:
        """Bits per base on windows: of the running mean of the weights, and of the last."""
        return self._bits(windows, self.ema.mean), self._bits(windows, None)

    def _bits(self, windows: Tensor, weights: dict[str, Tensor] | None) -> float:
        live = {name: weight.data for name, weight in self.network.weights.items()}
        for name, weight in (weights or {}).items():
            self.network.weights[name].data = weight
        losses = []
        with torch.no_grad():
            for some in windows.split(16):
                logits, _ = self.network(some[:, :-1], self.stage().num_blocks)
                losses.append(F.cross_entropy(logits.flatten(0, 1), some[:, 1:].flatten()))
        for name, weight in live.items():
            self.network.weights[name].data = weight
        return float(torch.stack(losses).mean()) / math.log(2)

    def state(self) -> dict[str, object]:
        """All that a resumed run needs to go on as if it had not stopped."""
        return {
            "weights": {k: v.detach() for k, v in self.network.weights.items()},
            "phase_head": self.phase_head.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "ema": self.ema.mean,
            "step": self.step,
            "tokens": self.tokens,
            "generator": self.generator.get_state(),
        }

    def load(self, path: Path) -> None:
        """Go on from `state`."""
        state = torch.load(path, weights_only=True)
        for name, weight in state["weights"].items():
            self.network.weights[name].data.copy_(weight)
        self.phase_head.load_state_dict(state["phase_head"])
        for optimizer, one in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(one)
        self.ema.mean, self.step, self.tokens = state["ema"], state["step"], state["tokens"]
        self.generator.set_state(state["generator"])


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="the folder of the sequences")
    parser.add_argument("--out", type=Path, required=True, help="checkpoints and log go here")
    parser.add_argument("--stop", type=int, help="stop after so many steps from now")
    parser.add_argument("--decay", type=int, help="end the run in so many steps")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lr", type=float, default=4e-3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--every", type=int, default=100, help="steps between checkpoints")
    parser.add_argument("--no-compile", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.out.mkdir(parents=True, exist_ok=True)
    level, final = options.out / "level.pt", options.out / "final.pt"
    log = options.out / ("decay.jsonl" if options.decay else "log.jsonl")
    corpus, windows = read_corpus(options.data), read_validation(options.data)
    compiled, decays = not options.no_compile, bool(options.decay)
    training = Training(options.seed, options.lr, compiled=compiled, decays=decays)
    source = final if options.decay and final.exists() else level
    if source.exists():
        training.load(source)
    first = torch.load(level, weights_only=True)["step"] if options.decay else 0
    last = first + options.decay if options.decay else training.step + (options.stop or 10**9)
    losses, begun = [], time.process_time()
    for _ in tqdm(range(training.step, last), initial=training.step, total=last):
        share = warm_up_and_decay(
            training.step, 100, first if options.decay else last, options.decay or 1
        )
        losses.append(training.run_step(corpus, share))
        if training.step % options.every == 0 or training.step == last:
            mean, live = training.validate(windows)
            row = {
                "step": training.step,
                "tokens": training.tokens,
                "num_blocks": training.stage().num_blocks,
                "train_bits": round(float(np.mean(losses)), 4),
                "validation_bits": round(mean, 4),
                "validation_bits_live": round(live, 4),
                "cpu_s": round(time.process_time() - begun, 1),
            }
            append(log, row)
            save(final if options.decay else level, training.state())
            losses, begun = [], time.process_time()
    logs = [options.out / f"{name}.jsonl" for name in ("log", "decay")]
    curve.draw([one for one in logs if one.exists()], options.out / "loss.png", "evo2-demo")


if __name__ == "__main__":
    main()
