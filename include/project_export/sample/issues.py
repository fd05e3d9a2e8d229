"""Issues and everything nested in them."""

from __future__ import annotations

from datetime import datetime

from project_export.sample.notes import (
    Where,
    add_awards,
    add_diff_note,
    add_events,
    add_label_links,
    add_note,
    add_resource_events,
    add_system_note,
    add_timelogs,
)
from project_export.sample.objects import Signature
from project_export.sample.positions import Refs
from project_export.sample.repository import SOMEONE
from project_export.sample.world import Project, World

BASE_TYPES = (0, *range(9))
POSITIONS = (-513, 0, 513, None)
FIRST_NOTES = 60


def add_issue(world: World, project: Project, number: int) -> None:
    """Add the number-th issue, from 0; the first has the most notes, and every value."""
    values = world.values
    at = values.at(number)
    iid = project.number("issue iid")
    issue = _add_row(world, project, number, iid, at)
    project.recent_issues.append(issue)
    project.records["issues"] += 1
    add_events(world, project, "Issue", issue, at)
    if number % 10 == 5:
        add_events(world, project, "WorkItem", issue, at)
    _add_notes(world, project, issue, at, FIRST_NOTES if number == 0 else values.tail(1.2))
    add_awards(world, "Issue", issue, at)
    add_label_links(world, project, "Issue", issue, at)
    add_resource_events(world, project, "issue_id", issue, at)
    add_timelogs(world, project, "issue_id", issue, at)
    for user in values.few(world.users, 2):
        world.writer.attach("issue_assignees", issue_id=issue, user_id=user, namespace_id=project.namespace)
    if number % 6 == 0:
        _add_designs(world, project, issue, iid, at)
    if number % 7 == 0:
        _add_zoom_meetings(world, project, issue, at)
    if number % 8 == 0:
        identifier = values.random.randrange(2**62)
        world.writer.add(
            "sentry_issues", issue_id=issue, sentry_issue_identifier=identifier, namespace_id=project.namespace
        )


def _add_row(world: World, project: Project, number: int, iid: int, at: datetime) -> int:
    values = world.values
    milestones = [*project.milestones, *project.group_milestones]
    closed = number % 3 == 0
    rare = number % 4 == 0
    scattered = values.random.randint(-1_000_000, 1_000_000)
    description = values.maybe(project.mention("issue", values.text()), 0.9)
    last_edited_at, last_edited_by = (values.after(at), world.user()) if rare else (None, None)
    issue = world.writer.add(
        "issues",
        title=values.title(),
        author_id=world.user(),
        project_id=project.id,
        namespace_id=project.namespace,
        created_at=at,
        updated_at=values.after(at),
        description=description,
        milestone_id=values.maybe(milestones[-(number % len(milestones))], 0.6),
        iid=iid,
        updated_by_id=values.maybe(world.user()),
        weight=values.maybe(values.random.randint(0, 9)),
        confidential=number % 11 == 3,
        due_date=values.after(at).date() if rare else None,
        lock_version=values.random.randint(0, 5),
        title_html="<p>CANARY cached html</p>",
        time_estimate=project.turn("issue estimate", (3600, 0)),
        relative_position=scattered if number % 3 else project.turn("position", POSITIONS),
        service_desk_reply_to="CANARY-reply@example.com" if rare else None,
        last_edited_at=last_edited_at,
        last_edited_by_id=last_edited_by,
        discussion_locked=project.turn("locked", (True, None, False)),
        closed_at=values.after(at) if closed else None,
        closed_by_id=world.user() if closed else None,
        state_id=2 if closed else 1,
        health_status=project.turn("health", (1, 2, 3, None)),
        work_item_type_id=world.work_item_types[project.turn("work item type", BASE_TYPES)],
        moved_to_id=project.recent_issues[0] if rare and project.recent_issues else None,
    )
    world.writer.attach(
        "work_item_descriptions",
        work_item_id=issue,
        namespace_id=project.namespace,
        description=description,
        last_edited_at=last_edited_at,
        last_edited_by_id=last_edited_by,
    )
    return issue


def _add_notes(world: World, project: Project, issue: int, at: datetime, count: int) -> None:
    for place in range(count):
        if place % 4 == 3:
            add_system_note(world, project, "Issue", issue, at)
            continue
        note = add_note(world, project, "Issue", issue, at, project.turn("note type", (None, "DiscussionNote")))
        add_awards(world, "Note", note, at, most=1)
        if place % 5 == 0:
            add_events(world, project, "Note", note, at, most=1, of="Issue")


def _add_designs(world: World, project: Project, issue: int, iid: int, at: datetime) -> None:
    """Add two designs, two versions that each change both, and notes on the first design."""
    values, writer = world.values, world.writer
    names = [f"{place} mock-up “{values.name().replace('/', '-')}”.png" for place in range(2)]
    designs = [
        writer.add(
            "design_management_designs",
            project_id=project.id,
            issue_id=issue,
            filename=name,
            relative_position=values.random.randint(-1000, 1000) if place else None,
            iid=project.number("design iid"),
            namespace_id=project.namespace,
        )
        for place, name in enumerate(names)
    ]
    seeds, changed = [values.nonce(), values.nonce()], values.nonce()
    commits: list[str] = []
    for later in (False, True):
        nonce = changed if later else values.nonce()
        created, author = values.after(at), world.user()
        by = Signature(SOMEONE.by, created)
        if later:
            commits.append(project.designs.change(iid, names[0], names[1], nonce, by))
        else:
            commits.append(project.designs.add(iid, names, seeds, nonce, by))
        version = writer.add(
            "design_management_versions",
            sha=bytes.fromhex(commits[-1]),
            issue_id=issue,
            created_at=created,
            author_id=author,
            namespace_id=project.namespace,
        )
        for place, design in enumerate(designs):
            writer.add(
                "design_management_designs_versions",
                design_id=design,
                version_id=version,
                event=1 + place if later else 0,  # the first is modified, the second deleted
                namespace_id=project.namespace,
            )
    refs = Refs(commits[0], commits[0], commits[1])
    for _ in range(3):
        where = Where(refs, f"designs/issue-{iid}/{names[0]}")
        note = add_diff_note(world, project, "DesignManagement::Design", designs[0], at, "image", where)
        add_events(world, project, "Note", note, at, most=2, of="Design")


def _add_zoom_meetings(world: World, project: Project, issue: int, at: datetime) -> None:
    """Add a meeting that was removed and one that is scheduled; an issue has at most one scheduled meeting."""
    for status in (2, 1):
        world.writer.add(
            "zoom_meetings",
            project_id=project.id,
            issue_id=issue,
            created_at=at,
            updated_at=world.values.after(at),
            issue_status=status,
            url=f"https://zoom.us/j/{issue}?pwd=a&b=c",
        )
