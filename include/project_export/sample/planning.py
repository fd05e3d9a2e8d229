"""Labels, milestones, boards, releases, snippets and members of a project."""

from __future__ import annotations

from project_export.sample.notes import add_awards, add_events, add_note
from project_export.sample.side_repositories import add_snippet
from project_export.sample.values import FIRST_DAY
from project_export.sample.world import ORGANIZATION, Project, World

COLORS = ("#428BCA", "#FFFFFF", "#000000", "#fff", "#Ffcc00", "#1f1e24", "#6699cc", "#8fbc8f", "#dc143c", "#36C")
LIST_TYPES = (0, 1, 3, 4, 5, 6, 2)


def add_labels(world: World, project: Project) -> None:
    """Add labels with every form of colour, and priorities of these and of the group's labels."""
    values, writer = world.values, world.writer
    for number, color in enumerate(COLORS):
        label = writer.add(
            "labels",
            title=f"{values.name()} {number}",
            color=color,
            project_id=project.id,
            created_at=FIRST_DAY,
            updated_at=values.after(FIRST_DAY),
            template=False,
            description=values.maybe(values.paragraph()),
            description_html="<p>CANARY cached html</p>",
            type="ProjectLabel",
        )
        project.labels.append(label)
        project.records["labels"] += 1
    for label in (*project.labels[::2], *project.group_labels):
        writer.add(
            "label_priorities",
            project_id=project.id,
            label_id=label,
            priority=values.random.randint(0, 100),
            created_at=FIRST_DAY,
            updated_at=values.after(FIRST_DAY),
        )


def add_milestones(world: World, project: Project) -> None:
    """Add milestones with their events, and events of the group's milestones."""
    values = world.values
    for number in range(5):
        bare = number == 3
        milestone = world.writer.add(
            "milestones",
            title=f"{values.name()} {number}",
            project_id=project.id,
            description=None if bare else values.text(),
            due_date=None if bare else values.day_after(FIRST_DAY),
            created_at=FIRST_DAY,
            updated_at=values.after(FIRST_DAY),
            state=("active", "closed")[number % 2],
            iid=number + 1,
            start_date=None if bare else FIRST_DAY.date(),
        )
        project.milestones.append(milestone)
        project.records["milestones"] += 1
        add_events(world, project, "Milestone", milestone, FIRST_DAY)
    for milestone in project.group_milestones:
        add_events(world, project, "Milestone", milestone, FIRST_DAY, most=1)


def add_snippets(world: World, project: Project) -> None:
    """Add snippets with notes and awards, and a personal snippet, which does not belong to a project.

    The repository of the third is empty, and the fourth has none.
    """
    values, writer = world.values, world.writer
    for number in range(4):
        title, content = values.title(), values.text()
        snippet = writer.add(
            "snippets",
            title=title,
            content=content,
            author_id=world.user(),
            project_id=project.id,
            created_at=FIRST_DAY,
            updated_at=values.after(FIRST_DAY),
            file_name=(name := values.path()),
            type="ProjectSnippet",
            visibility_level=(0, 10, 20)[number % 3],
            description=values.text() if number != 2 else None,
            encrypted_secret_token="CANARY-snippet-token",
            encrypted_secret_token_iv="CANARY-snippet-iv",
        )
        project.records["snippets"] += 1
        if number != 3:
            path = add_snippet(world.disk, snippet, name, content, empty=number == 2)
            repository = {"snippet_id": snippet, "shard_id": 1, "disk_path": path, "snippet_project_id": project.id}
            writer.attach("snippet_repositories", **repository)
        add_awards(world, "Snippet", snippet, FIRST_DAY, most=4)
        for place in range(4):
            kind = ("DiscussionNote", None)[place % 2]
            note = add_note(world, project, "Snippet", snippet, FIRST_DAY, kind)
            add_awards(world, "Note", note, FIRST_DAY, most=2)
    personal = {"type": "PersonalSnippet", "organization_id": ORGANIZATION}
    writer.add("snippets", title="CANARY", content="CANARY", author_id=world.user(), **personal)


def add_releases(world: World, project: Project) -> None:
    """Add releases with links and milestones."""
    values, writer = world.values, world.writer
    for number in range(3):
        release = writer.add(
            "releases",
            tag=f"v1.{number}",
            description=project.mention("release", values.text()) if number != 1 else None,
            project_id=project.id,
            created_at=FIRST_DAY,
            updated_at=values.after(FIRST_DAY),
            author_id=world.user(),
            name=values.title(),
            sha=project.history.release(values.nonce(), f"v1.{number}", annotated=number == 2).id,
            released_at=values.after(FIRST_DAY),
        )
        project.records["releases"] += 1
        for link_type in range(4):
            writer.add(
                "release_links",
                release_id=release,
                url=f"https://example.com/{release}/{link_type}?a=1&b=2",
                name=f"{values.title()} {link_type}",
                created_at=FIRST_DAY,
                updated_at=values.after(FIRST_DAY),
                filepath=f"/binaries/{link_type}" if link_type % 2 else None,
                link_type=link_type,
                project_id=project.id,
            )
        for milestone in (*project.milestones[number : number + 2], *project.group_milestones[:1]):
            writer.attach("milestone_releases", milestone_id=milestone, release_id=release, project_id=project.id)


def add_members(world: World, project: Project) -> None:
    """Add members: users, an invitation by mail, and a user who only requested access."""
    values = world.values
    users: list[int | None] = [*world.users[4:10], None]
    for number, user in enumerate(users[-1:] if project.empty else users):
        invited = user is None
        _add_member(
            world,
            project,
            user_id=world.users[0] if project.empty else user,
            access_level=(50, 40, 30, 20, 10, 30, 30)[number],
            created_by_id=values.maybe(world.users[0], 0.7),
            invite_email="invited@public.example.com" if invited and not project.empty else None,
            invite_token=f"CANARY-invite-{project.id}" if invited and not project.empty else None,
            invite_accepted_at=values.after(FIRST_DAY) if number == 1 else None,
            expires_at=values.day_after(FIRST_DAY) if number % 3 == 2 else None,
            ldap=number == 3,
            override=number == 4,
        )
    _add_member(world, project, user_id=world.users[11], access_level=10, requested_at=FIRST_DAY)


def _add_member(world: World, project: Project, **columns: object) -> None:
    world.writer.add(
        "members",
        source_id=project.id,
        source_type="Project",
        type="ProjectMember",
        notification_level=world.values.pick((0, 1, 2, 3)),
        created_at=FIRST_DAY,
        updated_at=world.values.after(FIRST_DAY),
        member_namespace_id=project.namespace,
        **columns,
    )


def add_boards(world: World, project: Project) -> None:
    """Add boards with lists of every type."""
    values, writer = world.values, world.writer
    for number in range(2):
        board = writer.add(
            "boards",
            project_id=project.id,
            created_at=FIRST_DAY,
            updated_at=values.after(FIRST_DAY),
            name=values.title(),
            weight=None if number else 5,
            hide_backlog_list=number == 1,
            hide_closed_list=number == 0,
        )
        project.records["boards"] += 1
        labels = iter([project.labels[number], project.group_labels[number]])
        for position, list_type in enumerate((*LIST_TYPES, 1)):
            writer.add(
                "lists",
                board_id=board,
                label_id=next(labels) if list_type == 1 else None,
                list_type=list_type,
                position=position if list_type not in (0, 2) else None,
                created_at=FIRST_DAY,
                updated_at=values.after(FIRST_DAY),
                user_id=world.user() if list_type == 3 else None,
                milestone_id=project.milestones[0] if list_type == 4 else None,
                iteration_id=1 if list_type == 5 else None,
                system_defined_status_identifier=1 if list_type == 6 else None,
                max_issue_count=position,
                max_issue_weight=position * 2,
                limit_metric=(None, "all_metrics", "issue_count", "issue_weights")[position % 4],
                project_id=project.id,
            )
