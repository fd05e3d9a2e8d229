"""The routes of the page.

parts      what routes have in common: the context, the job of a URL, HTML from templates
jobs       all jobs
start      the form that starts an export
job        one job
actions    retry and cancel
downloads  archive, manifest and relations
logs       the log of a task
run        the tab of a run in Airflow
tokens     the caller's tokens for the API
failures   errors as pages
"""
