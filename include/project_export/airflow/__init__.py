"""The only package that knows Airflow: it turns tasks, triggers and params into calls of `steps`.

form        the trigger form, and what else a DAG file may use while it is parsed
context     connections and settings → the steps' context, inside a task
operators   create, hold, export, merge
sensor      the waiter
trigger     holds the snapshot, in the triggerer
after       notice or upload, and the Asset event
end         the last task, which decides whether the run succeeds
prune       retention
notify      notifiers → the channels of a notice
links       links in the grid that show what a run is about
runs        what a task asks Airflow about its run and about others
health      whether Airflow itself is ready, for `project-export check`; imports nothing from Airflow
"""
