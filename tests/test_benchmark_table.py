"""The table of recorded benchmarks."""

import json

from landscape_helpers.figures.benchmark_table import BenchmarkTable, benchmark_table

OURS = {"workload": "mlp", "side": "ours", "seconds": 2.0, "ratio": 1.0, "max_residual": 5e-4, "products": 40}
SLOWEST = {"side": "pyhessian", "seconds": 200.0, "ratio": 100.0, "max_residual": 9e-4, "products": 1550}
ROWS = [OURS | {"peak_mib": 100.0}, OURS | SLOWEST]


def test_rows_are_read_with_their_ratios_and_accuracy(tmp_path):
    (tmp_path / "eigenpairs.json").write_text(json.dumps({"torch": "2.13.0", "rows": ROWS}))
    table = benchmark_table(tmp_path)
    text, page = str(table), table._repr_html_()
    assert "Top 20 eigenpairs, MLP 3072-128-10" in text and "PyHessian" in text and "torch 2.13.0" in text
    assert "100.0" in page and "1,550 products" in page and "largest relative residual 9.0e-04" in page
    # The longest bar belongs to the slowest side, ours has none.
    assert 'style="width: 8.00em"' in page and 'style="width: 0.00em"' in page


def test_a_density_tells_its_errors_apart():
    row = {"benchmark": "density_trace", "workload": "density", "side": "ours", "seconds": 2.0, "ratio": 1.0}
    found = {"trace": 198.0, "trace_deviation": -0.01, "trace_error": 8.0, "lost": 1.0, "products": 800}
    text = str(BenchmarkTable([row | found]))
    assert "trace off by -1.00% (standard error 4.00%)" in text
    assert "0.50% of it known to be left out" in text and "800 products" in text
    exact = str(BenchmarkTable([row | {"trace": 200.0, "trace_deviation": 0.0, "trace_error": None}]))
    assert "trace off by +0.00%" in exact and "standard error" not in exact and "left out" not in exact


def test_a_record_without_other_tools_is_left_out(tmp_path):
    (tmp_path / "tracking.json").write_text(json.dumps({"torch": "2.13.0", "networks": []}))
    assert benchmark_table(tmp_path).rows == []


def test_nothing_recorded_is_said():
    assert "run `make bench`" in str(BenchmarkTable([])) and "make bench" in BenchmarkTable([])._repr_html_()
