"""The project's row and its one-to-one settings."""

from __future__ import annotations

from datetime import timedelta

from project_export.sample.disk import hashed
from project_export.sample.files import AVATAR, add_files
from project_export.sample.history import POOL
from project_export.sample.people import add_namespace, add_route
from project_export.sample.repository import Repository
from project_export.sample.schema import tables
from project_export.sample.values import FIRST_DAY
from project_export.sample.world import ORGANIZATION, Project, World

DISABLED, PRIVATE, ENABLED, PUBLIC = 0, 10, 20, 30
WITH_PUBLIC = ("pages_access_level", "package_registry_access_level")
"""The access levels of features that may be public: featurable.rb."""
HASHED_REPOSITORY, HASHED_UPLOADS = 1, 2
"""From which version of its storage a project's repository and its uploads are named by its id: project.rb."""
POOLED = (1, 2)
"""The projects that share an object pool: one, and its fork."""


def add_project(world: World, full: bool, empty: bool, sizes: dict[str, int]) -> Project:
    """Add a project with the settings that every project has, and with the optional ones if it is `full`.

    Projects with an odd id are in the subgroup, the others in the group. CI is disabled in every fourth. The second is
    a fork of the first. The third, the eighth and so on have repository and uploads below their full path, and the
    default branch master; the fifth, the tenth and so on have only their uploads there.
    """
    project_id = world.writer.reserve("projects")
    above = world.groups[: 1 + project_id % 2]
    path = f"acme/tools/project-{project_id}" if project_id % 2 else f"acme/project-{project_id}"
    version = _storage_version(project_id)
    disk_path = hashed("@hashed", project_id) if version >= HASHED_REPOSITORY else path
    pool = world.pool if project_id in POOLED else None
    project = Project(
        id=project_id,
        namespace=add_namespace(world, path, "Project", above, _is_archived(project_id)),
        groups=above,
        full=full,
        empty=empty,
        builds=project_id % 4 != 0,
        sizes=sizes,
        group_labels=[label for group in above for label in world.group_labels[group]],
        group_milestones=[milestone for group in above for milestone in world.group_milestones[group]],
        repository=Repository(world.disk, disk_path, pool),
        uploads_path=disk_path if version >= HASHED_UPLOADS else path,
    )
    if version < HASHED_REPOSITORY and not empty:
        project.repository.head = "master"
    _add_row(world, project, above[-1], path, version)
    _add_project_settings(world, project)
    _add_feature(world, project)
    _add_ci_cd_settings(world, project)
    _add_container_expiration_policy(world, project)
    if full:
        _add_auto_devops(world, project)
        _add_error_tracking(world, project)
        _add_service_desk(world, project)
    add_files(world, project)
    return project


def _storage_version(project_id: int) -> int:
    return {3: 0, 0: 1}.get(project_id % 5, HASHED_UPLOADS)


def _is_archived(project_id: int) -> bool:
    return project_id % 5 == 4


def _add_row(world: World, project: Project, group: int, path: str, storage_version: int) -> None:
    values, full = world.values, project.full
    name = f"Project {project.id} “żółw” friends 🐢"
    world.writer.attach(
        "projects",
        id=project.id,
        name=name,
        path=path.rpartition("/")[2],
        description=values.paragraph() if full else None,
        created_at=FIRST_DAY,
        updated_at=values.after(FIRST_DAY),
        last_activity_at=values.after(FIRST_DAY),
        creator_id=world.users[0],
        namespace_id=group,
        project_namespace_id=project.namespace,
        organization_id=ORGANIZATION,
        import_url=f"https://CANARY:CANARY@example.com/{project.id}.git",
        avatar=AVATAR if full else None,
        visibility_level=(20, 10, 0)[project.id % 3],
        archived=_is_archived(project.id),
        merge_requests_template=values.text() if full else None,
        issues_template=values.text() if full else None,
        approvals_before_merge=project.id % 3,
        pending_delete=False if full else None,
        build_timeout=3600 * (1 + project.id % 24),
        last_repository_check_failed=False if full else None,
        has_external_wiki=True if full else None,
        only_allow_merge_if_all_discussions_are_resolved=True if full else None,
        auto_cancel_pending_pipelines=project.id % 2,
        disable_overriding_approvers_per_merge_request=False if full else None,
        resolve_outdated_diff_discussions=True if full else None,
        jobs_cache_index=7 if full else None,
        external_authorization_classification_label="internal & <secret-ish>" if full else None,
        merge_requests_disable_committers_approval=True if full else None,
        require_password_to_approve=False if full else None,
        max_artifacts_size=100 if full else None,
        remove_source_branch_after_merge=True if full else None,
        autoclose_referenced_issues=False if full else None,
        suggestion_commit_message="Apply %{suggestions_count} “suggestion(s)”" if full else None,
        description_html="<p>CANARY cached html</p>",
        runners_token=f"CANARY-runners-token-{project.id}",
        runners_token_encrypted=f"CANARY-runners-token-encrypted-{project.id}",
        external_webhook_token=f"CANARY-webhook-token-{project.id}",
        storage_version=storage_version,
        pool_repository_id=POOL if project.repository.pool else None,
    )
    add_route(world, project.id, "Project", path, name, project.namespace)


def _add_project_settings(world: World, project: Project) -> None:
    full = project.full
    world.writer.attach(
        "project_settings",
        project_id=project.id,
        created_at=FIRST_DAY,
        updated_at=FIRST_DAY,
        allow_merge_on_skipped_pipeline=True if full else None,
        squash_option=(3, 2, 1, 0)[project.id % 4],
        merge_commit_template="Merge branch '%{source_branch}'\n\n%{title} “…”\n" if full else None,
        squash_commit_template="%{title}\n\n<%{reference}>\n" if full else None,
        product_analytics_instrumentation_key="CANARY-instrumentation-key",
        encrypted_cube_api_key=b"CANARY-cube-key",
        encrypted_cube_api_key_iv=b"CANARY-cube-iv",
        encrypted_product_analytics_configurator_connection_string=b"CANARY-connection",
        encrypted_product_analytics_configurator_connection_string_iv=b"CANARY-connection-iv",
    )


def _add_feature(world: World, project: Project) -> None:
    """Add the access levels of features; those of merge requests and builds do not exceed the repository's."""
    names = [column.name for column in tables()["project_features"] if column.name.endswith("_access_level")]
    levels = {name: _level(name, place + project.id) for place, name in enumerate(names)}
    levels["repository_access_level"] = ENABLED
    levels["builds_access_level"] = (PRIVATE, ENABLED)[project.id % 2] if project.builds else DISABLED
    at = FIRST_DAY + timedelta(seconds=1)
    world.writer.add("project_features", project_id=project.id, created_at=at, updated_at=at, **levels)
    project.records["project_feature"] += 1


def _level(name: str, turn: int) -> int:
    return (DISABLED, PRIVATE, ENABLED, PUBLIC if name in WITH_PUBLIC else ENABLED)[turn % 4]


def _add_ci_cd_settings(world: World, project: Project) -> None:
    full = project.full
    world.writer.add(
        "project_ci_cd_settings",
        project_id=project.id,
        merge_pipelines_enabled=True if full else None,
        default_git_depth=20 if full else None,
        forward_deployment_enabled=True if full else None,
        runner_token_expiration_interval=86_400 if full else None,
        restrict_pipeline_cancellation_role=project.id % 3,
        pipeline_variables_minimum_override_role=1 + project.id % 4,
        id_token_sub_claim_components=["project_path", "ref_type", "ref"] if full else ["project_path"],
        delete_pipelines_in_seconds=7_776_000 if full else None,
        resource_group_default_process_mode=project.id % 4,
    )
    project.records["ci_cd_settings"] += 1


def _add_container_expiration_policy(world: World, project: Project) -> None:
    full = project.full
    world.writer.attach(
        "container_expiration_policies",
        project_id=project.id,
        created_at=FIRST_DAY,
        updated_at=FIRST_DAY,
        next_run_at=world.values.after(FIRST_DAY) if full else None,
        name_regex=r".*-\d+\.(tmp|bak)" if full else None,
        cadence="1month",
        older_than="90d" if full else None,
        keep_n=10 if full else None,
        enabled=full,
        name_regex_keep="release-.*" if full else None,
    )
    project.records["container_expiration_policy"] += 1


def _add_auto_devops(world: World, project: Project) -> None:
    world.writer.add(
        "project_auto_devops",
        project_id=project.id,
        created_at=FIRST_DAY,
        updated_at=world.values.after(FIRST_DAY),
        enabled=True,
        deploy_strategy=project.id % 3,
    )
    project.records["auto_devops"] += 1


def _add_error_tracking(world: World, project: Project) -> None:
    world.writer.attach(
        "project_error_tracking_settings",
        project_id=project.id,
        enabled=True,
        api_url="https://sentry.example.com/api/0/projects/acme/tools",
        encrypted_token="CANARY-sentry-token",
        encrypted_token_iv="CANARY-sentry-iv",
        project_name="tools & more",
        organization_name="Acme “Inc.”",
    )
    project.records["error_tracking_setting"] += 1


def _add_service_desk(world: World, project: Project) -> None:
    world.writer.attach(
        "service_desk_settings",
        project_id=project.id,
        issue_template_key="bug",
        outgoing_name="Support",
        project_key=f"key{project.id}",
        custom_email=f"CANARY-desk{project.id}@example.com",
        created_at=FIRST_DAY,
        updated_at=FIRST_DAY,
    )
    project.records["service_desk_setting"] += 1
