"""Bytes to tokens and back: raw bytes, a BPE trained here, or a vocabulary from a file."""

from sweep.data.tokenizers.choose import load, named, save
from sweep.data.tokenizers.tokenizer import Tokenizer, token_dtype

__all__ = ["Tokenizer", "load", "named", "save", "token_dtype"]
