import csv
from dataclasses import replace

import pytest

from benchmarks.serving import ceiling, plots, table
from benchmarks.serving.calls import FORMATS
from benchmarks.serving.environments import REQUIREMENTS
from benchmarks.serving.models import MODELS
from benchmarks.serving.plan import OPEN, Cell, cells
from benchmarks.serving.rows import COLUMNS, Row, append
from benchmarks.serving.servers import BY_NAME, OURS, SERVERS
from benchmarks.serving.summary import sections


def row(number: int, server: str, rate: float, load: str = "64", form: str = "json") -> Row:
    """Latencies of ours are 100 / 1000, so that ratios are round."""
    return Row(
        number,
        server,
        "1.0",
        "digits",
        form,
        load,
        requests=100,
        seconds=1.0,
        rate=rate,
        p50_ms=1000 / rate,
        p99_ms=5000 / rate,
        cpu_ms=0.5,
        pss_mb=120.4,
        largest_mb=80.0,
        processes=3,
        start_s=0.75,
    )


ROWS = [
    *(row(number, OURS, rate) for number, rate in enumerate([1000, 2000, 1500], 1)),
    *(row(number, "slow", rate) for number, rate in enumerate([500, 500, 500], 1)),
    Row(1, "broken", "2.0", "digits", "json", "64", failure="wrong: logits are off"),
    row(1, ceiling.NAME, 9000, load=ceiling.LOAD, form="binary"),
]


def lines() -> dict[str, list[str]]:
    _, _, *rest = table.text(sections(ROWS)).splitlines()
    return {line.split()[0]: line.split()[1:] for line in rest}


def test_medians_and_ratios_to_ours_in_the_same_round():
    found = lines()
    assert found[OURS][:8] == ["1.0", "1,500", "33%", "1.00x", "0.667", "1.00x", "3.33", "1.00x"]
    # Ratios are 2, 4 and 3: their median is not that of other pairs.
    assert found["slow"][:8] == ["1.0", "500", "0%", "3.00x", "2", "3.00x", "10.0", "3.00x"]
    assert found[OURS][8:] == ["0", "0.5", "120", "80", "3", "0.75"]


def test_the_ceiling_stands_with_the_closed_loops_and_the_fastest_is_first():
    (section,) = sections(ROWS)
    assert [line.server for line in section.lines] == [ceiling.NAME, OURS, "slow", "broken"]
    (alone,) = sections([row(1, OURS, 10, load="1"), *ROWS[-1:]])
    assert [line.server for line in alone.lines] == [OURS]


def test_a_server_that_failed_once_is_not_ranked():
    again = [*ROWS, Row(2, "slow", "1.0", "digits", "json", "64", failure="it ended")]
    (section,) = sections(again)
    assert {line.server for line in section.lines[-2:]} == {"broken", "slow"}
    text = table.text([section])
    assert "slow: it ended" in text
    assert "broken: wrong: logits are off" in text


def test_markdown_has_as_many_cells_in_every_line():
    text = table.text(sections(ROWS), markdown=True)
    assert text.startswith("**digits, json, 64 clients**\n\n| server |")
    widths = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert widths == {len(table.HEADER) + 1}
    assert "- broken: wrong: logits are off" in text


def test_an_open_loop_s_table_says_how_late_the_generator_was():
    open_loop = [replace(row(1, OURS, 10, load="open"), late_p99_ms=0.25)]
    title, header, line = table.text(sections(open_loop)).splitlines()
    assert title == "digits, json, open loop at half of each server's capacity"
    assert header.endswith(table.LATE)
    assert line.split()[-1] == "0.25"


def test_pictures_are_drawn(tmp_path):
    files = plots.draw(sections(ROWS), tmp_path)
    assert {file.name for file in files} == {f"{name}.svg" for name in plots.PLOTS}
    assert all("<svg" in file.read_text() for file in files)


def test_rows_go_to_a_csv_file_at_once(tmp_path):
    file = tmp_path / "rows.csv"
    for one in ROWS:
        append(file, [one])
    with file.open() as stream:
        read = list(csv.DictReader(stream))
    assert list(read[0]) == COLUMNS
    assert [one["server"] for one in read] == [one.server for one in ROWS]
    assert read[0]["rate"] == "1000"
    assert read[-2]["failure"] == "wrong: logits are off"


@pytest.mark.parametrize("model", MODELS)
def test_open_loops_come_after_the_load_that_measures_capacity(model):
    planned = cells(model)
    for index, cell in enumerate(planned):
        if cell.clients == OPEN:
            assert planned[index - 1].form == cell.form
            assert planned[index - 1].clients == max(one.clients for one in planned)


def test_a_part_of_the_plan_can_be_asked_for():
    assert cells("digits", forms=["jpeg"], clients=[1, OPEN]) == [Cell("jpeg", 1), Cell("jpeg", 0)]
    assert len(cells("resnet18", everything=True)) == 4 * len(FORMATS)
    assert [Cell("json", 1).load, Cell("json", OPEN).load] == ["1", "open"]


@pytest.mark.parametrize("server", SERVERS, ids=list(BY_NAME))
def test_every_server_has_pinned_requirements_and_a_version(server):
    assert server.version
    if server.peer is not None:
        text = (REQUIREMENTS / f"{server.peer}.txt").read_text()
        assert all("==" in line for line in text.splitlines())
        assert (REQUIREMENTS / f"{server.peer}_app.py").is_file()
    assert server.callers.keys() >= {"json", "jpeg"}
