"""`andon serve`: the one place where store, stages and faces are put together, and what keeps them going.

Two processes: this one takes requests in and answers them; its child, the `Crank`, moves the journal into the tables and
turns the loop. Nothing that runs in the background fails in silence: a failure is counted, logged with its traceback once,
and told by ``/readyz`` until the work succeeds again.
"""

from andon.server.background import Repeated, now_us
from andon.server.crank import do_once, loop_work, start_log
from andon.server.leasing import hold_loop
from andon.server.serving import ROLES, Server, create_server, listen, serve

__all__ = [
    "ROLES",
    "Repeated",
    "Server",
    "create_server",
    "do_once",
    "hold_loop",
    "listen",
    "loop_work",
    "now_us",
    "serve",
    "start_log",
]
