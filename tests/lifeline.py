"""Run a command for as long as somebody holds the other end of standard input; then stop it and have its directory removed.

    python lifeline.py DIRECTORY COMMAND [ARGUMENT…]

A test run that is killed cannot tidy up after itself, but the kernel closes its end of the pipe however it ended.
This process lives in a session of its own, so that a signal to the test run's process group passes it by.
"""

import os
import select
import signal
import subprocess
import sys

STOP_TIMEOUT = 10.0
"""Seconds from asking the command to end until it is killed."""


def main() -> None:
    """Start the command, wait for the first of: end of input, end of the command, a signal to this process."""
    directory, *command = sys.argv[1:]
    wake_up, signal_arrived = os.pipe()
    os.set_blocking(signal_arrived, False)
    signal.set_wakeup_fd(signal_arrived)
    for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    # A shell has what it starts in the background ignore this one, and the command would go on doing so until it is killed.
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    # A group of its own, so that the stop signal also reaches what a shell in front of the server has started.
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, process_group=0)
    try:
        waits = True
        while waits:
            readable, _, _ = select.select([sys.stdin, wake_up], [], [])
            signals = os.read(wake_up, 64) if wake_up in readable else b""
            # A command that is only stopped or goes on says so by the same signal as one that has ended.
            waits = set(signals) == {signal.SIGCHLD} and sys.stdin not in readable and process.poll() is None
        if process.poll() is None:
            # PostgreSQL's immediate shutdown: what it would save by a gentler one is deleted below.
            os.killpg(process.pid, signal.SIGQUIT)
        process.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    finally:
        # A hundred databases are a hundred thousand files: nobody waits until they are gone.
        subprocess.Popen(
            ["rm", "-rf", directory],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
    sys.exit(process.returncode)


if __name__ == "__main__":
    main()
