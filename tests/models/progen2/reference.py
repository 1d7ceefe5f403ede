"""transformers' GPT-J with the weights of a ProGen2 checkpoint, its rows split as the layout says.

GPT-J keeps queries, keys and values in matrices of their own; every other tensor has the same name.
"""

from collections.abc import Mapping, Sequence
from functools import cache

import torch
from torch import Tensor
from transformers import GPTJConfig, GPTJForCausalLM

from primase_server.models.progen2.config import ProGen2Config
from tests.models.progen2.tiny import MAIN, state

_BUFFERS = (".attn.bias", ".attn.masked_bias")


def build(config: ProGen2Config, tensors: Mapping[str, Tensor]) -> GPTJForCausalLM:
    """The model, ready to be asked; float32."""
    model = GPTJForCausalLM(
        GPTJConfig(
            vocab_size=config.vocabulary_size,
            n_positions=config.max_tokens,
            n_embd=config.width,
            n_layer=config.num_layers,
            n_head=config.num_heads,
            rotary_dim=config.rotary_dims,
            n_inner=config.inner_width,
            activation_function="gelu_new",
            layer_norm_epsilon=config.eps,
            attn_pdrop=0.0,
            embd_pdrop=0.0,
            resid_pdrop=0.0,
            bos_token_id=1,
            eos_token_id=None,
            tie_word_embeddings=False,
        )
    )
    missing, unexpected = model.load_state_dict(gptj_state(tensors), strict=False)
    assert not unexpected
    assert all(name.endswith("embed_positions") for name in missing)
    model.eval()
    return model


def gptj_state(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under GPT-J's names: groups of queries, then values, then keys, taken apart."""
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if name.endswith("qkv_proj.weight"):
            width = tensor.shape[1]
            groups = tensor.reshape(8, 3, width // 8, width)
            for part, place in (("q", 0), ("v", 1), ("k", 2)):
                split = groups[:, place].reshape(width, width)
                found[name.replace("qkv_proj", f"{part}_proj")] = split
        elif not name.endswith(_BUFFERS):
            found[name] = tensor
    return found


@cache
def gptj(config: ProGen2Config = MAIN) -> GPTJForCausalLM:
    """Of the seeded checkpoint of that shape."""
    return build(config, state(config))


@torch.inference_mode()
def logits(token_ids: Sequence[int], config: ProGen2Config = MAIN) -> Tensor:
    """[tokens, vocabulary] of one sequence by itself, without a cache."""
    found: Tensor = gptj(config)(torch.tensor([token_ids]), use_cache=False).logits[0]
    return found
