"""What do the report and the dashboard look like? Their CSS: light and dark, one column on a phone."""

_LIGHT = """--ink: #1f2933; --muted: #5b6875; --paper: #fff; --ground: #f3f5f8; --line: #dce1e8; --good: #00735a;
  --caution: #9a5b00; --bad: #b3261e; --plain: #0072b2; --mark: #fff4ec;"""
_DARK = """--ink: #e6eaef; --muted: #a3aebb; --paper: #1b222b; --ground: #11161c; --line: #303945; --good: #3ecfa4;
  --caution: #f0b357; --bad: #ff8a80; --plain: #6fbdf0; --mark: #33271f;"""

CSS = """
/* The system's theme, unless the page says one. */
:root { color-scheme: light; LIGHT }
:root[data-theme=dark] { color-scheme: dark; DARK }
@media (prefers-color-scheme: dark) { :root:not([data-theme=light]) { color-scheme: dark; DARK } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--ink); line-height: 1.5;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", Arial, sans-serif; }
main { max-width: 78rem; margin: 0 auto; padding: 1.5rem clamp(0.75rem, 3vw, 2rem) 4rem; }
header p, h2 + p, figcaption, small { color: var(--muted); }
header p { margin: 0; overflow-wrap: anywhere; }
h1 { margin: 0; font-size: 1.7rem; line-height: 1.2; overflow-wrap: anywhere; }
h2 { margin: 2.5rem 0 0.25rem; font-size: 1.2rem; }
h2 + p { margin-top: 0; max-width: 75ch; }
.cards { display: grid; gap: 1rem; margin: 1.5rem 0;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 30rem), 1fr)); }
.card { background: var(--paper); border: 1px solid var(--line); border-left: 5px solid var(--tone); border-radius: 8px;
  padding: 1rem 1.25rem; overflow-wrap: anywhere; }
.good { --tone: var(--good); } .caution { --tone: var(--caution); } .bad { --tone: var(--bad); }
.plain { --tone: var(--plain); }
.card h2 { margin: 0; font-size: 0.85rem; font-weight: 600; color: var(--muted); }
.card p { margin: 0.4rem 0 0; }
.card .answer { margin: 0; font-size: 1.5rem; line-height: 1.3; font-weight: 650; color: var(--tone); }
.figures { display: grid; gap: 1rem; margin-top: 0.75rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 30rem), 1fr)); }
figure { margin: 0; min-width: 0; background: var(--paper); border: 1px solid var(--line); border-radius: 8px;
  padding: 0.75rem 0.5rem; overflow: hidden; position: relative; }
figure h3 { margin: 0 0.75rem 0.25rem; font-size: 0.95rem; font-weight: 600; padding-right: 9rem; }
figcaption { font-size: 0.92rem; padding: 0.25rem 0.75rem 0; max-width: 85ch; }
.downloads { position: absolute; top: 0.7rem; right: 0.75rem; display: flex; gap: 0.15rem; opacity: 0.55; }
figure:hover .downloads, figure:focus-within .downloads { opacity: 1; }
.downloads button { font: inherit; font-size: 0.7rem; color: var(--muted); background: none;
  border: 1px solid transparent;
  padding: 0.1rem 0.25rem; cursor: pointer; border-radius: 4px; }
.downloads button:hover { border-color: var(--line); color: var(--ink); }
:focus-visible { outline: 2px solid var(--plain); outline-offset: 1px; }
@media (hover: none) { .downloads { opacity: 1; } }
.scroll { overflow-x: auto; background: var(--paper); border: 1px solid var(--line); border-radius: 8px;
  margin-top: 0.75rem; }
table { border-collapse: collapse; width: 100%; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 0.4rem 0.6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
th { white-space: nowrap; } th small { display: block; font-weight: 400; }
.wide td:not(:last-child) { white-space: nowrap; } td:last-child { min-width: 9rem; overflow-wrap: anywhere; }
.wide td:last-child { min-width: 22rem; font-size: 0.92em; }
.n { text-align: right; } td.n:last-child { min-width: 0; }
tbody tr:last-child td { border-bottom: 0; }
tr.target td { background: var(--mark); } tr.off td { color: var(--caution); }
""".replace("LIGHT", _LIGHT).replace("DARK", _DARK)
