"""Every law: one contract for all of them, and its published equation, written out again, as its own check."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pytest

from fitting.errors import InputError
from fitting.fit import fit_law
from fitting.laws import law_named, law_names
from fitting.points import Points
from fitting.schedule_areas import NODES
from fitting.solve import evaluate, jacobian

POINTS = 40
# Plausible range of an input column, filled log-uniformly; a column without an entry runs from 1 to 100.
RANGES = {
    "n_params": (1e8, 2e10),
    "d_tokens": (1e9, 5e11),
    "unique_tokens": (1e8, 5e10),
    "flops": (1e18, 1e23),
    "s1": (0.05, 50.0),
    "s2": (0.01, 1.0),
    "loss_in": (1.8, 4.0),
    **{f"fall_{node}": (1e-6, 6e-5) for node in range(1, NODES + 1)},
    **{f"rate_{node}": (3e-5, 3e-4) for node in range(1, NODES + 1)},
    **{f"area_{node}": (1e-4, 3.0) for node in range(1, NODES + 1)},
}


def design(seed: int = 0) -> dict[str, np.ndarray]:
    """Independent columns, so that nothing but the law can be at fault."""
    rng = np.random.default_rng(seed)
    names = sorted({*RANGES, *(name for law in law_names() for name in law_named(law).inputs)})
    columns = {}
    for name in names:
        low, high = RANGES.get(name, (1.0, 100.0))
        columns[name] = np.exp(rng.uniform(np.log(low), np.log(high), POINTS))
    columns["s2"][::4] = 0.0  # before the rate falls
    falls = [values for name, values in columns.items() if name.startswith("fall_")]
    for values in falls:
        values[::4] = 0.0
    columns["fallen"] = np.sum(falls, axis=0)
    return columns


def points_of(columns: Mapping[str, np.ndarray], loss: np.ndarray) -> Points:
    standard = ("n_params", "d_tokens", "flops")
    return Points(
        *(columns[name] for name in ("n_params", "d_tokens")),
        loss=loss,
        flops=columns["flops"],
        cluster=tuple(map(str, range(len(loss)))),
        source="made",
        n_definition="n",
        flops_definition="c",
        extra={name: values for name, values in columns.items() if name not in standard},
    )


@dataclass(frozen=True)
class Example:
    """Constants of published size and the equation in their terms."""

    loss: Callable[[Mapping[str, np.ndarray], Mapping[str, float]], np.ndarray]
    constants: Mapping[str, float]


def kaplan(x, k):
    capacity = (k["N_c"] / x["n_params"]) ** (k["alpha_N"] / k["alpha_D"])
    return (capacity + k["D_c"] / x["d_tokens"]) ** k["alpha_D"]


def chinchilla(x, k):
    return k["E"] + k["A"] * x["n_params"] ** -k["alpha"] + k["B"] * x["d_tokens"] ** -k["beta"]


def gamma(x, k):
    return k["E"] + (k["A"] * x["n_params"] ** -k["alpha"] + k["B"] * x["d_tokens"] ** -k["beta"]) ** k["gamma"]


def tied(x, k):
    """As Gadre et al. print it: in C = 6ND and M = D/N."""
    flops, ratio, half = 6 * x["n_params"] * x["d_tokens"], x["d_tokens"] / x["n_params"], k["eta"] / 2
    a, b = k["A"] * 6**half, k["B"] * 6**half
    return k["E"] + (a * ratio**half + b * ratio**-half) * flops**-half


def data_constrained(x, k):
    """As the code of Muennighoff et al. has it: U_N from the optimum for C(U), repeats counted from zero."""
    alpha, beta, unique = k["alpha"], k["beta"], np.minimum(x["unique_tokens"], x["d_tokens"])
    g = (alpha * k["A"] / (beta * k["B"])) ** (1 / (alpha + beta))
    flops = 6 * (g * unique) ** ((alpha + beta) / alpha)
    n_unique = np.minimum(g * (flops / 6) ** (beta / (alpha + beta)), x["n_params"])
    n_eff = n_unique * (1 + k["R_N"] * (1 - np.exp(-(x["n_params"] / n_unique - 1) / k["R_N"])))
    d_eff = unique * (1 + k["R_D"] * (1 - np.exp(-(x["d_tokens"] / unique - 1) / k["R_D"])))
    return k["E"] + k["A"] / n_eff**alpha + k["B"] / d_eff**beta


def farseer(x, k):
    n, d = x["n_params"], x["d_tokens"]
    exponent = np.exp(k["A"] * n ** k["a"] + k["E"])
    return np.exp(k["s"] * n ** k["q"] + k["S"]) + np.exp(k["B"] * n ** k["b"] + k["Q"]) * d**-exponent


def broken(x, k):
    bend = (1 + (x["flops"] / k["d1"]) ** (1 / k["f1"])) ** (-k["c1"] * k["f1"])
    return k["a"] + k["b"] * x["flops"] ** -k["c0"] * bend


def multipower(x, k):
    felt = [
        x[f"fall_{i}"] * (1 - (1 + k["C"] * x[f"rate_{i}"] ** -k["gamma"] * x[f"area_{i}"]) ** -k["beta"])
        for i in range(1, NODES + 1)
    ]
    return k["L0"] + k["A"] * x["s1"] ** -k["alpha"] - k["B"] * np.sum(felt, axis=0)


C4 = {"E": np.exp(0.6254804), "A": np.exp(6.255414), "B": np.exp(7.3049974), "alpha": 0.3526596, "beta": 0.3526596}
REPEATS = {"R_D": 15.387756, "R_N": 5.309743}

EXAMPLES = {
    # Besiroglu et al. 2024.
    "chinchilla": Example(chinchilla, {"E": 1.8172, "A": 482.01, "B": 2085.43, "alpha": 0.3478, "beta": 0.3658}),
    # Plausible, with a gamma well away from 1.
    "gamma": Example(gamma, {"E": 1.22, "A": 3355.0, "B": 18186.0, "alpha": 0.408, "beta": 0.431, "gamma": 0.452}),
    # Kaplan et al. 2020.
    "kaplan": Example(kaplan, {"N_c": 6.4e13, "D_c": 1.8e13, "alpha_N": 0.076, "alpha_D": 0.103}),
    # Plausible; Gadre et al. find exponents of this size.
    "tied": Example(tied, {"E": 1.5, "A": 140.0, "B": 190.0, "eta": 0.25}),
    "compute": Example(lambda x, k: k["E"] + k["K"] * x["flops"] ** -k["kappa"], {"E": 1.8, "K": 900.0, "kappa": 0.15}),
    "broken": Example(broken, {"a": 1.5, "b": 20.0, "c0": 0.05, "c1": 0.25, "d1": 2e20, "f1": 0.7}),
    # Li et al. 2025, their printed rule for the learning rate.
    "loglinear": Example(
        lambda x, k: k["c"] * x["n_params"] ** k["p"] * x["d_tokens"] ** k["q"], {"c": 1.79, "p": -0.713, "q": 0.307}
    ),
    # Muennighoff et al. 2023, their code.
    "data_constrained": Example(data_constrained, {**C4, **REPEATS}),
    # Li et al. 2025: the constants of their notebook, in bits per character.
    "farseer": Example(
        farseer,
        {"s": -0.062465473, "q": 0.13, "S": 0.1284880679, "B": 230.73437, "b": -0.1729, "Q": -1.544209554}
        | {"A": -1.665630816, "a": 0.0459, "E": 3.1333471988},
    ),
    # Plausible, with annealing that removes up to 0.4 nats.
    "tissue": Example(
        lambda x, k: k["L0"] + k["A"] * x["s1"] ** -k["alpha"] - k["C"] * x["s2"],
        {"L0": 2.7, "A": 0.6, "C": 0.4, "alpha": 0.5},
    ),
    # Luo et al. 2025: 100M parameters, their code.
    "multipower": Example(
        multipower,
        {"L0": 2.6514477, "A": 0.60115152, "B": 437.9464276, "C": 2.13245612}
        | {"alpha": 0.45295811, "beta": 0.59785199, "gamma": 0.65523644},
    ),
    # Plausible for a four-way choice.
    "accuracy": Example(
        lambda x, k: k["p0"] + (k["p1"] - k["p0"]) / (1 + np.exp(-k["k"] * (k["l0"] - x["loss_in"]))),
        {"p0": 0.25, "p1": 0.93, "k": 4.0, "l0": 2.7},
    ),
}


# -- contract of every law


@pytest.mark.parametrize("name", law_names())
def test_every_law_is_finite_inside_its_bounds_and_differentiates(name):
    law, columns = law_named(name), design()
    loss = example_loss(name, columns)
    features = law.features(columns)
    assert features.shape == (POINTS, len(law.inputs))
    x = features - law.centre(features)
    bounds = law.parameters(x, np.log(loss))
    lower, upper = (np.asarray([getattr(p, side) for p in bounds]) for side in ("lower", "upper"))
    assert np.isfinite([lower, upper]).all()
    assert (lower < upper).all()
    rng = np.random.default_rng(0)
    thetas = rng.uniform(lower, upper, (200, len(bounds)))
    corners = np.where(rng.random((200, len(bounds))) < 0.5, lower, upper)
    assert np.isfinite(evaluate(law, np.concatenate([thetas, corners]), x)).all()
    for slopes in (jacobian(law, thetas[i], x) for i in range(20)):
        assert np.isfinite(slopes).all()
    theta, step = thetas[0], 1e-6
    exact = jacobian(law, theta, x)
    scale = np.maximum(1.0, np.abs(evaluate(law, theta[None], x)[0]))  # rounding grows with what is differenced
    for i in range(len(theta)):
        up, down = (evaluate(law, (theta + s * step * np.eye(len(theta))[i])[None], x)[0] for s in (1, -1))
        difference = np.abs(exact[:, i] - (up - down) / (2 * step))
        assert (difference <= 1e-7 * scale + 1e-5 * np.abs(exact[:, i])).all(), bounds[i].name


@pytest.mark.parametrize("name", law_names())
def test_every_law_starts_inside_its_bounds_and_hashes(name):
    law, columns = law_named(name), design()
    loss = example_loss(name, columns)
    x = law.features(columns) - law.centre(law.features(columns))
    bounds = law.parameters(x, np.log(loss))
    starts = law.starts(x, np.log(loss))
    assert starts.ndim == 2
    assert starts.shape[1] == len(bounds)
    assert len(starts) <= 110
    assert (starts >= [p.lower - 1e-12 for p in bounds]).all()
    assert (starts <= [p.upper + 1e-12 for p in bounds]).all()
    assert hash(law) == hash(type(law)())  # jit compiles once for a law
    assert np.isfinite(evaluate(law, starts, x)).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", law_names())
def test_every_law_recovers_itself(name, monkeypatch):
    """Noise-free points of the published equation (of the law's own middle start where no example is known)."""
    monkeypatch.setattr("fitting.fit.RESTARTS", 32)  # restarts: around an exact optimum they find nothing
    columns = design()
    loss = example_loss(name, columns)
    fit = fit_law(points_of(columns, loss), name, resamples=100)
    new = design(seed=1)
    predicted = np.exp(evaluate(fit.law, fit.theta[None], fit.inputs(new))[0])
    np.testing.assert_allclose(np.exp(fit.residuals), 1.0, rtol=0, atol=1e-6)
    draws = fit.constant_draws()
    assert set(draws) == set(fit.constants)
    assert all(values.shape == (100,) for values in draws.values())
    if name in EXAMPLES:
        example = EXAMPLES[name]
        np.testing.assert_allclose(predicted, example.loss(new, example.constants), rtol=1e-6)
        assert fit.constants == pytest.approx(dict(example.constants), rel=1e-6)


def example_loss(name: str, columns: Mapping[str, np.ndarray]) -> np.ndarray:
    if name in EXAMPLES:
        return EXAMPLES[name].loss(columns, EXAMPLES[name].constants)
    law = law_named(name)
    features = law.features(columns)
    x = features - law.centre(features)
    starts = law.starts(x, np.linspace(np.log(2.0), np.log(4.0), POINTS))
    return np.exp(evaluate(law, starts[len(starts) // 2][None], x)[0])


# -- what single laws promise beyond the contract


def test_only_laws_of_the_loss_over_n_and_d_are_surfaces():
    assert [name for name in law_names() if law_named(name).surface] == [
        "chinchilla",
        "farseer",
        "gamma",
        "kaplan",
        "tied",
    ]


def test_data_constrained_gives_the_published_losses():
    """Two losses computed by the authors' own function (huggingface/datablations, parametric_fit.ipynb)."""
    law = law_named("data_constrained")
    columns = {
        "n_params": np.asarray([6.34e9, 8.67e9]),
        "d_tokens": np.asarray([242e9, 178e9]),
        "unique_tokens": np.asarray([25e9, 25e9]),
    }
    features = law.features(columns)
    centre = law.centre(features)
    theta = data_constrained_theta(centre)
    loss = np.exp(evaluate(law, theta[None], features - centre)[0])
    np.testing.assert_allclose(loss, [2.2256440889984477, 2.2269634075087867], rtol=1e-12)
    constants = law.constants(theta, centre)
    assert constants == pytest.approx({**C4, **REPEATS}, rel=1e-12)


def data_constrained_theta(centre: np.ndarray) -> np.ndarray:
    """The published constants in the law's centred coordinates."""
    a, b = np.log(C4["A"]) - C4["alpha"] * centre[0], np.log(C4["B"]) - C4["beta"] * centre[1]
    return np.asarray([a, C4["alpha"], b, C4["beta"], np.log(C4["E"]), 1 / REPEATS["R_D"], 1 / REPEATS["R_N"]])


def test_data_constrained_is_chinchilla_while_nothing_repeats():
    """D = U and N below the optimum for U: both effective counts are the plain ones."""
    law = law_named("data_constrained")
    n, d = np.geomspace(1e6, 1e8, 5), np.geomspace(1e10, 1e12, 5)
    features = law.features({"n_params": n, "d_tokens": d, "unique_tokens": d})
    centre = law.centre(features)
    loss = np.exp(evaluate(law, data_constrained_theta(centre)[None], features - centre)[0])
    np.testing.assert_allclose(loss, chinchilla({"n_params": n, "d_tokens": d}, C4), rtol=1e-12)


def test_accuracy_refuses_percent():
    columns = design()
    with pytest.raises(InputError, match="not percent"):
        fit_law(points_of(columns, np.linspace(20.0, 90.0, POINTS)), "accuracy", resamples=100)


def test_a_law_names_the_column_or_the_value_that_it_cannot_use():
    columns = design()
    loss = example_loss("tissue", columns)
    law = law_named("tissue")
    with pytest.raises(InputError, match="column 's2'"):
        law.features({name: values for name, values in columns.items() if name != "s2"})
    for value in (0.0, -1.0, np.nan):
        broken_rate = {**columns, "s1": np.where(np.arange(POINTS) == 3, value, columns["s1"])}
        with pytest.raises(InputError, match=r"column .s1. holds .* in row 4"):
            fit_law(points_of(broken_rate, loss), "tissue", resamples=100)
