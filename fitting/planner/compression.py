"""How far is text compressed? The model as an archive (lossy), and the model plus the text that it codes (lossless).

Any language model with an arithmetic coder is a lossless compressor of L / ln 2 bits a token (Deletang et al. 2023,
arXiv:2309.10668); whoever unpacks needs the model too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fitting.planner.memory import WEIGHT_BYTES
from fitting.planner.quantity import Quantity

BYTES_PER_TOKEN = 4.5  # raw UTF-8 of web text under vocabularies of 32k-128k: 4 to 5 (assumption)


@dataclass(frozen=True)
class Compression:
    """Of the training text, by the trained model."""

    text_bytes: float
    model_bytes: float  # bf16
    lossy: float  # text / model: the text cannot be had back
    coded_bytes: Quantity  # D tokens at L nats
    lossless: Quantity  # text / (model + coded)
    assumed: bool  # whether the bytes a token are the assumption above


def compression(
    n_total: float, d_tokens: float, loss: Quantity, text_bytes: float | None, per_token: float | None
) -> Compression:
    """text_bytes as given, else D tokens of per_token bytes (None: BYTES_PER_TOKEN)."""
    size = text_bytes if text_bytes is not None else d_tokens * (per_token or BYTES_PER_TOKEN)
    model = WEIGHT_BYTES * n_total
    coded = loss.times(d_tokens / np.log(2.0) / 8)
    return Compression(
        text_bytes=size,
        model_bytes=model,
        lossy=size / model,
        coded_bytes=coded,
        lossless=Quantity(size / (model + coded.value), size / (model + coded.high), size / (model + coded.low)),
        assumed=text_bytes is None and per_token is None,
    )


def bits_per_byte(loss: Quantity, per_token: float) -> Quantity:
    """L / ln 2 / bytes a token."""
    return loss.times(1 / np.log(2.0) / per_token)
