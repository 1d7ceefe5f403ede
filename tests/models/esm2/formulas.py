"""The published formulas of ESM-2 evaluated in float64 numpy, one sequence at a time.

Written from the paper's maths alone and slow on purpose: nothing is packed, fused or streamed.
"""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from primase_server.models.esm2.config import Esm2Config
from tests.models.esm2.reference import Everything

Array64 = NDArray[np.float64]
MASK_ID = 32


class Formulas:
    """A model as a dictionary of float64 matrices under fair-esm's names."""

    def __init__(self, config: Esm2Config, state: Mapping[str, Tensor]) -> None:
        self.config = config
        self.state: dict[str, Array64] = {
            name: tensor.double().numpy() for name, tensor in state.items()
        }

    def everything(self, token_ids: NDArray[np.int64]) -> Everything:
        """All outputs of one sequence with BOS and EOS."""
        n = len(token_ids)
        hidden = [self.embed(token_ids)]
        attentions = []
        for index in range(self.config.num_layers):
            x, attention = self.block(index, hidden[-1])
            hidden.append(x)
            attentions.append(attention)
        hidden[-1] = self.norm("emb_layer_norm_after", hidden[-1])
        logits = self.lm_head(hidden[-1])
        residues = np.stack(hidden)[:, 1:-1]
        maps = np.stack(attentions)  # [layers, heads, n, n]
        return Everything(
            per_token=residues.astype(np.float32),
            mean=residues.mean(axis=1).astype(np.float32),
            bos=np.stack(hidden)[:, 0].astype(np.float32),
            logits=logits[1:-1].astype(np.float32),
            attention_maps=maps[:, :, 1:-1, 1:-1].reshape(-1, n - 2, n - 2).astype(np.float32),
            attention_profiles=maps.mean(axis=(1, 2))[:, 1:-1].astype(np.float32),
            contacts=self.contacts(maps).astype(np.float32),
        )

    def embed(self, token_ids: NDArray[np.int64]) -> Array64:
        """Embeddings after token dropout."""
        x = self.state["embed_tokens.weight"][token_ids].copy()
        is_mask = token_ids == MASK_ID
        x[is_mask] = 0
        scale: float = (1 - 0.15 * 0.8) / (1 - is_mask.sum() / len(token_ids))
        return x * scale

    def block(self, index: int, x: Array64) -> tuple[Array64, Array64]:
        """Hidden states after a block, and its attention [heads, n, n]."""
        name, heads, dim = f"layers.{index}", self.config.num_heads, self.config.head_dim
        a = self.norm(f"{name}.self_attn_layer_norm", x)
        q, k, v = (self.affine(f"{name}.self_attn.{part}_proj", a) for part in "qkv")
        mixed, attentions = np.empty_like(x), []
        for head in range(heads):
            own = slice(head * dim, (head + 1) * dim)
            scores = rope(q[:, own] / math.sqrt(dim)) @ rope(k[:, own]).T
            weights = np.exp(scores - scores.max(axis=1, keepdims=True))
            weights /= weights.sum(axis=1, keepdims=True)
            mixed[:, own] = weights @ v[:, own]
            attentions.append(weights)
        x = x + self.affine(f"{name}.self_attn.out_proj", mixed)
        inner = gelu(self.affine(f"{name}.fc1", self.norm(f"{name}.final_layer_norm", x)))
        return x + self.affine(f"{name}.fc2", inner), np.stack(attentions)

    def lm_head(self, x: Array64) -> Array64:
        """[n, 33]."""
        inner = self.norm("lm_head.layer_norm", gelu(self.affine("lm_head.dense", x)))
        return inner @ self.state["embed_tokens.weight"].T + self.state["lm_head.bias"]

    def contacts(self, maps: Array64) -> Array64:
        """Symmetrise, correct for the average product, regress."""
        inner = maps[:, :, 1:-1, 1:-1]
        channels = inner.reshape(-1, *inner.shape[2:])
        logit = np.full(channels.shape[1:], self.state["contact_head.regression.bias"][0])
        for weight, p in zip(
            self.state["contact_head.regression.weight"][0], channels, strict=True
        ):
            m = p + p.T
            logit += weight * (m - np.outer(m.sum(axis=1), m.sum(axis=0)) / m.sum())
        result: Array64 = 1 / (1 + np.exp(-logit))
        return result

    def affine(self, name: str, x: Array64) -> Array64:
        """x Wᵀ + b."""
        return x @ self.state[f"{name}.weight"].T + self.state[f"{name}.bias"]

    def norm(self, name: str, x: Array64) -> Array64:
        """Layer norm, biased variance."""
        centred = x - x.mean(axis=1, keepdims=True)
        variance = (centred**2).mean(axis=1, keepdims=True)
        scaled: Array64 = centred / np.sqrt(variance + self.config.layer_norm_eps)
        return scaled * self.state[f"{name}.weight"] + self.state[f"{name}.bias"]


def gelu(x: Array64) -> Array64:
    """x Φ(x)."""
    erf: Array64 = np.vectorize(math.erf)(x / math.sqrt(2))
    return x * (1 + erf) / 2


def rope(x: Array64) -> Array64:
    """Rotate each pair (j, j + dim / 2) by position * 10000^(-2j / dim); x: [n, dim]."""
    n, dim = x.shape
    angles = np.outer(np.arange(n), 10000.0 ** (-2 * np.arange(dim // 2) / dim))
    pairs = x[:, : dim // 2] + 1j * x[:, dim // 2 :]
    turned = pairs * np.exp(1j * angles)
    return np.concatenate((turned.real, turned.imag), axis=1)
