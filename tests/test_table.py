"""Files become columns: the numbers that Arrow itself would give, without what it imports for that."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest

from fitting.errors import InputError
from fitting.table import _values, numbers, read_table

TYPES = {
    "int8": pa.int8(),
    "int64": pa.int64(),
    "uint32": pa.uint32(),
    "float16": pa.float16(),
    "float32": pa.float32(),
    "float64": pa.float64(),
}


@pytest.mark.parametrize("gap", [False, True])
@pytest.mark.parametrize("kind", TYPES)
def test_a_column_has_the_numbers_that_arrow_says(kind, gap):
    """In several chunks, from the middle of a buffer, and with an empty cell."""
    values = [np.float16(v) if kind == "float16" else v for v in (1, 2, 3, 4, 5, 6)]
    whole = pa.array([None if gap and at == 3 else value for at, value in enumerate(values)], TYPES[kind])
    column = pa.chunked_array([whole.slice(1, 3), whole.slice(0, 0), whole.slice(4)])
    found = numbers({"x": _values(column)}, "x", "t")
    expected = [np.nan if gap and value == 4 else float(value) for value in (2, 3, 4, 5, 6)]
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == np.float64


def test_words_dates_and_truth_values_stay_what_they_are(tmp_path):
    (tmp_path / "t.csv").write_text("word,day,yes,time\nab,2024-01-02,true,12:30:00\ncd,2024-01-03,false,12:31:00\n")
    table = read_table([str(tmp_path / "t.csv")])
    assert list(table["word"]) == ["ab", "cd"]
    assert list(table["yes"]) == [True, False]
    for name in table:
        with pytest.raises(InputError, match="allowed are numbers"):
            numbers(table, name, "t")


def test_files_that_do_not_fit_together_are_refused_in_one_line(tmp_path):
    for name, value in (("a", "1.5"), ("b", "word")):
        (tmp_path / f"{name}.csv").write_text(f"x\n{value}\n")
    with pytest.raises(InputError, match="the files do not fit together"):
        read_table([str(tmp_path / "*.csv")])


def test_reading_imports_no_pandas(tmp_path):
    (tmp_path / "t.csv").write_text("x,y\n1,a\n2,\n")
    code = f"import sys; from fitting.table import read_table; read_table([{str(tmp_path / 't.csv')!r}]); "
    subprocess.run([sys.executable, "-c", code + "assert 'pandas' not in sys.modules"], check=True, timeout=60)
