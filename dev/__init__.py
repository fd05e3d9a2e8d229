"""The development environment: PostgreSQL, Airflow and the demo, started from Python."""
