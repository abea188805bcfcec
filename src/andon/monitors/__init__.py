"""Is it abnormal? Charts on the rate of harm, per metric and part of the traffic, with a stated false-alarm rate.

In: windows of counts from the table ``scores``. Out: `Signal` records with value, limits, rule, n and the estimated onset
with its interval. Always true: a baseline is estimated before it is watched (Phase I, Phase II); the operator's one knob is
the number of false pages a month over everything; charts are a pure function of the counts, so they can be rebuilt.
"""

from andon.monitors.board import ChartBoard, ChartState, HealthRow
from andon.monitors.budget import BudgetRow, budget_table
from andon.monitors.charts import Charts
from andon.monitors.drawing import draw_chart
from andon.monitors.history import cluster_us
from andon.monitors.limits import control_points
from andon.monitors.objectives import MonitorRule, Objective, objectives_of, rules_of
from andon.monitors.records import TRAFFIC, Level, Monitor, Point, Signal
from andon.monitors.series import parts_of, watched

__all__ = [
    "TRAFFIC",
    "BudgetRow",
    "ChartBoard",
    "ChartState",
    "Charts",
    "HealthRow",
    "Level",
    "Monitor",
    "MonitorRule",
    "Objective",
    "Point",
    "Signal",
    "budget_table",
    "cluster_us",
    "control_points",
    "draw_chart",
    "objectives_of",
    "parts_of",
    "rules_of",
    "watched",
]
