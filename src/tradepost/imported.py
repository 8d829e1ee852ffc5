"""What the workers of one server have in common: imported once, in the process that all of them are forked from.

The memory of that is then one for all, and a worker is there in the time that it takes to build the application. Whoever
imports this module becomes such a process.
"""

import gc
import os
import signal
from functools import partial
from importlib import import_module

from sqlalchemy.orm import configure_mappers

# What is sent to all processes of a server concerns the workers, who end in their own time. This one ends with the process
# above them, which hears from it how each of them has ended.
signal.signal(signal.SIGTERM, signal.SIG_IGN)
# So it is with this one, later on; workers listen to it once they serve.
signal.signal(signal.SIGINT, signal.SIG_IGN)
os.register_at_fork(after_in_child=partial(signal.signal, signal.SIGTERM, signal.SIG_DFL))
gc.disable()
import_module("tradepost.main")
# Else each worker would do it for its first statement.
configure_mappers()
# A collector that looked at it would copy all of it for each worker.
gc.collect()
gc.freeze()
gc.enable()
