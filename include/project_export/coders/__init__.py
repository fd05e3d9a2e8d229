"""Stored values → JSON values where SQL cannot say it: what an application's models make of them.

exact     JSON text without losing a digit
ruby      what Ruby wrote, as YAML or by `inspect`
general   what a transform is, and those that any schema may need
"""
