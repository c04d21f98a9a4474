// What the dashboard does in the browser: theme, width, the URL of a view. After figures.js.
"use strict";
(() => {
  const THEMES = ["auto", "light", "dark"];
  const system = matchMedia("(prefers-color-scheme: dark)");
  const narrow = matchMedia(`(max-width: ${window.isoflop.narrow + 40}px)`);
  const asked = new URLSearchParams(location.search).get("theme");
  let theme = THEMES.includes(asked) ? asked : (localStorage.getItem("isoflop-theme") ?? "auto");
  if (!THEMES.includes(theme)) theme = "auto";

  window.isoflop.library = async () => (await fetch("plotly.js")).text();

  const dark = () => theme === "dark" || (theme === "auto" && system.matches);

  const apply = () => {
    document.documentElement.dataset.theme = dark() ? "dark" : "light";
    document.documentElement.dataset.agThemeMode = dark() ? "dark" : "light";
    const button = document.getElementById("theme");
    if (button) button.textContent = `theme: ${theme}`;
    return { dark: dark(), narrow: narrow.matches, theme };
  };

  // Somebody's click turns the theme here, before Dash hears of it: two clicks in a row are one call of a callback there.
  document.addEventListener(
    "click",
    (event) => {
      if (event.target.id !== "theme" || !event.isTrusted) return;
      theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
      localStorage.setItem("isoflop-theme", theme);
    },
    true,
  );
  // A change of the system's theme, or of the width, is a click of nobody.
  const again = () => document.getElementById("theme")?.click();
  system.addEventListener("change", again);
  narrow.addEventListener("change", again);
  apply();

  // Where somebody has zoomed, new data must not move the view: plotly gives up a zoom when the range that it is told
  // changes, and ranges follow the data here.
  const idOf = (id) => JSON.stringify(id, Object.keys(id).sort());
  const told = new Map(); // by graph: its view, and the ranges that it was told last
  const zoomed = (id, figure) => {
    const name = idOf(id);
    const graph = document.getElementById(name)?.querySelector(".js-plotly-plot");
    const before = told.get(name);
    const view = figure.layout.uirevision;
    const axes = Object.keys(figure.layout).filter((key) => /^[xy]axis\d*$/.test(key) && figure.layout[key].range);
    told.set(name, { view, ranges: Object.fromEntries(axes.map((key) => [key, figure.layout[key].range])) });
    // A tab that was left and opened again has drawn nothing yet: what its axes show is nobody's zoom.
    if (!graph?._fullLayout || before?.view !== view || graph.layout?.uirevision !== view) return figure;
    const layout = { ...figure.layout };
    for (const key of axes) {
      const [was, now] = [before.ranges[key], graph._fullLayout[key]?.range];
      const moved = was && now && was.some((edge, at) => Math.abs(edge - now[at]) > 1e-6 * (1 + Math.abs(edge)));
      if (moved) layout[key] = { ...layout[key], range: [...now] };
    }
    return { ...figure, layout };
  };

  // Numbers of the table: nothing for none, 70B and not 70G, 1e12 and not 1e+12.
  window.dashAgGridFunctions = {
    isoflopNumber: (value, write) => {
      if (value === null || value === undefined) return "";
      return write(value).replace("e+", "e").replace("G", "B");
    },
  };

  window.dash_clientside = Object.assign({}, window.dash_clientside, {
    isoflop: {
      look: () => apply(),

      dress: (drawn, look) => {
        const none = window.dash_clientside.no_update;
        if (!drawn || !look) return [none, none, none];
        if (drawn.why) return [{ data: [], layout: {} }, { display: "none" }, drawn.why];
        const own = window.dash_clientside.callback_context.outputs_list[0].id;
        const width = document.getElementById(idOf(own))?.clientWidth || (look.narrow ? 340 : 600);
        const shown = zoomed(own, window.isoflop.dressed(drawn.figure, look.dark, width));
        return [shown, { height: `${shown.layout.height}px` }, ""];
      },

      // The URL says what differs from the defaults, so that it can be kept and sent.
      remember: (values, look, given) => {
        const query = new URLSearchParams();
        const ids = window.dash_clientside.callback_context.inputs_list[0];
        for (const { id, value } of ids) {
          if (id.tab !== given?.tab) continue;
          const said = value === null || value === undefined ? "" : Array.isArray(value) ? value.join(",") : String(value);
          if (said !== (given.values[id.control] ?? "")) query.set(id.control, said);
        }
        if (look && look.theme !== "auto") query.set("theme", look.theme);
        const text = query.toString();
        history.replaceState(history.state, "", location.pathname + (text ? `?${text}` : ""));
        return text;
      },
    },
  });
})();
