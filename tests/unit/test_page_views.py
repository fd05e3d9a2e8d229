"""What the page shows of jobs and relations, computed from values of the ledger without Airflow."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from project_export.airflow.web.views.contents import contents
from project_export.airflow.web.views.job import job_view
from project_export.airflow.web.views.jobs import job_line, label_of
from project_export.airflow.web.views.progress import Expected, done
from project_export.airflow.web.views.relations import TaskLog, relations
from project_export.airflow.web.views.remedies import REMEDIES, remedy
from project_export.airflow.web.views.timeline import WIDTH, timeline
from project_export.archive.files import ArchiveFile, MissingFile
from project_export.archive.manifest import Manifest, ManifestRelation, ManifestSnapshot
from project_export.errors import WHOLE, Failure
from project_export.ledger import Job, JobProgress, Progress, Row
from project_export.store import Assembled

START = datetime(2026, 11, 28, 10, 0, tzinfo=timezone.utc)
RUN = "export_project/page__1"


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def job(**values: Any) -> Job:
    """Return a job that was created at START and is running."""
    empty: dict[str, Any] = dict.fromkeys(Job.__dataclass_fields__)
    given = {"id": 7, "source": "main", "tree": "gitlab", "project_id": 42, "run_id": RUN, "requested_by": "jane"}
    known = {"params": {}, "plan": {"project": "group/app"}, "consistency": "project", "errors": (), "grace_seconds": 0}
    times = {"created_at": START, "updated_at": START, "started_at": at(1), "snapshot_generation": 1}
    return Job(**{**empty, **given, **known, **times, "state": "started", **values})


def row(relation: str, start: float | None = None, end: float | None = None, **values: Any) -> Row:
    """Return a row: queued, running since `start`, or finished at `end`."""
    state = "queued" if start is None else "started" if end is None else "finished"
    unit = values.pop("unit", 0)
    empty: dict[str, Any] = dict.fromkeys(Row.__dataclass_fields__)
    given = {"id": values.pop("id", abs(hash((relation, values.get("part", 0))))), "job_id": 7, "relation": relation}
    counts = {"part": 0, "parts": 1, "unit": unit, "position": 0, "estimate": 10, "attempt": 1, "deaths": 0}
    known = {"records": 0, "raw_bytes": 0, "remarks": (), "omissions": (), "failed_attempts": 0, "cancelled": False}
    times = {
        "queued_at": START,
        "started_at": None if start is None else at(start),
        "finished_at": None if end is None else at(end),
        "heartbeat_at": at(start) if state == "started" and start is not None else None,
    }
    owner = None if start is None else f"{RUN}/{unit}/{values.get('attempt', 1)} host:1:2"
    more = {"snapshot": True, "owner": owner, "state": state}
    return Row(**{**empty, **given, **counts, **known, **times, **more, **values})


def progress(**values: Any) -> Progress:
    counts = {"queued": 0, "started": 1, "finished": 1, "failed": 0, "records": 0, "raw_bytes": 0, "estimate": 100}
    return Progress("started", 1, **{**counts, "estimate_done": 20, "began": at(2), "now": at(12), **values})


def test_a_job_is_as_far_as_the_cost_of_its_parts_or_its_bytes_say():
    plan = {
        "expected": {"notes": {"records": 10, "raw_bytes": 1000}, "repository": {"records": None, "raw_bytes": None}}
    }
    planned = job(plan=plan)
    assert done(planned, progress(raw_bytes=100), at(12)).share == pytest.approx(0.2)
    half = done(planned, progress(raw_bytes=500), at(12))
    assert (half.share, half.expected_bytes, half.seconds_left) == (pytest.approx(0.5), 1000, pytest.approx(10))
    assert done(planned, progress(raw_bytes=5000), at(12)).share == 0.99


def test_only_a_finished_job_is_done():
    whole = progress(started=0, finished=2, estimate_done=100)
    assert done(job(), whole, at(12)).share == 0.99
    ended = job(state="finished", outcome="finished", finished_at=at(9))
    assert (done(ended, whole, at(500)).share, done(ended, whole, at(500)).seconds) == (1.0, 9.0)
    none = done(job(state="queued", started_at=None), progress(started=0, finished=0, estimate=0, began=None), at(3))
    assert (none.share, none.seconds_left) == (0.0, None)


@pytest.mark.parametrize(
    ("state", "outcome", "label"),
    [
        ("queued", None, "queued"),
        ("started", None, "running"),
        ("finished", "finished", "finished"),
        ("failed", "failed", "failed"),
        ("failed", "cancelled", "cancelled"),
    ],
)
def test_a_state_is_one_word(state, outcome, label):
    assert label_of(job(state=state, outcome=outcome)) == label


def test_omissions_count_once_there_is_an_archive():
    assert job_line(JobProgress(job(), progress()), ["no uploads"], at(1)).omissions == 0
    archived = job(archive_bytes=5, archive_uri="file:///a", state="finished", outcome="finished")
    line = job_line(JobProgress(archived, progress()), ["no uploads"], at(1))
    assert (line.omissions, line.downloadable, line.title) == (1, True, "group/app")


def test_a_relation_adds_up_its_parts_by_their_cost():
    rows = [
        row("notes", 0, 10, part=0, parts=2, estimate=30, records=3, raw_bytes=300),
        row("notes", 5, part=1, parts=2, estimate=10, records=1, raw_bytes=100, unit=1),
    ]
    (notes,) = relations(rows, {"notes": Expected(10, 400)}, at(20))
    line = notes.line
    assert (line.state, line.records, line.raw_bytes, line.seconds) == ("running", 4, 400, 20)
    assert line.share == pytest.approx((30 + 10 * 0.5) / 40)
    assert [part.name for part in notes.parts] == ["part 1 of 2", "part 2 of 2"]
    assert notes.parts[1].expected == Expected(5, 200)
    assert (notes.parts[0].heartbeat, notes.parts[1].heartbeat) == (None, 15)
    assert notes.parts[1].log == TaskLog(1, 1)


def test_what_the_merge_exported_is_in_the_log_of_the_merge():
    (labels,) = relations([row("labels", 1, 2, unit=-1, attempt=2)], {}, at(3))
    assert labels.parts == ()
    assert labels.line.log == TaskLog(None, 2)


def test_an_error_has_a_remedy_and_says_whether_it_is_tried_again():
    failed = row("notes", 1, 2, state="failed", attempt=3, error="read notes: no", error_code="ENOSPC", parts=2)
    again = row("issues", 1, error="lost", error_code="SourceBusy", attempt=2)
    notes, issues = relations([failed, again], {}, at(3))
    (trouble,) = notes.line.troubles
    assert (trouble.attempt, trouble.text, trouble.again) == (3, "read notes: no", False)
    assert trouble.remedy == REMEDIES["ENOSPC"]
    assert issues.line.troubles[0].again


def test_what_was_cancelled_because_of_another_is_not_an_error():
    (notes,) = relations([row("notes", state="failed", cancelled=True, error="cancelled")], {}, at(3))
    assert (notes.line.state, notes.line.troubles) == ("cancelled", ())


@pytest.mark.parametrize(
    ("code", "key"),
    [("08006", "08"), ("57P01", "57"), ("57014", "57014"), ("42703", "42"), ("FilesMissing", "FilesMissing")],
)
def test_remedies_go_by_the_code_or_its_class(code, key):
    assert remedy(code) == REMEDIES[key] != ""


@pytest.mark.parametrize("code", ["42501", "BadRequest", "99999", "", None])
def test_other_errors_say_all_themselves(code):
    assert remedy(code) == ""


def test_the_last_part_and_what_its_worker_did_before_held_the_job_back():
    rows = [
        row("issues", 2, 5, unit=0, id=1),
        row("labels", 2, 3, unit=1, id=2),
        row("notes", 5, 20, unit=0, id=3),
        row("boards", 3, 12, unit=1, id=4),
    ]
    drawn = timeline(job(state="finished", finished_at=at(25)), rows, at(99))
    assert {lane.name for lane in drawn.lanes if lane.critical} == {"issues", "notes"}
    steps = "wait for workers", "wait, merge, publish"
    assert [lane.name for lane in drawn.lanes] == [steps[0], "issues", "labels", "boards", "notes", steps[1]]
    assert drawn.summary == (
        "notes ended last, after 15 s. Its worker had been busy for 3.0 s before, mostly with issues. "
        "No other worker was exporting for the last 8.0 s."
    )
    notes = next(lane for lane in drawn.lanes if lane.name == "notes")
    (bar,) = notes.bars
    assert (bar.x, bar.width) == (5 * WIDTH // 25, 15 * WIDTH // 25)
    assert notes.text == "15 s, from 5.0 s to 20 s"


def test_few_parts_are_lanes_and_many_are_one_bar():
    few = timeline(job(), [row("notes", n, n + 1, part=n, parts=3) for n in range(3)], at(9)).lanes[0]
    assert len({bar.y for bar in few.bars}) == 3
    many = timeline(job(), [row("notes", n, n + 1, part=n, parts=30) for n in range(30)], at(40)).lanes[0]
    assert len(many.bars) == 1
    failed = [row("notes", n, n + 1, part=n, parts=30, **({"state": "failed"} if n == 4 else {})) for n in range(30)]
    assert timeline(job(), failed, at(40)).lanes[0].bars[0].state == "failed"


def test_a_long_wait_before_the_first_relation_is_said():
    assert timeline(job(), [row("notes", 8, 9)], at(10)).summary.startswith("The first relation started after 8.0 s;")
    assert timeline(job(), [row("notes", 1, 9)], at(10)).summary.startswith("notes ended last")


def test_what_came_before_the_first_relation_is_drawn_as_waiting_for_the_turn_and_for_workers():
    drawn = timeline(job(admitted_at=at(6)), [row("notes", 8, 9)], at(10))
    assert [(lane.name, lane.text) for lane in drawn.lanes[:2]] == [
        ("wait for its turn", "6.0 s, from 0.0 s to 6.0 s"),
        ("wait for workers", "2.0 s, from 6.0 s to 8.0 s"),
    ]
    assert "waited for its tasks, and 6.0 s of that for its turn, after other exports. notes" in drawn.summary


def test_a_timeline_without_a_start_is_empty_and_bars_stay_inside():
    assert timeline(job(), [row("notes")], at(5)).lanes == ()
    assert timeline(job(), [row("notes")], at(5)).summary == ""
    drawn = timeline(job(), [row("notes", 9), row("labels", 0, 0)], at(9))
    for lane in drawn.lanes:
        for bar in lane.bars:
            assert 0 <= bar.x < bar.x + bar.width <= WIDTH
    assert all(0 <= tick.x <= WIDTH for tick in drawn.ticks)


@pytest.mark.parametrize("seconds", [0.2, 3, 59, 3600, 10**6])
def test_an_axis_has_a_few_marks(seconds):
    ticks = timeline(job(), [row("notes", 0)], at(seconds)).ticks
    assert 1 <= len(ticks) <= 13


def test_a_snapshot_is_kept_until_it_is_too_old_or_the_grace_period_ends():
    held = {"snapshot_id": "0003-1", "snapshot_at": at(2)}
    running = job_view(job(**held), progress(on_snapshot=1), [row("notes", 3)], at(10), 100).snapshot
    assert running is not None
    assert (running.age, running.kept) == (8, at(102))
    failed = job(**held, state="failed", outcome="failed", finished_at=at(20), grace_seconds=60)
    for now, most, kept in ((at(21), 1000, at(80)), (at(21), 30, at(32)), (at(81), 1000, None)):
        snapshot = job_view(failed, progress(), [], now, most).snapshot
        assert snapshot is not None
        assert snapshot.kept == kept
    assert job_view(job(), progress(), [], at(3), 100).snapshot is None


def test_the_page_of_a_job_lists_what_failed_as_a_whole():
    errors = (Failure("notes", 1, "no"), Failure(WHOLE, 0, "upload: refused", code="DeliveryRefused"))
    view = job_view(job(state="failed", outcome="failed", errors=errors, finished_at=at(9)), progress(), [], at(9), 1)
    assert [(one.message, text) for one, text in view.problems] == [("upload: refused", REMEDIES["DeliveryRefused"])]
    assert view.speed is None


def test_contents_start_with_what_is_missing_and_show_some_files_of_many():
    files = tuple(ArchiveFile(f"uploads/{n}", n, ()) for n in range(300))
    uploads = ManifestRelation(
        "uploads", None, 0, 9, None, 1, (), ("odd",), ("no lfs",), files, (MissingFile("a", "gone"),)
    )
    manifest = Manifest(
        omissions=("no lfs", "hidden rows"),
        package_version="1",
        job_id=1,
        source="main",
        tree="gitlab",
        project_id=1,
        run_id=RUN,
        requested_by=None,
        consistency="project",
        snapshot=ManifestSnapshot(1, None),
        created_at="2026",
        archive=Assembled(1, "ab"),
        relations=(uploads,),
        remarks=("large",),
    )
    shown = contents(manifest)
    assert shown.omissions == ("no lfs", "hidden rows")
    assert shown.remarks == (("", "large"), ("uploads", "odd"))
    assert shown.missing == (("uploads", MissingFile("a", "gone")),)
    assert (len(shown.relations[0].files), shown.relations[0].others) == (200, 100)
    assert contents(replace(manifest, omissions=())).omissions == ("no lfs",)


def test_views_do_not_load_airflow():
    code = (
        "import sys; from project_export.airflow.web.views import contents, job, jobs; print('airflow' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"
