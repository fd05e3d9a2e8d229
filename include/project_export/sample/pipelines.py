"""CI pipelines in two partitions, with stages, builds, bridges and statuses from external systems."""

from __future__ import annotations

from datetime import datetime

from project_export.sample.values import NASTY
from project_export.sample.world import Project, World

PARTITIONS = (100, 101)
EXTERNAL, MERGE_REQUEST, EXTERNAL_PULL_REQUEST, SCHEDULE = 6, 10, 11, 4
EXPORTED_SOURCES = (MERGE_REQUEST, EXTERNAL_PULL_REQUEST, 1, 2, 3, SCHEDULE, 5, EXTERNAL, 7, 8)
DANGLING_SOURCES = (9, *range(12, 20))
CONFIG_SOURCES = (*range(1, 12), None)
PIPELINE_FAILURES = (0, 1, 2, 3, *range(21, 24), *range(25, 32), None)
JOB_FAILURES = (None, *range(1, 34), *range(1000, 1018))
WHEN = ("on_success", "on_failure", "always", "manual", "delayed")
STATUSES = (
    "success", "failed", "running", "pending", "created", "skipped", "canceled", "canceling", "manual", "scheduled",
    "preparing", "waiting_for_resource", "waiting_for_callback",
)  # fmt: skip
JOB_TYPES = ("Ci::Build", "Ci::Build", "GenericCommitStatus", "Ci::Bridge")


def add_pipeline(world: World, project: Project, number: int) -> None:
    """Add the number-th pipeline, from 0.

    Every fourth is dangling and is not exported. If CI is disabled, only external pipelines are exported.
    """
    values, writer = world.values, world.writer
    at = values.at(number)
    dangling = number % 4 == 3
    source = project.turn("dangling", DANGLING_SOURCES) if dangling else project.turn("source", EXPORTED_SOURCES)
    partition = PARTITIONS[number % 2]
    of_request = source in (MERGE_REQUEST, EXTERNAL_PULL_REQUEST)
    pipeline = writer.add(
        "p_ci_pipelines",
        ref="main",
        sha=(sha := project.history.some(values.nonce())),
        before_sha=project.turn("before sha", ("0" * 40, project.history.some(values.nonce()))),
        created_at=at,
        updated_at=values.after(at),
        tag=not of_request and project.turn("tag", (False, True)),
        yaml_errors=project.turn("yaml errors", (NASTY[0], None, None)),
        committed_at=at if number % 5 == 0 else None,
        project_id=project.id,
        status=(status := project.turn("pipeline status", STATUSES)),
        started_at=values.maybe(values.after(at), 0.8),
        finished_at=values.maybe(values.after(at), 0.8),
        duration=values.maybe(values.random.randint(0, 7200), 0.8),
        user_id=world.user(),
        lock_version=values.random.randint(0, 9),
        pipeline_schedule_id=values.pick(project.pipeline_schedules) if source == SCHEDULE else None,
        source=source,
        config_source=project.turn(f"config source {dangling}", CONFIG_SOURCES),
        protected=project.turn("protected", (True, False)),
        failure_reason=project.turn(f"pipeline failure {dangling}", PIPELINE_FAILURES),
        iid=project.number("pipeline iid"),
        merge_request_id=project.recent_merge_requests[0] if source == MERGE_REQUEST else None,
        source_sha=bytes.fromhex(project.history.some(values.nonce())) if of_request else None,
        target_sha=bytes.fromhex(project.history.some(values.nonce())) if of_request else None,
        external_pull_request_id=(
            values.pick(project.external_pull_requests) if source == EXTERNAL_PULL_REQUEST else None
        ),
        partition_id=partition,
    )
    if status == "running":
        project.repository.refs[f"refs/pipelines/{pipeline}"] = sha
    project.records["ci_pipelines"] += source == EXTERNAL or (project.builds and not dangling)
    if number % 3 == 0:
        writer.attach(
            "ci_pipeline_metadata",
            project_id=project.id,
            pipeline_id=pipeline,
            name=values.title() if number % 6 == 0 else None,
            partition_id=partition,
        )
    positions = list(range(1 + number % 3))
    for position in reversed(positions):  # ids must not follow the positions
        _add_stage(world, project, pipeline, partition, position, at)


def _add_stage(world: World, project: Project, pipeline: int, partition: int, position: int, at: datetime) -> None:
    """Add a stage with jobs of every type."""
    values = world.values
    stage = world.writer.add(
        "p_ci_stages",
        project_id=project.id,
        created_at=at,
        updated_at=values.after(at),
        name=f"{position} {values.pick(('build', 'test “all”', 'déploy'))}",
        status=project.turn("stage status", tuple(range(13))),
        lock_version=values.random.randint(0, 9),
        position=position,
        partition_id=partition,
        pipeline_id=pipeline,
    )
    for kind in JOB_TYPES:
        _add_job(world, project, kind, pipeline, stage, partition, position, at)


def _add_job(
    world: World, project: Project, kind: str, pipeline: int, stage: int, partition: int, position: int, at: datetime
) -> None:
    values = world.values
    full = project.number(f"full {kind}") % 4 == 1
    failure = project.turn("job failure", JOB_FAILURES)
    world.writer.add(
        "p_ci_builds",
        status="failed" if failure else project.turn("job status", STATUSES),
        finished_at=values.after(at) if full else None,
        created_at=at,
        updated_at=values.after(at),
        started_at=values.after(at) if full else None,
        coverage=project.turn("coverage", (99.5, 33.333333333333336, 0.1, 1e-07, 100.0)) if full else None,
        name=f"{values.pick(('rspec', 'lint', 'déploy'))} {project.number('job')}/3",
        stage="CANARY-stage",
        options="CANARY-options",
        yaml_variables="CANARY-variables",
        token_encrypted=f"CANARY-job-token-{project.number('job token')}",
        allow_failure=project.turn("allow failure", (False, True)),
        stage_idx=position,
        tag=project.turn(f"{kind} tag", (False, True)),
        ref="main",
        type=kind,
        target_url="https://ci.example.com/?a=1&b=2" if full else None,
        description=values.summary() if full else None,
        erased_at=values.after(at) if full else None,
        artifacts_expire_at=values.after(at) if full and kind != "Ci::Bridge" else None,
        environment="review/$CI_COMMIT_REF_SLUG" if full else None,
        when=project.turn(f"{kind} when", WHEN),
        queued_at=values.after(at) if full else None,
        lock_version=values.random.randint(0, 9),
        coverage_regex=r"/\d+\.\d+% \"covered\"/" if full else None,
        retried=project.turn(f"{kind} retried", (False, True)),
        protected=full,
        failure_reason=failure,
        scheduled_at=values.after(at) if full else None,
        scheduling_type=project.turn(f"{kind} scheduling", (0, 1)),
        stage_id=stage,
        partition_id=partition,
        commit_id=pipeline,
        project_id=project.id,
        user_id=world.user(),
    )
