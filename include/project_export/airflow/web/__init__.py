"""The page `Project exports` and the API of GitLab's clients: two apps that Airflow's API server mounts.

lazy         builds an app at its first request, so that no other process pays for it
callers      who calls: the cookie or token of Airflow, or a long-lived token of the ledger
access       what a caller may do: Airflow's permissions, and the setting that maps users to projects
airflow_api  Airflow's own REST API, called in this process as the caller
server       the steps' context in the API server
starting     starts an export for a caller
downloads    files of the store as responses
page         the page
gitlab       the API at /api/v4

Both apps are closed by default: each router names the access that it needs, and only static files need none.
"""
