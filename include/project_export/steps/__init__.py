"""The verbs of an export, for any scheduler. They know no Airflow.

preflight  all that an export needs, looked at in one go
create ──► one job, its relation_export rows, a plan of units
hold       one transaction lends its snapshot to all units
work       a unit claims rows, streams each into a part, and marks it finished
watch      judges rows whose process is gone, and says how far the job is
merge      parts → archive, published by one atomic step; raises every failure
parts      one relation alone
after      upload or notice, then the job is finished
ending     whatever goes wrong, the job ends with that error
prune      retention, and jobs whose run is gone
"""

from project_export.steps.after import after_export, event
from project_export.steps.context import Context
from project_export.steps.create import Created, create
from project_export.steps.ending import conclude, failure
from project_export.steps.hold import Holder
from project_export.steps.merge import Merger
from project_export.steps.notice import Channel, Notice
from project_export.steps.owner import Owner
from project_export.steps.parts import write_relation
from project_export.steps.planning import allowed, bound_tree, plan_export
from project_export.steps.preflight import Finding, all_at_once, preflight
from project_export.steps.prune import Pruned, prune
from project_export.steps.waiting import Tasks, Waited, wait_for_workers
from project_export.steps.watch import Silence, watch
from project_export.steps.work import Worked, Worker

__all__ = [
    "Channel",
    "Context",
    "Created",
    "Finding",
    "Holder",
    "Merger",
    "Notice",
    "Owner",
    "Pruned",
    "Silence",
    "Tasks",
    "Waited",
    "Worked",
    "Worker",
    "after_export",
    "all_at_once",
    "allowed",
    "bound_tree",
    "conclude",
    "create",
    "event",
    "failure",
    "plan_export",
    "preflight",
    "prune",
    "wait_for_workers",
    "watch",
    "write_relation",
]
