"""The repositories of a running store: a file for each, with its SQL. One transaction a method.

Parameters that are NULL switch their condition off; `store.database` says at plan_cache_mode why that costs nothing.
"""
