"""How are symbols written in as many bits as their probabilities ask for? A range coder over integer frequencies.

Martin 1979, "Range encoding: an algorithm for removing redundancy from a digitised message"; the frequencies stand for
the probabilities in the way of Witten, Neal and Cleary 1987, "Arithmetic coding for data compression".

A symbol with the frequencies low <= f < high of a total cuts the interval down to its share of it; the message is any
number in the last interval. Everything is exact in integers, so the decoder retraces the encoder. The interval is kept
between 2^56 and 2^64: a total of 2^32 then loses less than 2^-24 of it at a symbol.
"""

from __future__ import annotations

import numpy as np

from fitting.errors import InputError

TOP_BITS = 64
SHIFT = TOP_BITS - 8  # the byte that leaves next lies above
LEAST = 1 << SHIFT  # of the interval; below, a byte is settled and leaves
BELOW_TOP = (1 << TOP_BITS) - 1
FEWEST_BITS = 24  # of a total
SPARE_BITS = 16  # of a total, beyond those of the vocabulary: the 1 that each symbol gets costs 2^-16 of the whole


def frequencies(probabilities: np.ndarray) -> np.ndarray:
    """Cumulative tables (B, V + 1) int64 of probabilities (B, V) float32, from 0 to the same power of two.

    Symbol s has table[s + 1] - table[s] >= 1: whatever the model thinks impossible can still be written.
    """
    vocabulary = probabilities.shape[1]
    total = 1 << max(FEWEST_BITS, vocabulary.bit_length() + SPARE_BITS)
    # Rounding the sums and not the probabilities makes every table end at the total.
    sums = np.cumsum(probabilities, axis=1, dtype=np.float64)
    whole = sums[:, -1:]
    if not (np.isfinite(whole).all() and (whole > 0).all()):
        raise InputError(
            "the model's probabilities are not finite numbers; allowed are those of a run that did not "
            "diverge. Choose another run"
        )
    table = np.empty((len(sums), vocabulary + 1), np.int64)
    table[:, 0] = 0
    sums *= (total - vocabulary) / whole
    table[:, 1:] = sums  # rounds down
    table += np.arange(vocabulary + 1)[None]
    table[:, -1] = total
    return table


class Encoder:
    """Symbols to bytes."""

    def __init__(self) -> None:
        self._out = bytearray()
        self._low, self._range = 0, 1 << TOP_BITS

    def encode(self, low: int, high: int, total: int) -> None:
        """The symbol with the frequencies low <= f < high of the total."""
        share = self._range // total
        self._low += share * low
        self._range = share * (high - low)
        while self._range < LEAST:
            self._emit()

    def finish(self) -> bytes:
        """The shortest message in the interval: the decoder reads zeros beyond the end."""
        self._low += LEAST - 1  # rounded up to whole bytes, this stays inside
        self._emit()
        return bytes(self._out.rstrip(b"\0"))

    def _emit(self) -> None:
        if self._low > BELOW_TOP:
            self._carry()
        self._out.append(self._low >> SHIFT)
        self._low = (self._low & (LEAST - 1)) << 8
        self._range <<= 8

    def _carry(self) -> None:
        """Into the bytes that have left; never past the first, because the message is a number below 1."""
        self._low &= BELOW_TOP
        at = len(self._out) - 1
        while self._out[at] == 255:
            self._out[at] = 0
            at -= 1
        self._out[at] += 1


class Decoder:
    """Bytes to symbols. Any bytes give symbols: whether they are the right ones, a checksum has to say."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = TOP_BITS // 8
        self._offset = int.from_bytes(data[: self._at].ljust(self._at, b"\0"))  # of the message from the interval's low
        self._range = 1 << TOP_BITS

    def target(self, total: int) -> int:
        """A frequency below the total that the next symbol holds."""
        return min(self._offset // (self._range // total), total - 1)

    def consume(self, low: int, high: int, total: int) -> None:
        """The symbol was the one with the frequencies low <= f < high."""
        share = self._range // total
        self._offset -= share * low
        self._range = share * (high - low)
        while self._range < LEAST:
            following = self._data[self._at] if self._at < len(self._data) else 0
            self._offset = self._offset << 8 | following
            self._range <<= 8
            self._at += 1
