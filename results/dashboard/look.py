"""What does the dashboard look like beyond the report? Its bar, its controls, its table."""

from __future__ import annotations

from results.look import CSS

DASHBOARD_CSS = (
    CSS
    + """
.bar { position: sticky; top: 0; z-index: 20; display: flex; flex-wrap: wrap; align-items: center; gap: 0.4rem 1.25rem;
  background: var(--paper); border-bottom: 1px solid var(--line); padding: 0.55rem clamp(0.75rem, 3vw, 2rem); }
.brand { display: flex; gap: 0.6rem; align-items: baseline; min-width: 0; }
.brand .store { color: var(--muted); font-size: 0.85rem; overflow: hidden; text-overflow: ellipsis; white-space: nowrap;
  max-width: 18rem; }
.bar nav { display: flex; flex-wrap: wrap; gap: 0.1rem; flex: 1; }
.page-link { color: var(--muted); text-decoration: none; padding: 0.3rem 0.7rem; border-radius: 6px;
  font-size: 0.95rem; }
.page-link:hover { color: var(--ink); background: var(--ground); }
.page-link.current { color: var(--ink); font-weight: 600; background: var(--ground); }
.bar button, .buttons button { font: inherit; font-size: 0.85rem; color: var(--muted); background: none;
  cursor: pointer; border: 1px solid var(--line); border-radius: 6px; padding: 0.25rem 0.6rem; }
.bar button:hover, .buttons button:hover { color: var(--ink); }
main { max-width: 92rem; padding-top: 1rem; }
@media (max-width: 640px) {
  .bar { position: static; } .brand { flex: 1; } .bar nav { order: 3; flex-basis: 100%; }
  .page-link { padding: 0.3rem 0.5rem; font-size: 0.9rem; }
}
.question { display: flex; flex-wrap: wrap; gap: 0 1rem; align-items: baseline; }
.question p { margin: 0; color: var(--muted); }
.under { color: var(--muted); margin: 0 0 0.5rem; max-width: 90ch; }
.figures { grid-template-columns: repeat(auto-fit, minmax(min(100%, 34rem), 1fr)); }
figure.full { grid-column: 1 / -1; }
.why { color: var(--muted); padding: 0 0.75rem; margin: 0.25rem 0; }
.why:empty { display: none; }
.cards { margin: 1rem 0; grid-template-columns: repeat(auto-fit, minmax(min(100%, 17rem), 1fr)); }
.cards .answer { font-size: 1.3rem; }
.cards p { font-size: 0.95rem; }
.empty { margin: 1rem 0; }
.controls { display: grid; gap: 0.6rem 1.25rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 13rem), 1fr));
  background: var(--paper); border: 1px solid var(--line); border-radius: 8px; padding: 0.75rem 1rem; margin: 0.75rem 0;
  align-items: start; }
.controls .wide { grid-column: span 2; }
@media (max-width: 640px) { .controls .wide { grid-column: auto; } }
.control { min-width: 0; }
.control .label { font-size: 0.8rem; color: var(--muted); margin-bottom: 0.2rem; }
.control small { font-size: 0.78rem; }
.control .dash-slider-container { padding: 0 0.6rem; }
.control input[type=text] { width: 100%; font: inherit; font-size: 0.92rem; color: var(--ink);
  background: var(--ground); border: 1px solid var(--line); border-radius: 6px; padding: 0.35rem 0.5rem; }
.command { display: flex; gap: 0.5rem; align-items: start; background: var(--ground); border: 1px solid var(--line);
  border-radius: 6px; padding: 0.5rem 0.75rem; margin: 0.4rem 0; overflow-x: auto; }
.command code { flex: 1; white-space: pre-wrap; overflow-wrap: anywhere; font-size: 0.85rem; }
.command .copy { cursor: pointer; color: var(--muted); }
.buttons { display: flex; gap: 0.5rem; margin: 0.5rem 0; }
td.line { white-space: nowrap; min-width: 0; } td.long { min-width: 18rem; }
td.line:last-child { min-width: 0; }
details { margin: 0.5rem 0; } summary { cursor: pointer; color: var(--muted); }
.scroll { max-height: 34rem; overflow: auto; }
.scroll th { position: sticky; top: 0; background: var(--paper); }
/* Dash's own components take their colours from these. */
:root { --Dash-Fill-Interactive-Strong: var(--plain); --Dash-Fill-Interactive-Weak: var(--ground);
  --Dash-Text-Primary: var(--ink); --Dash-Text-Strong: var(--ink); --Dash-Text-Weak: var(--muted);
  --Dash-Text-Disabled: var(--muted); --Dash-Stroke-Strong: var(--line); --Dash-Stroke-Weak: var(--line);
  --Dash-Fill-Inverse-Strong: var(--paper); --Dash-Fill-Primary-Hover: var(--ground);
  --Dash-Fill-Primary-Active: var(--ground); --Dash-Fill-Disabled: var(--line); }
.ag-paging-panel, .ag-header, .ag-popup .ag-menu, .ag-list { background: var(--ground); color: var(--ink); }
.ag-root-wrapper { --ag-background-color: var(--paper); --ag-foreground-color: var(--ink);
  --ag-text-color: var(--ink); --ag-data-background-color: var(--paper); --ag-chrome-background-color: var(--ground);
  --ag-header-background-color: var(--ground); --ag-odd-row-background-color: var(--paper);
  --ag-border-color: var(--line); --ag-header-text-color: var(--muted); --ag-accent-color: var(--plain);
  --ag-cell-text-color: var(--ink); --ag-subtle-text-color: var(--muted); --ag-menu-background-color: var(--paper);
  font-family: inherit; --ag-font-family: system-ui, 'Segoe UI', Roboto, 'Liberation Sans', Arial, sans-serif;
  --ag-row-hover-color: var(--ground); font-variant-numeric: tabular-nums; }
"""
)
