"""The generator's made-up values."""

from __future__ import annotations

import subprocess

from project_export.sample.values import BLANKS, NASTY, SHORT, Values


def draw(seed: int) -> list[object]:
    values = Values(seed)
    made: list[object] = [values.text(), values.title(), values.sha(), values.path(), values.patch()]
    return [*made, values.at(5), values.after(values.at(5)), values.name(), values.branch(3), values.tail(2)]


def test_the_same_seed_gives_the_same_values_and_another_seed_others():
    assert draw(1) == draw(1) != draw(2)


def test_every_text_fits_into_postgresql_and_utf_8():
    values = Values(1)
    for text in [*NASTY, *(values.text() for _ in range(1500)), *(values.title() for _ in range(200))]:
        assert "\x00" not in text
        assert text.encode("utf-8").decode("utf-8") == text


def test_nasty_strings_come_round_one_after_the_other():
    values = Values(1)
    found = "".join(values.text() for _ in range(4 * len(NASTY)))
    assert all(text in found for text in NASTY)


def test_generous_values_leave_nothing_out():
    values = Values(1)
    values.generous = True
    assert all(values.maybe(number, 0) == number for number in range(50))
    assert values.few(range(9), 3) == [0, 1, 8]
    assert values.few(range(9), 1) == [8]
    assert values.few(range(2), 5) == [0, 1]


def test_few_picks_different_options_up_to_the_most():
    values = Values(1)
    counts = set()
    for _ in range(100):
        found = values.few(range(5), 3)
        assert len(set(found)) == len(found)
        counts.add(len(found))
    assert counts == {0, 1, 2, 3}


def test_a_heavy_tail_is_mostly_small_and_never_above_the_most():
    values = Values(1)
    counts = [values.tail(2, most=300) for _ in range(2000)]
    assert sorted(counts)[1000] <= 3
    assert 100 < max(counts) <= 300


def test_moments_are_in_utc_with_microseconds_and_sometimes_the_same():
    values = Values(1)
    moments = [values.at(number) for number in range(9)]
    assert moments == sorted(moments)
    assert all((moment.utcoffset() and False) or str(moment.tzinfo) == "UTC" for moment in moments)
    assert any(moment.microsecond % 1000 for moment in moments)
    assert all(values.after(moments[0]) >= moments[0] for _ in range(100))


def test_titles_and_names_are_as_gitlab_takes_them():
    values = Values(1)
    titles = [values.title() for _ in range(200)]
    names = [values.name() for _ in range(200)]
    assert all(0 < len(text) <= SHORT and text == text.strip(BLANKS) for text in (*titles, *names))
    assert not any(set(name) & set(",<>\n") for name in names)
    assert max(len(values.summary()) for _ in range(800)) == SHORT
    assert max(len(values.paragraph()) for _ in range(200)) <= 500


def test_branches_have_names_that_git_accepts(tmp_path):
    values = Values(1)
    branches = [values.branch(number) for number in range(9)]
    assert len(set(branches)) == 9
    for branch in branches:
        subprocess.run(["git", "check-ref-format", "--branch", branch], check=True, cwd=tmp_path, capture_output=True)
