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

  // A change of the system's theme, or of the width, is a click without a turn.
  let turning = true;
  const again = () => {
    turning = false;
    document.getElementById("theme")?.click();
  };
  system.addEventListener("change", again);
  narrow.addEventListener("change", again);
  apply();

  // Numbers of the table: nothing for none, 70B and not 70G, 1e12 and not 1e+12.
  window.dashAgGridFunctions = {
    isoflopNumber: (value, write) => {
      if (value === null || value === undefined) return "";
      return write(value).replace("e+", "e").replace("G", "B");
    },
  };

  window.dash_clientside = Object.assign({}, window.dash_clientside, {
    isoflop: {
      look: (clicks) => {
        if (clicks && turning) {
          theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
          localStorage.setItem("isoflop-theme", theme);
        }
        turning = true;
        return apply();
      },

      dress: (drawn, look) => {
        const none = window.dash_clientside.no_update;
        if (!drawn || !look) return [none, none, none];
        if (drawn.why) return [{ data: [], layout: {} }, { display: "none" }, drawn.why];
        const width = look.narrow ? 0 : Infinity;
        const shown = window.isoflop.dressed(drawn.figure, look.dark, width);
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
