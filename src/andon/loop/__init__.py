"""Turn the crank: every stage reads what earlier stages wrote, decides, and writes its own records.

`Loop.tick` and `Loop.act` are the whole service: one sees and tells, the other pulls levers. `andon serve` calls them every few
seconds with the clock; `replay` calls `tick` with the traffic's own clock, and acts on nothing. Ticks may come at any pace: the
same traffic gives the same incidents.
"""

from andon.loop.erasing import RECORDS
from andon.loop.files import passed_over
from andon.loop.replaying import Replay, replay
from andon.loop.turning import Loop, open_loop

__all__ = ["RECORDS", "Loop", "Replay", "open_loop", "passed_over", "replay"]
