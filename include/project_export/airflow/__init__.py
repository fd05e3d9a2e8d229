"""The only package that knows Airflow: it turns tasks, triggers and params into the verbs of `steps`.

health      what only Airflow knows of its readiness, for the shell's check; it imports nothing of it
form        what the DAG file may know while it is parsed
context     connections and settings → the steps' context, inside a task
operators   create, hold, work, merge
after       the last task: notice, upload, Asset event
prune       retention
notify      notifiers → the channels of a notice
runs        whether a run may still be working
sensor      the waiter
trigger     the snapshot's holder, in the triggerer
"""
