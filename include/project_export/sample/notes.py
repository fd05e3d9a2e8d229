"""What issues, merge requests, milestones and notes have in common: events, notes, awards, labels, state changes."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from project_export.sample.positions import Refs, file_position, image_position, line_code, text_position
from project_export.sample.values import EMOJI
from project_export.sample.world import Project, World

EVENT_ACTIONS = (1, 2, 3, 4, *range(6, 14))
"""All except pushed (5), which has no target: push_event.rb."""
SYSTEM_ACTIONS = ("commit", "title", "label", "merge", "time_tracking", "cross_reference")
RESOLVABLE = ("Issue", "MergeRequest", "DesignManagement::Design")
"""What can have resolvable notes, if they are of certain types: noteable.rb, resolvable_note.rb."""
CAN_BE_INTERNAL = ("Issue", "MergeRequest")


class Where(NamedTuple):
    """What a note on a diff refers to: the diff's commits, a file, and the commit if the note was made on one."""

    refs: Refs
    path: str
    commit_id: str | None = None


def add_events(
    world: World, project: Project, target_type: str, target: int, at: datetime, most: int = 3, of: str = ""
) -> None:
    """Add one to `most` events of a target; of: what the target belongs to, if anything."""
    values = world.values
    for _ in range(values.random.randint(1, most)):
        created = values.after(at)
        world.writer.add(
            "events",
            project_id=project.id,
            author_id=world.user(),
            created_at=created,
            updated_at=created,
            action=project.turn(f"{of} {target_type} event", EVENT_ACTIONS),
            target_type=target_type,
            target_id=target,
            fingerprint=values.maybe(values.sha_bytes(), 0.7),
        )


def add_awards(world: World, awardable_type: str, awardable: int, at: datetime, most: int = 2) -> None:
    """Add up to `most` award emoji."""
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
    """Add a note and return its id; `columns` are those that only some notes have.

    Some of the notes that may be resolved or internal, by type and noteable, are. A note that was not edited has no
    editor and no time of an edit.
    """
    values = world.values
    created = values.after(at)
    plain = note_type in (None, "DiscussionNote") and not columns.get("system")
    resolvable = noteable_type in RESOLVABLE and note_type in ("DiffNote", "DiscussionNote")
    resolved = values.maybe(True, 0.3) if resolvable else None
    edited = None if columns.get("system") else values.maybe(values.after(created), 0.3)
    confidential = values.maybe(False)
    if noteable_type in CAN_BE_INTERNAL and plain:
        confidential = values.maybe(project.turn("confidential", (True, False)))
    return world.writer.add(
        "notes",
        note=project.mention("note", values.text()),
        noteable_type=noteable_type,
        noteable_id=noteable,
        author_id=world.user(),
        created_at=created,
        updated_at=edited or created,
        project_id=project.id,
        namespace_id=project.namespace,
        updated_by_id=edited and world.user(),
        type=note_type,
        resolved_at=resolved and values.after(created),
        resolved_by_id=resolved and world.user(),
        resolved_by_push=resolved and project.turn("resolved by push", (False, True)),
        discussion_id=values.sha(),
        note_html="<p>CANARY cached html</p>",
        confidential=confidential,
        internal=confidential is True,
        imported_from=project.turn("imported from", tuple(range(13))),
        last_edited_at=edited,
        **columns,
    )


def add_diff_note(
    world: World, project: Project, noteable_type: str, noteable: int | None, at: datetime, kind: str, where: Where
) -> int:
    """Add a note on a diff and return its id; kind: line, lines (several), image or file."""
    values = world.values
    line = values.random.randint(1, 400)
    old_line = values.maybe(line)
    refs, path = where.refs, where.path
    position = {
        "line": lambda: text_position(refs, path, old_line, line + 1),
        "lines": lambda: text_position(refs, path, old_line, line + 1, lines=2),
        "image": lambda: image_position(refs, path, values.random.randrange(800), values.random.randrange(600)),
        "file": lambda: file_position(refs, path),
    }[kind]()
    on_text = kind in ("line", "lines")
    return add_note(
        world,
        project,
        noteable_type,
        noteable,
        at,
        "DiffNote",
        position=position,
        original_position=position,
        change_position=values.maybe(text_position(refs, path, None, line), 0.3) if on_text else None,
        line_code=line_code(path, line, line + 1) if on_text else None,
        commit_id=where.commit_id,
    )


def add_legacy_diff_note(
    world: World, project: Project, noteable_type: str, noteable: int | None, at: datetime, commit_id: str | None
) -> int:
    """Add a note on a diff as GitLab wrote it before 8.8, with the diff in Ruby's YAML, and return its id."""
    path = f"lib/{world.values.sha()[:8]}.rb"
    diff = '"@@ -1 +1 @@\\n-old \\"quoted\\"\\n+new “text”\\n"'
    flags = "".join(f":{name}: false\n" for name in ("new_file", "renamed_file", "deleted_file", "too_large"))
    modes = ":a_mode: '100644'\n:b_mode: '100644'\n"
    return add_note(
        world,
        project,
        noteable_type,
        noteable,
        at,
        "LegacyDiffNote",
        line_code=line_code(path, 12, 14),
        commit_id=commit_id,
        st_diff=f"---\n:diff: {diff}\n:new_path: {path}\n:old_path: {path}\n{modes}{flags}",
    )


def add_system_note(world: World, project: Project, noteable_type: str, noteable: int, at: datetime) -> int:
    """Add a system note with its metadata, and return its id."""
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


def add_label_links(world: World, project: Project, target_type: str, target: int, at: datetime) -> None:
    """Put up to three labels on an issue or a merge request, including the group's."""
    values = world.values
    labels = [*values.few(project.labels, 2), *values.few(project.group_labels, 1)]
    for label in labels:
        world.writer.add(
            "label_links",
            label_id=label,
            target_id=target,
            target_type=target_type,
            created_at=at,
            updated_at=values.after(at),
            namespace_id=project.namespace,
        )


def add_resource_events(world: World, project: Project, column: str, target: int, at: datetime) -> None:
    """Add changes of labels, milestones and state to an issue (column issue_id) or a merge request."""
    values, writer = world.values, world.writer
    for label in values.few([*project.labels, *project.group_labels], 2):
        writer.add(
            "resource_label_events",
            action=project.turn("label action", (1, 2)),
            label_id=label,
            user_id=world.user(),
            created_at=values.after(at),
            namespace_id=project.namespace,
            **{column: target},
        )
    for milestone in values.few([*project.milestones, *project.group_milestones], 2):
        writer.add(
            "resource_milestone_events",
            action=project.turn("milestone action", (1, 2)),
            state=project.turn(f"{column} milestone state", (1, 2, 3, 4)),
            milestone_id=milestone,
            user_id=world.user(),
            created_at=values.after(at),
            namespace_id=project.namespace,
            **{column: target},
        )
    for _ in range(2 if values.generous else values.random.randint(0, 2)):
        writer.add(
            "resource_state_events",
            user_id=world.user(),
            created_at=values.after(at),
            state=project.turn(f"{column} state", (1, 2, 3, 4, 5)),
            source_commit=values.maybe(project.history.some(values.nonce())),
            close_after_error_tracking_resolve=project.turn("error tracking", (False, True)),
            close_auto_resolve_prometheus_alert=project.turn("prometheus", (False, False, True)),
            namespace_id=project.namespace,
            **{column: target},
        )


def add_timelogs(world: World, project: Project, column: str, target: int, at: datetime) -> None:
    """Add up to two records of time spent (seconds); the second may subtract some of the first."""
    values = world.values
    for place, user in enumerate(values.few(world.users, 2)):
        world.writer.add(
            "timelogs",
            time_spent=values.pick((900, -1800, 86_400 * 30)) if place else values.pick((3600, 7200)),
            user_id=user,
            created_at=at,
            updated_at=values.after(at),
            spent_at=values.maybe(values.after(at), 0.8),
            project_id=project.id,
            summary=values.maybe(values.summary()),
            namespace_id=project.namespace,
            **{column: target},
        )
