"""Repeated text: refused domain by domain where nobody allowed it, and never counted as new."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import ROOT
from corpora import digit_domains
from hydra import compose, initialize_config_dir
from hypothesis import given, settings
from hypothesis import strategies as st

from fitting.errors import InputError
from sweep.config import run_spec
from sweep.data.corpus import Corpus
from sweep.data.epochs import drawn_domains, fresh_steps
from sweep.data.manifest import CorpusInfo
from sweep.data.order import Order, chosen_windows
from sweep.spec import DataSpec
from sweep.values import Values

SEQUENCE, BATCH = 16, 4


@pytest.fixture(scope="module")
def domains(tmp_path_factory) -> Corpus:
    return digit_domains(tmp_path_factory.mktemp("domains"))


def data_of(info: CorpusInfo, tokens: int, *overrides: str) -> DataSpec:
    """What `python -m sweep` makes of these settings."""
    given = ["model.n=1e5", f"data.sequence={SEQUENCE}", f"optimiser.batch_sequences={BATCH}", f"data.tokens={tokens}"]
    with initialize_config_dir(str(ROOT / "conf"), version_base=None):
        config = compose("config", overrides=[*given, *overrides])
    return run_spec(Values.of(config), {}, info).data


def tokens_of(corpus: Corpus, name: str) -> int:
    """That a run can read of a domain: whole windows."""
    (stream,) = [stream for stream in corpus.streams("train") if stream.domain == name]
    return sum((len(shard) - 1) // SEQUENCE for shard in stream.shards) * SEQUENCE


MIXTURES = ["data.mixture={a:.5,c:.5}", "data.curriculum={0:{c:.5,a:.5}}"]


@pytest.mark.parametrize("setting", MIXTURES)
def test_a_domain_that_would_repeat_is_refused_by_name(domains, setting):
    """Half of the run is all of c and a step more, while the corpus as a whole is not used up."""
    held = tokens_of(domains, "c")
    step = BATCH * SEQUENCE
    tokens = (2 * held // step + 2) * step
    assert tokens < domains.info.train_tokens
    with pytest.raises(InputError) as refused:
        data_of(domains.info, tokens, setting)
    message = str(refused.value)
    assert message.startswith(f"{setting.split('=')[0]}: domain 'c'")
    for said in ("0.5", f"{tokens // 2:,}", f"{held:,}", "Raise data.max_epochs", "lower", "data.tokens"):
        assert said in message
    assert "\n" not in message
    assert data_of(domains.info, tokens, setting, "data.max_epochs=2").curriculum[0][0] == 0


@pytest.mark.parametrize("setting", MIXTURES)
def test_a_domain_may_be_read_to_its_last_window(domains, setting):
    step = BATCH * SEQUENCE
    most = 2 * tokens_of(domains, "c") // step * step
    assert data_of(domains.info, most, setting).unique_tokens is None
    with pytest.raises(InputError, match="domain 'c'"):
        data_of(domains.info, most + step, setting)


def test_a_cap_leaves_each_domain_its_part(domains):
    """Of 1,600 tokens c may give its share of the corpus, rounded down to windows."""
    windows = dict(domains.info.train_windows(SEQUENCE))
    part = 1600 // SEQUENCE * windows["c"] // sum(windows.values()) * SEQUENCE
    asked = ["data.unique_tokens=1600", "data.mixture={a:.5,c:.5}"]
    with pytest.raises(InputError, match=rf"has {part} in windows of 16, its part of data.unique_tokens 1,600"):
        data_of(domains.info, 1280, *asked)
    assert data_of(domains.info, 1280, *asked, f"data.max_epochs={640 / part}").unique_tokens == 1600


def test_every_stage_of_a_curriculum_counts(domains):
    """c is read in the second stage alone, from step 10 on: steps of 64 tokens."""
    setting = "data.curriculum={0:{a:1},10:{c:1}}"
    held = tokens_of(domains, "c") // 64 * 64
    assert data_of(domains.info, 640 + held, setting).curriculum[1][0] == 10
    with pytest.raises(InputError, match=rf"domain 'c' .* asked for {held + 64:,} tokens"):
        data_of(domains.info, 640 + held + 64, setting)


def test_a_mixture_of_a_domain_without_a_window_is_refused(domains):
    longer = tokens_of(domains, "c") + SEQUENCE
    with pytest.raises(InputError, match=rf"domain 'c' has no window of {longer} tokens; leave it out"):
        data_of(domains.info, longer, "data.mixture={a:.9,c:.1}", f"data.sequence={longer}")


def test_settings_are_tried_before_there_is_a_corpus():
    """The stand-in has no domains that could be used up."""
    assert data_of(CorpusInfo.stand_in("text", 300), 10**9, "data.mixture={web:.5,code:.5}").curriculum


SIZES = st.lists(st.integers(1, 40), min_size=1, max_size=4)
WEIGHTS = st.lists(st.integers(1, 9), min_size=4, max_size=4)


@given(SIZES, st.lists(WEIGHTS, max_size=3), st.integers(1, 5), st.none() | st.integers(1, 100))
@settings(max_examples=60, deadline=None)
def test_fresh_steps_end_where_a_window_comes_again(sizes, stages, batch, cap):
    """By remembering every window; drawn windows likewise by counting them."""
    windows = [(f"d{number}", size) for number, size in enumerate(sizes)]
    curriculum = []
    for number, weights in enumerate(stages):
        shares = np.asarray(weights[: len(sizes)]) / sum(weights[: len(sizes)])
        mixture = tuple((name, share) for (name, _), share in zip(windows, shares.tolist(), strict=True))
        curriculum.append((number * 3, mixture))
    order = Order(0, 1, cap, tuple(curriculum))
    steps = sum(sizes) // batch + 2
    seen = chosen_windows(order, windows, np.arange(steps * batch), batch)
    different = [len(set(seen[: step * batch].tolist())) for step in range(1, steps + 1)]
    fresh = next(step for step, count in enumerate(different) if count < (step + 1) * batch)
    assert fresh_steps(order, windows, batch) == fresh
    counted = np.bincount(np.searchsorted(np.cumsum(sizes), seen, side="right"), minlength=len(sizes))
    drawn = drawn_domains(order, windows, batch, steps)
    assert [one.windows for one in drawn] == (counted.tolist() if stages else [])
