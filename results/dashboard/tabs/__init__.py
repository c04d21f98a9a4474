"""The tabs, in the order in which they stand: one file each."""

from results.dashboard.tab import Tab
from results.dashboard.tabs.compare import COMPARE
from results.dashboard.tabs.compression import COMPRESSION
from results.dashboard.tabs.forecasts import FORECASTS
from results.dashboard.tabs.law import LAW
from results.dashboard.tabs.plan import PLAN
from results.dashboard.tabs.sweep import SWEEP

TABS: tuple[Tab, ...] = (SWEEP, LAW, PLAN, FORECASTS, COMPARE, COMPRESSION)
