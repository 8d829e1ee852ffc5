"""Idempotency keys: a request that is sent twice under one key is done once, and answered twice.

A client whose connection broke does not know whether its request was done. The row of a key is written in the transaction of
the work, with the answer in it, so that there is no moment at which one is kept without the other. Three ways lead there:

- ``IdempotencyKeys.begin`` and ``keep``: work that is one transaction, which claims the key first and keeps the answer last;
- ``each_once``: work in a group commit, whose keys are looked up together and kept together;
- ``leases``: work of several transactions, which claims its key under a lease before the first and settles it in the last.
"""
