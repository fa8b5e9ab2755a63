"""``python3 -m engine engine.backup`` runs that module.

While it is loaded, Ctrl-C ends it in silence: nothing has begun by then.
"""

import runpy
import signal
import sys

signal.signal(signal.SIGINT, signal.SIG_DFL)
del sys.argv[0]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
