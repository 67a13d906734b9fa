"""The figures as a picture."""

from xml.etree import ElementTree

from bench.peers.chart import bars, svg
from bench.peers.peer import Figures

MEASURED = [
    Figures("tqnode", "fsync each", one=900.0, bulk=30_000.0, consume=5_000.0),
    Figures("a & b", "memory", one=500.0, consume=12_000.0),
    Figures("tqnode", "fsync each", one=1_100.0, bulk=50_000.0, consume=7_000.0),
]
SVG = "{http://www.w3.org/2000/svg}"


def test_the_longest_bar_is_first_and_ours_is_the_mean_of_its_runs() -> None:
    found = bars(MEASURED, "tqnode", 3, durable="fsync each")
    assert [(bar.name, bar.per_s, bar.durable, bar.is_ours) for bar in found] == [
        ("a & b", 12_000.0, False, False),
        ("tqnode", 6_000.0, True, True),
    ]


def test_a_queue_without_such_a_way_has_no_bar() -> None:
    assert [bar.name for bar in bars(MEASURED, "tqnode", 2, durable="fsync each")] == ["tqnode"]


def test_bars_are_as_long_as_their_figures_and_inside_the_picture() -> None:
    root = ElementTree.fromstring(svg(MEASURED, "tqnode", durable="fsync each"))
    width, height = map(float, root.attrib["viewBox"].split()[2:])
    boxes = [
        {key: float(box.attrib[key]) for key in ("x", "y", "width", "height")}
        for box in root.iter(f"{SVG}rect")
    ]
    assert boxes[0]["width"] == 2 * boxes[1]["width"]
    assert all(box["x"] + box["width"] < width and box["y"] + box["height"] < height for box in boxes)
    assert "a & b" in [text.text for text in root.iter(f"{SVG}text")]
