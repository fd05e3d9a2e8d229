"""The steps of an export, for any scheduler. They do not know Airflow.

request    queues a job for a run that is yet to be triggered
preflight  checks everything that an export needs, and reports all problems at once
turn       waits until the ledger admits a queued job
create     writes one job, its relation_export rows and the plan of its workers
hold       holds one snapshot for all workers, in one open transaction
work       a worker: claims rows, streams each into a part, and marks it finished
watch      finds rows whose process is gone, and reports the progress of a job
waiting    waits for the workers: how long, when to look again, what to do if they get no slot
merge      parts → archive, published in one atomic step; raises every failure
parts      writes one relation alone
projects   finds a project by its id or title
fleet      chooses many projects, and sums up how their exports ended
downloads  what people can download of a job
after      upload or notice; then the job is finished
ending     fails the job when a step fails
tend       every few minutes: gauges, late jobs, jobs whose run is gone
metrics    what is counted and measured, and under which names
prune      retention, and jobs whose run is gone
"""

from project_export.steps.after import after_export, event
from project_export.steps.context import Context
from project_export.steps.create import Created, create
from project_export.steps.ending import conclude, failure
from project_export.steps.fleet import (
    Ended,
    Interval,
    Summary,
    announce_fleet,
    announce_refusal,
    choose_projects,
    summarise,
)
from project_export.steps.hold import Holder
from project_export.steps.merge import Merger
from project_export.steps.notice import Channel, Notice
from project_export.steps.owner import Owner
from project_export.steps.parts import write_relation
from project_export.steps.planning import allowed, bound_tree, git_of, plan_export
from project_export.steps.preflight import Finding, all_at_once, preflight
from project_export.steps.projects import FoundProject, find_project
from project_export.steps.prune import Pruned, prune
from project_export.steps.request import refuse, request_export
from project_export.steps.tend import Tended, tend
from project_export.steps.waiting import Tasks, Waited, wait_for_workers
from project_export.steps.watch import Silence, watch
from project_export.steps.work import Worked, Worker

__all__ = [
    "Channel",
    "Context",
    "Created",
    "Ended",
    "Finding",
    "FoundProject",
    "Holder",
    "Interval",
    "Merger",
    "Notice",
    "Owner",
    "Pruned",
    "Silence",
    "Summary",
    "Tasks",
    "Tended",
    "Waited",
    "Worked",
    "Worker",
    "after_export",
    "all_at_once",
    "allowed",
    "announce_fleet",
    "announce_refusal",
    "bound_tree",
    "choose_projects",
    "conclude",
    "create",
    "event",
    "failure",
    "find_project",
    "git_of",
    "plan_export",
    "preflight",
    "prune",
    "refuse",
    "request_export",
    "summarise",
    "tend",
    "wait_for_workers",
    "watch",
    "write_relation",
]
