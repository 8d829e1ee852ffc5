"""Faults that are made on purpose (fault injection), for load tests and drills, and the log of what was done to whom.

With ``FAULTS_ENABLED`` alone, which production refuses. Not to be confused with ``core/database/faults.py``, which reads the
database's own errors, nor with ``tests/faults``, where real parts are taken away.
"""
