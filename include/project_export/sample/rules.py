"""Protected branches and tags, badges, attributes, schedules, external pull requests and commit notes of a project."""

from __future__ import annotations

from project_export.sample.notes import Where, add_diff_note, add_events, add_legacy_diff_note, add_note
from project_export.sample.positions import Refs
from project_export.sample.values import FIRST_DAY
from project_export.sample.world import Project, World


def add_rules(world: World, project: Project) -> None:
    """Add all of these."""
    _add_protected_branches(world, project)
    _add_protected_tags(world, project)
    _add_custom_attributes(world, project)
    _add_badges(world, project)
    _add_pipeline_schedules(world, project)
    _add_external_pull_requests(world, project)
    _add_commit_notes(world, project)


def _add_protected_branches(world: World, project: Project) -> None:
    """Add protected branches with access levels; the level of a deploy key that may push is not exported."""
    values, writer = world.values, world.writer
    for number, name in enumerate(("main", "release/*", "naïve & <wild>")):
        branch = writer.add(
            "protected_branches",
            project_id=project.id,
            name=name,
            created_at=FIRST_DAY,
            updated_at=values.after(FIRST_DAY),
            code_owner_approval_required=number == 1,
            allow_force_push=number == 2,
        )
        project.records["protected_branches"] += 1
        for kind in ("merge", "push"):
            key = {"deploy_key_id": None} if kind == "push" else {}
            for level in _levels(world):
                writer.add(
                    f"protected_branch_{kind}_access_levels",
                    protected_branch_id=branch,
                    protected_branch_project_id=project.id,
                    created_at=FIRST_DAY,
                    updated_at=values.after(FIRST_DAY),
                    **level,
                    **key,
                )
        writer.add(
            "protected_branch_push_access_levels",
            protected_branch_id=branch,
            protected_branch_project_id=project.id,
            access_level=40,
            created_at=FIRST_DAY,
            updated_at=FIRST_DAY,
            deploy_key_id=77,
        )


def _levels(world: World) -> tuple[dict[str, int | None], ...]:
    return (
        {"access_level": 40, "user_id": None, "group_id": None},
        {"access_level": 0, "user_id": None, "group_id": None},
        {"access_level": 40, "user_id": world.values.pick(world.users[4:10]), "group_id": None},
        {"access_level": 40, "user_id": None, "group_id": world.groups[0]},
    )


def _add_protected_tags(world: World, project: Project) -> None:
    """Add protected tags with access levels; here the level of a deploy key is exported."""
    values, writer = world.values, world.writer
    for name in ("v*", "release-“*”"):
        tag = writer.add(
            "protected_tags",
            project_id=project.id,
            name=name,
            created_at=FIRST_DAY,
            updated_at=values.after(FIRST_DAY),
        )
        project.records["protected_tags"] += 1
        for key, level in zip((None, 77, None, None), _levels(world), strict=True):
            writer.add(
                "protected_tag_create_access_levels",
                protected_tag_id=tag,
                created_at=FIRST_DAY,
                updated_at=values.after(FIRST_DAY),
                project_id=project.id,
                deploy_key_id=key,
                **level,
            )


def _add_custom_attributes(world: World, project: Project) -> None:
    for number in range(3):
        world.writer.add(
            "project_custom_attributes",
            created_at=FIRST_DAY,
            updated_at=world.values.after(FIRST_DAY),
            project_id=project.id,
            key=f"key {number} “{world.values.name()}”",
            value=world.values.summary(),
        )
        project.records["custom_attributes"] += 1


def _add_badges(world: World, project: Project) -> None:
    """Add badges of the project, and one of the group, which is not exported."""
    own, others = ("ProjectBadge", project.id, None), ("GroupBadge", None, world.groups[0])
    for number, (kind, project_id, group_id) in enumerate((own, own, others)):
        world.writer.add(
            "badges",
            link_url="https://example.com/%{project_path}?a=1&b=2",
            image_url=f"https://example.com/badge{number}.svg",
            project_id=project_id,
            group_id=group_id,
            type=kind,
            name=None if number else "pipeline & coverage",
            created_at=FIRST_DAY,
            updated_at=world.values.after(FIRST_DAY),
        )
        project.records["project_badges"] += project_id is not None


def _add_pipeline_schedules(world: World, project: Project) -> None:
    values = world.values
    for number, cron in enumerate(("0 4 * * *", "*/15 9-17 * * 1-5", "30 0 1 * *")):
        schedule = world.writer.add(
            "ci_pipeline_schedules",
            description=values.title(),
            ref=("refs/heads/main", "refs/tags/v1.0", "refs/heads/main")[number],
            cron=cron,
            cron_timezone=("UTC", "Europe/Berlin", "America/New_York")[number],
            next_run_at=values.after(FIRST_DAY) if number != 1 else None,
            project_id=project.id,
            owner_id=world.user(),
            active=number != 1,
            created_at=FIRST_DAY,
            updated_at=values.after(FIRST_DAY),
        )
        project.pipeline_schedules.append(schedule)
        project.records["pipeline_schedules"] += 1


def _add_external_pull_requests(world: World, project: Project) -> None:
    values = world.values
    for number in range(3):
        branch = f"feature/{number}-“ü”"
        external = world.writer.add(
            "external_pull_requests",
            created_at=FIRST_DAY,
            updated_at=values.after(FIRST_DAY),
            project_id=project.id,
            pull_request_iid=number + 1,
            status=1 + number % 2,
            source_branch=branch,
            target_branch="main",
            source_repository="acme/tools",
            target_repository="acme/tools",
            source_sha=bytes.fromhex(project.history.add_branch(branch, values.nonce()).id),
            target_sha=bytes.fromhex(project.history.grow(values.nonce()).id),
        )
        project.external_pull_requests.append(external)
        project.records["external_pull_requests"] += 1


def _add_commit_notes(world: World, project: Project) -> None:
    """Add notes on commits: plain ones, and notes on lines in today's form and in that of long ago."""
    values = world.values
    for number in range(13):
        nonce, (place, at) = values.nonce(), ("Commit", FIRST_DAY)
        base = project.history.grow(values.nonce()) if number % 4 == 1 else project.history.main
        commit = project.history.grow(nonce).id
        if number % 4 == 0:
            note = add_legacy_diff_note(world, project, place, None, at, commit)
        elif number % 4 == 1:
            where = Where(Refs(base.id, base.id, commit), values.path(), commit)
            note = add_diff_note(world, project, place, None, at, ("line", "lines", "file")[number // 4 % 3], where)
        else:
            kind = ("DiscussionNote", None)[number % 2]
            note = add_note(world, project, place, None, at, kind, commit_id=commit)
        project.records["commit_notes"] += 1
        if number % 2 == 0:
            add_events(world, project, "Note", note, FIRST_DAY, most=2, of="Commit")
