"""All jobs on one page."""

from __future__ import annotations

import re
from contextlib import contextmanager

import pytest
from sqlalchemy import event

from tests.web.jobs import Part


def rows(text: str) -> list[int]:
    """Return the ids of the jobs whose lines a page has."""
    return [int(found) for found in re.findall(r"job (\d+)</span>", text)]


def test_an_empty_ledger_says_how_to_start(page):
    text = page.get("/").text
    assert "Nothing has been exported yet." in text
    assert 'href="./start"' in text
    page.allowed.remove("START")
    text = page.get("/").text
    assert 'href="./start"' not in text
    assert "permission" in text


def test_a_line_says_what_people_ask_first(page, jobs):
    job = jobs.finished(project="group/sub/app", project_id=7, requested_by="jane.doe")
    text = page.get("/").text
    for words in ("group/sub/app", f"id 7 · job {job.id}", "finished", "jane.doe", "12.3 kB", "8.0 s", "2 of 2 parts"):
        assert words in text
    assert f'href="./jobs/{job.id}/archive"' in text


def test_the_newest_job_is_first_and_older_ones_are_a_page_away(page, jobs):
    made = [jobs.finished(project_id=number, run=f"r{number}").id for number in range(1, 58)]
    text = page.get("/").text
    assert rows(text) == made[:-51:-1]
    (older,) = re.findall(r'href="(\?before=\d+)" rel="next"', text)
    text = page.get(f"/{older}").text
    assert rows(text) == made[-51::-1]
    assert 'rel="next"' not in text


def test_filters_by_project_and_state_stay_in_the_links(page, jobs):
    for number in range(53):
        jobs.finished(project_id=7, run=f"r{number}")
    other = jobs.failed(project_id=8, run="other")
    assert rows(page.get("/?state=failed").text) == [other.id]
    assert rows(page.get("/?project=8&state=finished").text) == []
    assert len(rows(page.get("/?project=Group/APP").text)) == 50
    assert "No export matches." in page.get("/?project=group/other").text
    text = page.get("/?project=7&state=finished").text
    assert len(rows(text)) == 50
    assert re.search(r'href="\?project=7&amp;state=finished&amp;before=\d+"', text)


def test_a_page_is_the_same_number_of_statements_however_many_jobs_there_are(page, jobs, ctx):
    counts = []
    for number in (3, 60):
        for one in range(number):
            jobs.finished(project_id=one + 1, run=f"r{number}-{one}")
        with statements(jobs.engine) as ran:
            page.get("/")
        counts.append(ran)
    assert len(counts[0]) == len(counts[1]) == 2
    assert all("LIMIT" in first for first, _ in counts)


def test_only_a_page_with_a_running_job_asks_again(page, jobs):
    jobs.finished()
    assert "hx-get" not in page.get("/").text
    jobs.write(Part("labels", 1, None, "started"), project_id=2)
    text = page.get("/?state=started", fragment=True).text
    assert 'hx-get="?state=started"' in text
    assert "<html" not in text


def test_omissions_are_counted_once(page, jobs):
    omissions = {"values": {"omissions": ["uploads are not exported"]}}
    parts = [Part("notes", 1, 2, part=number, parts=2, **omissions) for number in range(2)]
    jobs.finished(parts=parts)
    assert "1 omission<" in page.get("/").text


def test_an_archive_that_was_pruned_is_not_offered(page, jobs):
    job = jobs.finished(archive_uri=None)
    text = page.get("/").text
    assert "expired" in text
    assert f"/jobs/{job.id}/archive" not in text


def test_a_project_that_the_setting_forbids_is_neither_listed_nor_found(page, jobs):
    seen, hidden = jobs.finished(project_id=1, run="a"), jobs.finished(project_id=2, run="b")
    page.set(access="jane=1")
    assert rows(page.get("/").text) == [seen.id]
    for path in ("", "/live", "/contents", "/archive", "/manifest", "/relations/labels", "/log"):
        page.get(f"/jobs/{hidden.id}{path}", status=404)


def test_names_are_escaped_and_long_ones_are_whole_in_the_title(page, jobs):
    name = "group/" + "very-long-" * 20 + "<script>"
    jobs.finished(project=name)
    text = page.get("/").text
    assert "<script>alert" not in text
    assert 'very-long-&lt;script&gt;"' in text


@pytest.mark.parametrize("query", ["before=x", "before=-1", "state=odd", f"before={1 << 70}", "project=" + "x" * 2000])
def test_a_wrong_filter_is_refused(page, query):
    text = page.get(f"/?{query}", status=422).text
    assert "The request is wrong" in text


@contextmanager
def statements(engine):
    """Collect the statements that an engine runs."""
    ran: list[str] = []

    def note(connection, cursor, statement, *rest):
        if statement != "BEGIN":
            ran.append(statement)

    event.listen(engine, "before_cursor_execute", note)
    try:
        yield ran
    finally:
        event.remove(engine, "before_cursor_execute", note)
