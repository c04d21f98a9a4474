"""python docs/published.py: what the published sweep says. Writes docs/results.md and the README's part of it.

The texts are docs/templates, the figures come from results/published/python_source or are fitted to it;
tests/test_published_sweep.py makes both again and compares.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
import published_tables as tables
from published_tables import STORE, Published

from fitting.replicates import seed_noise
from fitting.show import si
from results.record import FIT
from results.scores import AVERAGE, law_scores

ROOT = Path(__file__).resolve().parent.parent
TEMPLATES = ROOT / "docs" / "templates"
BEGIN, END = "<!-- published -->\n", "<!-- /published -->"
DOLLARS = 0.04  # a core-hour; assumption, about what a shared cloud core costs
WIDTH = 118  # characters of a line
UNWRAPPED = ("|", "#", "!", "<")  # what a table, a heading, a picture, a comment begins with


def main() -> None:
    published = Published(ROOT / STORE)
    (ROOT / "docs" / "results.md").write_text(document(published))
    readme = (ROOT / "README.md").read_text()
    before, rest = readme.split(BEGIN)
    (ROOT / "README.md").write_text(before + BEGIN + readme_block(published) + END + rest.split(END)[1])


def filled(template: str, words: dict[str, str]) -> str:
    """Its paragraphs wrapped anew."""
    text = (TEMPLATES / template).read_text().format(**words)
    parts = [part if part.startswith(UNWRAPPED) else wrapped(part) for part in text.strip().split("\n\n")]
    return "\n\n".join(parts) + "\n"


def wrapped(paragraph: str) -> str:
    return textwrap.fill(" ".join(paragraph.split()), WIDTH, break_long_words=False, break_on_hyphens=False)


def readme_block(published: Published) -> str:
    average = next(one for one in law_scores(published.outcomes) if one.law == AVERAGE)
    near = [abs(o.error or 0) for o in tables.of_average(published) if 9 < o.forecast.span < 11]
    words = dict(
        table=tables.forecast_table(published),
        inside=f"{average.inside90}",
        told=f"{average.told}",
        near=f"{np.median(near):.1%}",
        early=f"{np.median(tables.position_errors(published, '8')):.1%}",
        late=f"{np.median(tables.position_errors(published, '32')):.1%}",
        others=", ".join(f"{one.law} {one.inside90}" for one in law_scores(published.outcomes) if one.law != AVERAGE),
        **totals(published),
    )
    return filled("readme.md", words)


def totals(published: Published) -> dict[str, str]:
    runs = published.records
    seconds = sum(r.seconds for r in runs)
    hours = seconds / 3600
    flops = sum(r.flops for r in runs)
    dearest = max(runs, key=lambda r: r.flops)
    heads = [1 - r.n_params_non_embedding / r.n_params for r in published.role(FIT)]
    noise = seed_noise(published.points())
    return {
        "runs": f"{len(runs)}",
        "flops": f"{flops:.2g}".replace("e+", "e"),
        "tokens": si(sum(r.d_tokens for r in runs)),
        "hours": f"{hours:.1f}",
        "rate": f"{sum(r.d_tokens for r in runs) / seconds:,.0f}",
        "speed": f"{flops / seconds / 1e9:.0f}",
        "each_hour": f"{len(runs) / hours:.0f}",
        "dollars": f"{hours * DOLLARS:.2f}",
        "price": f"{DOLLARS:g}",
        "share": f"{sum(r.flops for r in published.role(FIT)) / flops:.0%}",
        "dearest_speed": f"{dearest.flops_per_second / 1e9:.0f}",
        "noise_all": f"{noise.sd:.2%}" if noise else "",
        "least_head": f"{min(heads):.0%}",
        "most_head": f"{max(heads):.0%}",
        "loss_se": f"{np.median([(r.loss_se or 0) / (r.loss or 1) for r in runs]):.2%}",
    }


def document(published: Published) -> str:
    rates = tables.rates(published).values()
    words = dict(
        table=tables.forecast_table(published),
        laws=tables.law_table(published),
        today=tables.today_table(published),
        spans=tables.span_table(published),
        positions=tables.position_table(published),
        copying=tables.copying_table(published),
        noise=tables.noise_table(published),
        rates=tables.rate_table(published),
        rate_factor=f"{max(max(best / shared, shared / best) for best, _, shared in rates):.1f}",
        rate_cost=f"{max(cost for _, cost, _ in rates):.2%}",
        counts=tables.count_table(published),
        **totals(published),
    )
    return filled("results.md", words)


if __name__ == "__main__":
    main()
