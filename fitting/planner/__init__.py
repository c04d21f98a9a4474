"""The planner: from a law to N, D, loss, chips, days and dollars. Nothing here imports JAX: a plan takes a second."""
