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


def test_nothing_recorded_is_said():
    assert "run `make bench`" in str(BenchmarkTable([])) and "make bench" in BenchmarkTable([])._repr_html_()
