"""What projects share: users, a group with a subgroup, their members, labels and milestones, the shard."""

from __future__ import annotations

from project_export.sample.values import FIRST_DAY
from project_export.sample.world import ORGANIZATION, World

NAMES = (
    "Administrator", "Zoë O\u2019Brien-Müller", "Nguyễn Thị Hồng", "李小龍", "محمد العربي", "שרה כהן", "Иван Петров",
    "Ελένη", "José \"Pepe\" Núñez", "<b>Bobby</b> & Tables'; --", "👩\u200d💻 Ada", "Łukasz Żółć", "山田 太郎",
    "김민수", "X", "Anna-Lena Grön", "Renée Fleur", "राम कुमार", "Siân", "Ghost User",
)  # fmt: skip
PUBLIC_EMAILS = ("", None, "user{}@public.example.com")


def add_people(world: World) -> None:
    """Add the users and who wrote commits, the groups with all they own, and the shard of the repositories."""
    for number in range(1, len(NAMES) + 1):
        _add_user(world, number)
    for number, name in enumerate((*NAMES[:8], None), 1):
        email = name and f"committer{number}@example.com"
        add = world.writer.add
        world.commit_users.append(
            add("merge_request_diff_commit_users", name=name, email=email, organization_id=ORGANIZATION)
        )
    world.writer.add("shards", name="default")
    _add_groups(world)
    _add_group_members(world)
    for group in world.groups:
        _add_group_labels(world, group)
        _add_group_milestones(world, group)


def add_namespace(world: World, path: str, kind: str, above: list[int]) -> int:
    """Add a namespace (kind: Group or Project) below the groups above it, topmost first, and return its id."""
    name = f"{path.rpartition('/')[2]} “{kind}” & <co>"
    namespace = world.writer.reserve("namespaces")
    world.writer.attach(
        "namespaces",
        id=namespace,
        name=name,
        path=path.rpartition("/")[2],
        type=kind,
        parent_id=above[-1] if above else None,
        created_at=FIRST_DAY,
        updated_at=FIRST_DAY,
        runners_token=f"CANARY-namespace-runners-token-{path}",
        runners_token_encrypted=f"CANARY-namespace-runners-token-encrypted-{path}",
        saml_discovery_token=f"CANARY-saml-{path}",
        traversal_ids=[*above, namespace],
        organization_id=ORGANIZATION,
    )
    if kind == "Group":
        add_route(world, namespace, "Namespace", path, name, namespace)
    return namespace


def add_route(world: World, source: int, source_type: str, path: str, name: str, namespace: int) -> None:
    """Add the path under which a namespace or a project is found."""
    world.writer.add(
        "routes",
        source_id=source,
        source_type=source_type,
        path=path,
        name=name,
        namespace_id=namespace,
        created_at=FIRST_DAY,
        updated_at=FIRST_DAY,
    )


def _add_user(world: World, number: int) -> None:
    values = world.values
    public_email = PUBLIC_EMAILS[number % len(PUBLIC_EMAILS)]
    user = world.writer.add(
        "users",
        name=NAMES[number - 1],
        username="root" if number == 1 else f"user{number}",
        email=f"CANARY-user{number}@private.example.com",
        public_email=public_email and public_email.format(number),
        commit_email=f"CANARY-commit{number}@private.example.com",
        unconfirmed_email=f"CANARY-unconfirmed{number}@private.example.com",
        notification_email=f"CANARY-notification{number}@private.example.com",
        encrypted_password=f"CANARY-password-{number}",
        reset_password_token=f"CANARY-reset-{number}",
        confirmation_token=f"CANARY-confirmation-{number}",
        unlock_token=f"CANARY-unlock-{number}",
        encrypted_otp_secret=f"CANARY-otp-{number}",
        encrypted_otp_secret_iv=f"CANARY-otp-iv-{number}",
        encrypted_otp_secret_salt=f"CANARY-otp-salt-{number}",
        otp_backup_codes=f"CANARY-otp-codes-{number}",
        otp_secret=f"CANARY-otp-secret-{number}",
        incoming_email_token=f"CANARY-incoming-{number}",
        feed_token=f"CANARY-feed-{number}",
        static_object_token=f"CANARY-static-{number}",
        static_object_token_encrypted=f"CANARY-static-encrypted-{number}",
        current_sign_in_ip="CANARY-203.0.113.7",
        note=f"CANARY-note-{number}",
        state="blocked" if number == 15 else "active",
        admin=number == 1,
        projects_limit=10,
        created_at=FIRST_DAY,
        updated_at=values.after(FIRST_DAY),
        organization_id=ORGANIZATION,
    )
    world.users.append(user)


def _add_groups(world: World) -> None:
    root = add_namespace(world, "acme", "Group", [])
    world.groups += [root, add_namespace(world, "acme/tools", "Group", [root])]
    world.writer.add(
        "uploads",
        size=2048,
        model_id=root,
        model_type="Namespace",
        uploader="NamespaceFileUploader",
        path="CANARY/group-logo.png",
        secret="CANARY-upload-secret",
        namespace_id=root,
        created_at=FIRST_DAY,
    )


def _add_group_members(world: World) -> None:
    for place, group in enumerate(world.groups):
        for user in world.users[place * 2 : place * 2 + 6]:
            world.writer.add(
                "members",
                access_level=world.values.pick((10, 20, 30, 40, 50)),
                source_id=group,
                source_type="Namespace",
                type="GroupMember",
                user_id=user,
                notification_level=3,
                created_at=FIRST_DAY,
                updated_at=world.values.after(FIRST_DAY),
                member_namespace_id=group,
            )
    world.writer.add(
        "members",
        access_level=30,
        source_id=world.groups[0],
        source_type="Namespace",
        type="GroupMember",
        user_id=world.users[-1],
        notification_level=3,
        created_at=FIRST_DAY,
        updated_at=FIRST_DAY,
        requested_at=FIRST_DAY,
        member_namespace_id=world.groups[0],
    )


def _add_group_labels(world: World, group: int) -> None:
    for color in ("#428BCA", "#fff", "tomato"):
        world.group_labels.append(
            world.writer.add(
                "labels",
                title=f"group{group}::{world.values.title()}",
                color=color,
                type="GroupLabel",
                group_id=group,
                description=world.values.text(),
                created_at=FIRST_DAY,
                updated_at=world.values.after(FIRST_DAY),
            )
        )


def _add_group_milestones(world: World, group: int) -> None:
    values = world.values
    for iid, state in enumerate(("active", "closed"), 1):
        world.group_milestones.append(
            world.writer.add(
                "milestones",
                title=values.title(),
                description=values.text(),
                group_id=group,
                iid=iid,
                state=state,
                start_date=FIRST_DAY.date(),
                due_date=values.after(FIRST_DAY).date(),
                created_at=FIRST_DAY,
                updated_at=values.after(FIRST_DAY),
            )
        )
