"""What the page shows: pure functions from the ledger's values to what templates print.

words      numbers, sizes and times as text
progress   how far a job is
jobs       the lines of all jobs
job        the head of one job
relations  relations and parts of one job
timeline   when each relation was exported, and what held the job back
remedies   what to do about an error
contents   what the manifest says
form       the fields of the form, from the DAG's params
"""
