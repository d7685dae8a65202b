from benchmarks.folding import table
from benchmarks.folding.comparison import UNFOLDED, Row
from benchmarks.folding.counting import Counts
from benchmarks.folding.latency import Ratio

ROWS = [
    Row("net", UNFOLDED, counts=Counts(10, 1, 0, 0, 50), error=1e-7),
    Row(
        "net",
        "good",
        counts=Counts(0, 1, 3, 0, 40),
        error=1e-7,
        seconds=0.5,
        ratio=Ratio(0.9, 0.01),
        version="1.2",
    ),
    Row("net", "bad", counts=Counts(5, 6, 0, 2, 60), invalid="checker: no", version="3"),
    Row("net", "gone", failure="missing: gone"),
]


def test_a_model_s_table_has_a_line_a_tool_and_the_complaints_below():
    lines = table.per_model(ROWS).splitlines()
    assert lines[0] == "net"
    assert lines[1].split() == ["tool", *" ".join(table.HEADER[1:]).split()]
    assert lines[3].split() == [
        "good",
        *"01",
        "3",
        "0",
        "40",
        "yes",
        "1.0e-07",
        "0.50",
        "0.90±0.01",
    ]
    assert lines[4].split() == ["bad", *"5602", "60", "no", *"---"]
    assert lines[5].split() == ["gone", *"-" * 9]
    assert lines[6:] == ["bad: checker: no", "gone: missing: gone"]


def test_totals_count_what_is_new_and_what_failed():
    cells = {
        line.split("  ")[0].strip(): [cell.strip() for cell in line.split("  ") if cell.strip()]
        for line in table.totals(ROWS).splitlines()
    }
    assert cells["good"][1:9] == ["1.2", "1", "10 / 10 = 100.0 %", "1", "1 → 1", "3", "0", "0"]
    assert cells["good"][9:] == ["0", "1.0e-07", "1.00", "0.900", "0.90"]
    assert cells["bad"][3:10] == ["5 / 10 = 50.0 %", "0", "1 → 6", "0", "2", "1", "0"]
    assert cells["gone"][3:10] == ["0 / 0", "0", "0 → 0", "0", "0", "0", "1"]


def test_columns_are_aligned():
    text = table.aligned([("a", "b"), ("longer", "1")])
    assert text == "a       b\nlonger  1"


def test_an_aligned_table_becomes_markdown():
    text = table.markdown(table.aligned([("tool", "BN left"), ("x", "10")]))
    assert text == "| tool | BN left |\n| --- | ---: |\n| x | 10 |"
