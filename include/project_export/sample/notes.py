"""What hangs on an issue, a merge request, a milestone or a note: events, notes, awards, labels, changes of state."""

from __future__ import annotations

from datetime import datetime

from project_export.sample.values import EMOJI
from project_export.sample.world import Project, World

EVENT_ACTIONS = tuple(range(1, 14))
PUSHED = 5
SYSTEM_ACTIONS = ("commit", "title", "label", "merge", "time_tracking", "cross_reference")


def add_events(
    world: World, project: Project, target_type: str, target: int, at: datetime, most: int = 3, of: str = ""
) -> None:
    """Add one to `most` events of a target, which may be `of` something; those that say pushed say what was pushed."""
    values = world.values
    kind = f"{of} {target_type}"
    for _ in range(values.random.randint(1, most)):
        action = project.turn(f"{kind} event", (PUSHED, *EVENT_ACTIONS))
        created = values.after(at)
        event = world.writer.add(
            "events",
            project_id=project.id,
            author_id=world.author(),
            created_at=created,
            updated_at=created,
            action=action,
            target_type=target_type,
            target_id=target,
            fingerprint=values.maybe(values.sha_bytes(), 0.7),
        )
        if action == PUSHED:
            _add_push_event_payload(world, project, event, full=project.number(f"{kind} push") % 3 == 1)


def _add_push_event_payload(world: World, project: Project, event: int, full: bool) -> None:
    values = world.values
    world.writer.attach(
        "push_event_payloads",
        event_id=event,
        project_id=project.id,
        commit_count=values.random.randint(0, 40),
        action=project.turn("push action", (0, 1, 2)),
        ref_type=project.turn("ref type", (0, 1)),
        commit_from=values.sha_bytes() if full else None,
        commit_to=values.sha_bytes() if full else None,
        ref=f"feature/{values.title()}" if full else values.maybe("main"),
        commit_title=values.title()[:70] if full else None,
        ref_count=values.random.randint(1, 5) if full else None,
    )


def add_awards(world: World, awardable_type: str, awardable: int, at: datetime, most: int = 2) -> None:
    """Add none to `most` award emoji."""
    for user in world.values.few(world.users, most):
        created = world.values.after(at)
        world.writer.add(
            "award_emoji",
            name=world.values.pick(EMOJI),
            user_id=user,
            awardable_type=awardable_type,
            awardable_id=awardable,
            created_at=created,
            updated_at=created,
        )


def add_note(
    world: World,
    project: Project,
    noteable_type: str,
    noteable: int | None,
    at: datetime,
    note_type: str | None = None,
    **columns: object,
) -> int:
    """Add a note and return its id; `columns` are those that only some notes have."""
    values = world.values
    created = values.after(at)
    resolved = values.maybe(True, 0.3)
    edited = values.maybe(values.after(created), 0.3)
    return world.writer.add(
        "notes",
        note=values.text(),
        noteable_type=noteable_type,
        noteable_id=noteable,
        author_id=world.user(),
        created_at=created,
        updated_at=edited or created,
        project_id=project.id,
        updated_by_id=edited and world.user(),
        type=note_type,
        resolved_at=resolved and values.after(created),
        resolved_by_id=resolved and world.user(),
        resolved_by_push=resolved and project.turn("resolved by push", (False, True)),
        discussion_id=values.sha(),
        note_html="<p>CANARY cached html</p>",
        confidential=values.maybe(project.turn("confidential", (True, False))),
        internal=project.turn("internal", (False, False, True)),
        imported_from=project.turn("imported from", tuple(range(12))),
        last_edited_at=edited,
        **columns,
    )


def add_system_note(world: World, project: Project, noteable_type: str, noteable: int, at: datetime) -> int:
    """Add a note that GitLab wrote itself, with what it is about, and return its id."""
    note = add_note(world, project, noteable_type, noteable, at, system=True)
    world.writer.add(
        "system_note_metadata",
        note_id=note,
        action=project.turn("system action", SYSTEM_ACTIONS),
        commit_count=world.values.maybe(world.values.random.randint(1, 20)),
        created_at=at,
        updated_at=world.values.after(at),
        namespace_id=project.namespace,
    )
    return note


def legacy_diff_columns(world: World) -> dict[str, object]:
    """Return the columns of a note on a diff as GitLab wrote them long ago: a line code and the diff as Ruby's YAML."""
    path = f"lib/{world.values.sha()[:8]}.rb"
    diff = '"@@ -1 +1 @@\\n-old \\"quoted\\"\\n+new “text”\\n"'
    flags = "".join(f":{name}: false\n" for name in ("new_file", "renamed_file", "deleted_file", "too_large"))
    modes = ":a_mode: '100644'\n:b_mode: '100644'\n"
    return {
        "line_code": f"{world.values.sha()}_12_14",
        "commit_id": world.values.sha(),
        "st_diff": f"---\n:diff: {diff}\n:new_path: {path}\n:old_path: {path}\n{modes}{flags}",
    }


def position_columns(world: World, image: bool = False) -> dict[str, object]:
    """Return the columns of a note on a diff as GitLab writes them today."""
    values = world.values
    position = values.image_position() if image else values.text_position()
    return {
        "position": position,
        "original_position": position,
        "change_position": values.maybe(values.text_position(), 0.8),
        "line_code": None if image else f"{values.sha()}_1_2",
        "commit_id": values.maybe(values.sha(), 0.3),
    }


def add_label_links(world: World, project: Project, target_type: str, target: int, at: datetime) -> None:
    """Put none to three labels on an issue or a merge request, the group's among them."""
    values = world.values
    labels = [*values.few(project.labels, 2), *values.few(world.group_labels, 1)]
    for label in labels:
        world.writer.add(
            "label_links",
            label_id=label,
            target_id=target,
            target_type=target_type,
            created_at=values.maybe(at, 0.9),
            updated_at=values.maybe(values.after(at), 0.9),
            namespace_id=project.namespace,
        )


def add_resource_events(world: World, project: Project, column: str, target: int, at: datetime) -> None:
    """Add the changes of labels, milestone and state of an issue (column issue_id) or merge request."""
    values, writer = world.values, world.writer
    for label in values.few([*project.labels, *world.group_labels], 2):
        writer.add(
            "resource_label_events",
            action=project.turn("label action", (1, 2)),
            label_id=values.maybe(label, 0.9),
            user_id=values.maybe(world.user(), 0.9),
            created_at=values.after(at),
            namespace_id=project.namespace,
            **{column: target},
        )
    for milestone in values.few([*project.milestones, *world.group_milestones], 2):
        writer.add(
            "resource_milestone_events",
            action=project.turn("milestone action", (1, 2)),
            state=project.turn(f"{column} milestone state", (1, 2, 3, 4)),
            milestone_id=values.maybe(milestone, 0.9),
            user_id=values.maybe(world.user(), 0.9),
            created_at=values.after(at),
            namespace_id=project.namespace,
            **{column: target},
        )
    for _ in range(2 if values.generous else values.random.randint(0, 2)):
        writer.add(
            "resource_state_events",
            user_id=values.maybe(world.user(), 0.9),
            created_at=values.after(at),
            state=project.turn(f"{column} state", (1, 2, 3, 4, 5)),
            source_commit=values.maybe(values.sha()),
            close_after_error_tracking_resolve=project.turn("error tracking", (False, True)),
            close_auto_resolve_prometheus_alert=project.turn("prometheus", (False, False, True)),
            namespace_id=project.namespace,
            **{column: target},
        )


def add_timelogs(world: World, project: Project, column: str, target: int, at: datetime) -> None:
    """Add none to two records of time spent (seconds; negative where time was taken back)."""
    values = world.values
    for user in values.few(world.users, 2):
        world.writer.add(
            "timelogs",
            time_spent=values.pick((3600, 900, -1800, 86_400 * 30)),
            user_id=values.maybe(user, 0.9),
            created_at=at,
            updated_at=values.after(at),
            spent_at=values.maybe(values.after(at), 0.8),
            project_id=project.id,
            summary=values.maybe(values.text()),
            namespace_id=project.namespace,
            **{column: target},
        )
