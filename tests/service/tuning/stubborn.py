"""A process that says so when it runs, starts another, and does not end when it is asked to."""

import os
import signal

if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.fork()
    os.write(1, b"%d\n" % os.getpid())
    while True:
        signal.pause()
