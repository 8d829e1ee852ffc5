"""Load measurements: Tradepost beside the hand-written limit and other ways of writing the same API.

`python -m tests.load.bench` (or `make bench`) is the way in. The parts, in the order a run uses them:

- `database`: a PostgreSQL cluster of its own, migrated and seeded by Tradepost itself;
- `contestants` and `peers/`: servers with the same wire answers, each a process of its own;
- `workloads`: the requests, encoded beforehand, the same bytes for every contestant;
- `generator` (`exchange`, `processor_time`, and the histogram of `tradepost.loading`): one process that sends them and measures;
- `sameness`: whether contestants answered the same request with the same content;
- `rounds`, `summary`, `report`, `picture`: interleaved rounds, their medians, tables and a drawing.
- `overload`, `crowd`: many times what can be answered (`python -m tests.load.overload`).

All traffic stays on 127.0.0.1. Linux only: the generator uses epoll, and CPU time comes from `/proc`.
"""
