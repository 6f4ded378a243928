"""Line charts: where points stand, what they say, and that the page needs nothing else."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linewise_training.report.curve import Curve, curves
from linewise_training.report.html import document, table

NUMBERS = st.floats(-1e9, 1e9, allow_nan=False)


def polylines(html):
    found = re.findall(r'<polyline[^>]* points="([^"]*)"', html)
    return [[tuple(map(float, point.split(","))) for point in line.split()] for line in found]


def test_a_falling_curve_falls_on_the_page_from_its_left_edge_to_its_right():
    html = curves([Curve("loss", [(0, 9.0), (50, 4.0), (100, 3.0)])], "step", "loss")
    (points,) = polylines(html)
    assert [x for x, _ in points] == [46.0, 398.0, 750.0]
    assert points[0][1] < points[1][1] < points[2][1]  # the page's y grows downward


def test_a_logarithmic_axis_spaces_powers_evenly_and_names_each_point():
    html = curves([Curve("pass@k", [(1, 0.1), (10, 0.2), (100, 0.4)])], "k", "pass@k", log_x=True)
    (points,) = polylines(html)
    assert points[1][0] - points[0][0] == pytest.approx(points[2][0] - points[1][0], abs=0.2)
    assert all(f">{k}</text>" in html for k in (1, 10, 100))


def test_a_band_encloses_its_curve():
    html = curves([Curve("a", [(1, 2.0), (2, 3.0)], band=[(1.5, 2.5), (2.0, 4.0)])], "x", "y")
    (points,) = polylines(html)
    outline = re.search(r'<polygon[^>]* points="([^"]*)"', html)[1]
    corners = [tuple(map(float, point.split(","))) for point in outline.split()]
    for x, y in points:
        edges = [corner_y for corner_x, corner_y in corners if corner_x == x]
        assert min(edges) < y < max(edges)


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=40))
def test_any_points_give_a_drawing_within_its_frame(points):
    html = curves([Curve("<&>", sorted(points))], "x", "y")
    ElementTree.fromstring(html[html.index("<svg") : html.index("</svg>") + 6])
    for x, y in polylines(html)[0]:
        assert 46 <= x <= 750
        assert 10 <= y <= 236


def test_a_chart_without_a_point_is_refused():
    with pytest.raises(ValueError, match="needs a point"):
        curves([Curve("empty", [])], "x", "y")


def test_what_a_table_or_heading_says_is_text_and_not_markup():
    html = document("Report", "<script>", table(("name", "n"), [("<b>", "1")]))
    assert "<script>" not in html
    assert "<td>&lt;b&gt;</td>" in html
    assert '<td class="n">1</td>' in html


def test_steps_are_named_whole():
    html = curves([Curve("loss", [(1, 9.0), (2, 8.0), (3, 7.0), (4, 6.5)])], "step", "loss")
    named = re.findall(r'text-anchor="middle">([\d.]+)</text>', html)
    assert named == ["1", "2", "3", "4"]
    halves = curves([Curve("loss", [(1, 9.0), (1.5, 8.0), (2, 7.0)])], "rate", "loss")
    assert ">1.2</text>" in halves


def test_a_table_wider_than_its_card_scrolls_in_it():
    page = document("Wide", "x", table(["name", *"abcdefgh"], [["row", *["100.0 (20.7 to 100.0)"] * 8]]))
    assert re.search(r'<div class="wide"><table>.*</table></div>', page, re.DOTALL)
    assert re.search(r"\.wide \{[^}]*overflow-x: auto", page)
