"""Schedules, decay and horizon by their formulas; every optimiser learns, and Muon's directions are orthogonal."""

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import optax
import pytest
from tiny_runs import ADAMW, TINY, byte_corpus, make_spec, place

from models.parametrisation import tensors
from results.record import RunStatus
from sweep.data.corpus import Corpus
from sweep.execute import execute
from sweep.optimiser import MUON_RMS, directions
from sweep.schedule import rate_fractions, weight_decays
from sweep.spec import ScheduleSpec


@pytest.fixture(scope="module")
def corpus(text_folder) -> Corpus:
    return byte_corpus(text_folder)


def test_schedules_rise_hold_and_fall():
    wsd = rate_fractions(ScheduleSpec("wsd", 10, 0.3), 100)
    np.testing.assert_allclose(wsd[:10], np.arange(1, 11) / 10, rtol=1e-6)
    np.testing.assert_allclose(wsd[10:70], 1.0)
    np.testing.assert_allclose(wsd[70:], np.arange(30, 0, -1) / 30, rtol=1e-6)
    cosine = rate_fractions(ScheduleSpec("cosine", 0, 0.3), 1000)
    assert cosine[500] == pytest.approx(0.55, abs=1e-3)
    assert cosine[-1] == pytest.approx(0.1, abs=1e-3)
    assert rate_fractions(ScheduleSpec("linear", 0, 0.3), 1000)[-1] == pytest.approx(1e-3)
    assert rate_fractions(ScheduleSpec("linear", 500, 0.3), 10)[4] == pytest.approx(0.6)  # warm-up: half of the run


def test_weight_decay_falls_with_the_tokens_seen(corpus):
    """0.1 at 1e4 tokens: the root of the ratio elsewhere, and what it is after warm-up before that."""
    decays = weight_decays(make_spec(corpus, steps=1000))  # 64 tokens a step, 15 steps of warm-up
    seen = 64 * np.maximum(np.arange(1, 1001), 15)
    np.testing.assert_allclose(decays, 0.1 * np.sqrt(1e4 / seen), rtol=1e-6)


def test_settings_follow_the_horizon():
    from sweep.recipe import at_horizon

    assert at_horizon(5e-3, 1e6, 0.3, 1e6) == 5e-3
    assert at_horizon(5e-3, 1e6, 0.0, 4e6) == 5e-3
    assert at_horizon(0.2, 1e6, 0.5, 4e6) == pytest.approx(0.1)


@pytest.mark.parametrize("kind", ["adamw", "muon"])
@pytest.mark.parametrize("z_loss", [0.0, 1e-3])
def test_every_optimiser_learns(corpus, tmp_path, kind, z_loss):
    optimiser = dataclasses.replace(ADAMW, kind=kind, z_loss=z_loss)
    record = execute(make_spec(corpus, optimiser=optimiser), place(corpus, tmp_path))
    assert record.status == RunStatus.DONE
    assert record.loss < 3.9


def test_muon_directions_are_orthogonal_for_hidden_matrices_and_adam_elsewhere():
    """Newton-Schulz leaves singular values in 0.7..1.2 (Jordan et al. 2024), times the scale that is stated."""
    optimiser = dataclasses.replace(ADAMW, kind="muon", clip_norm=1e9)
    transformation = directions(optimiser, TINY)
    rng = np.random.default_rng(0)
    gradients = {name: rng.normal(size=t.shape).astype(np.float32) for name, t in tensors(TINY).items()}
    updates, _ = transformation.update(gradients, transformation.init(gradients), gradients, finite=np.True_)
    up = np.asarray(updates["mlp_in"])[0]  # 16 -> 32: sqrt(2), over the rate multiplier 64 / 16
    values = np.linalg.svd(up, compute_uv=False) / (MUON_RMS * 8 * 2**0.5 / 4)
    assert 0.6 < values.min() < values.max() < 1.3
    np.testing.assert_allclose(np.abs(updates["embedding"]), 1.0, rtol=1e-4)  # the first Adam direction is a sign
    np.testing.assert_allclose(np.abs(updates["head"]), 1.0, rtol=1e-4)


@pytest.mark.parametrize("size", [0.01, 10.0])  # below and above the norm that is clipped to
def test_adam_is_optax_with_clipping_by_the_global_norm(size):
    """Another implementation: optax.chain(clip_by_global_norm, scale_by_adam), which skips no step."""
    theirs = optax.chain(
        optax.clip_by_global_norm(ADAMW.clip_norm), optax.scale_by_adam(ADAMW.beta1, ADAMW.beta2, ADAMW.epsilon)
    )
    ours = directions(ADAMW, TINY)
    take_ours, take_theirs = jax.jit(ours.update), jax.jit(theirs.update)
    rng = np.random.default_rng(1)
    state, expected = (
        t.init({"w": np.zeros((3, 5), np.float32), "b": np.zeros(4, np.float32)}) for t in (ours, theirs)
    )
    for _ in range(5):
        gradients = {
            "w": size * rng.normal(size=(3, 5)).astype(np.float32),
            "b": size * rng.normal(size=4).astype(np.float32),
        }
        directed, state = take_ours(gradients, state, finite=True)
        wanted, expected = take_theirs(gradients, expected)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-6), (directed, state), (wanted, expected))
    assert int(state[1].count) == 5


@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_moments_stay_where_a_gradient_is_not_finite(kind):
    transformation = directions(dataclasses.replace(ADAMW, kind=kind), TINY)
    rng = np.random.default_rng(2)
    gradients = {name: rng.normal(size=t.shape).astype(np.float32) for name, t in tensors(TINY).items()}
    _, state = transformation.update(gradients, transformation.init(gradients), gradients, finite=np.True_)
    gradients["head"] = gradients["head"] * np.float32(np.nan)
    _, after = transformation.update(gradients, state, gradients, finite=np.False_)
    jax.tree.map(np.testing.assert_array_equal, after, state)
