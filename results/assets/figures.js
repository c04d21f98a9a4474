// What the browser does with a figure, in the report and in the dashboard: its colours, its width, its downloads.
// The page sets window.isoflop = {dark: {light colour: dark colour}, config: {…}} before this file.
"use strict";
(() => {
  const NARROW = 560; // pixels

  // A copy in which every colour of the light palette has its counterpart; data in base64 is left alone.
  const recoloured = (value, map) => {
    if (typeof value === "string") return map[value] ?? value;
    if (ArrayBuffer.isView(value)) return value;
    if (Array.isArray(value)) {
      return typeof value[0] === "number" ? value : value.map((one) => recoloured(one, map));
    }
    if (value === null || typeof value !== "object") return value;
    const copy = {};
    for (const [key, one] of Object.entries(value)) copy[key] = key === "bdata" ? one : recoloured(one, map);
    return copy;
  };

  // Room for the legend above the plot, reckoned here: plotly's own margins run in circles where it takes several rows.
  const above = (data, layout, size, room) => {
    const named = data.filter((one) => one.name && one.showlegend !== false).map((one) => one.name);
    if (!named.length || layout.showlegend === false || !layout.legend) return layout;
    let [rows, used] = [1, 0];
    for (const name of named) {
      const wide = 46 + 0.58 * size * name.replace(/<[^>]*>/g, "").length;
      if (used && used + wide > room) [rows, used] = [rows + 1, 0];
      used += wide;
    }
    const tall = named.some((name) => name.includes("<sup")) ? 29 : size + 10;
    const top = 14 + tall * rows;
    const legend = { ...layout.legend, xref: "container", yref: "container", x: 0.02, y: 1, yanchor: "top" };
    return {
      ...layout,
      legend: { ...legend, font: { ...layout.legend.font, size } },
      margin: { ...layout.margin, t: top },
      height: layout.height + Math.max(0, top - 60), // a few rows more must not eat the plot
    };
  };

  // Smaller letters and margins, and no more ticks than there is room for.
  const narrowed = (layout) => {
    const small = { ...layout, font: { ...layout.font, size: 11 } };
    small.margin = { ...layout.margin, l: Math.min(layout.margin?.l ?? 50, 50), r: Math.min(layout.margin?.r ?? 10, 10) };
    for (const key of Object.keys(layout)) {
      if (/^[xy]axis\d*$/.test(key)) small[key] = { ...layout[key], title: { ...layout[key].title, font: { size: 11 } } };
      if (/^xaxis\d*$/.test(key)) small[key].nticks = 5;
    }
    if (Array.isArray(layout.annotations)) {
      small.annotations = layout.annotations.map((one) => ({ ...one, font: { ...one.font, size: Math.min(one.font?.size ?? 12, 11) } }));
    }
    return small;
  };

  const dressed = (figure, dark, width) => {
    const map = window.isoflop.dark;
    const narrow = width < NARROW;
    const fitting = narrow ? narrowed(figure.layout) : figure.layout;
    const layout = above(figure.data, fitting, narrow ? 10.5 : 12, width - 30);
    return dark ? recoloured({ data: figure.data, layout }, map) : { data: figure.data, layout };
  };

  // -- downloads

  const save = (name, parts, kind) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob(parts, { type: kind }));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };

  const cell = (value) => {
    if (value === undefined || value === null) return "";
    const said = String(value);
    // A spreadsheet runs what begins with these; a name from a store must not.
    const calm = typeof value === "string" && /^[=+\-@\t\r]/.test(said) && !isFinite(said) ? `'${said}` : said;
    return /[",\n\r]/.test(calm) ? `"${calm.replaceAll('"', '""')}"` : calm;
  };

  const plain = (text) => {
    const words = String(text ?? "").replace(/<br\s*\/?>/g, "; ").replace(/<[^>]*>/g, "");
    const area = document.createElement("textarea"); // undoes &lt; and its kin, and runs nothing
    area.innerHTML = words;
    return area.value;
  };

  // One row a drawn point: trace, x, y, z, low and high of its error bar, and what it says when pointed at.
  const table = (graph) => {
    const axis = (one, letter) => plain(graph._fullLayout[`${letter}axis${(one[`${letter}axis`] ?? letter).slice(1)}`]?.title?.text);
    const rows = [["trace", "x", "y", "z", "y_low", "y_high", "x_low", "x_high", "says", "x_axis", "y_axis"]];
    const whisker = (error, at, value) => {
      if (!error?.visible || !error.array) return ["", ""];
      const minus = error.symmetric === false ? error.arrayminus : error.array;
      return [value - (minus?.[at] ?? 0), value + (error.array[at] ?? 0)];
    };
    for (const one of graph._fullData) {
      const name = plain(one.name);
      const axes = [axis(one, "x"), axis(one, "y")];
      if (one.z) {
        one.z.forEach((line, j) => line.forEach((z, i) => rows.push([name, one.x[i], one.y[j], z, "", "", "", "", "", ...axes])));
        continue;
      }
      const count = Math.max(one.x?.length ?? 0, one.y?.length ?? 0);
      for (let i = 0; i < count; i += 1) {
        const says = Array.isArray(one.hovertext) ? one.hovertext[i] : one.hovertext;
        const bars = [...whisker(one.error_y, i, one.y[i]), ...whisker(one.error_x, i, one.x[i])];
        rows.push([name, one.x[i], one.y[i], "", ...bars, plain(says), ...axes]);
      }
    }
    return rows.map((row) => row.map(cell).join(",")).join("\n") + "\n";
  };

  // The text of plotly.js; the dashboard, whose pages do not hold it, has another way to it.
  const library = async () => document.getElementById("plotly-js").textContent;

  const page = async (graph, title) => {
    const figure = JSON.stringify({ data: graph.data, layout: { ...graph.layout, width: undefined } }).replaceAll("<", "\\u003c");
    const safe = title.replace(/[<>&"]/g, " ");
    const tag = "script"; // spelled out, it would end the script element that this stands in
    const policy = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:";
    const config = JSON.stringify(window.isoflop.config);
    return [
      `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${safe}</title>`,
      `<meta http-equiv="Content-Security-Policy" content="${policy}"><${tag}>${await window.isoflop.library()}</${tag}></head>`,
      `<body style="background:${graph.layout.paper_bgcolor}"><h1 style="font:600 18px sans-serif;color:#7a8794">${safe}</h1>`,
      `<div id="figure"></div><${tag}>const figure=${figure};`,
      `Plotly.newPlot("figure",figure.data,figure.layout,${config});</${tag}></body></html>\n`,
    ];
  };

  const download = async (graph, kind, title) => {
    const name = title.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "").slice(0, 60) || "figure";
    if (kind === "csv") return save(`${name}.csv`, [table(graph)], "text/csv");
    if (kind === "html") return save(`${name}.html`, await page(graph, title), "text/html");
    const { width, height } = graph._fullLayout;
    return Plotly.downloadImage(graph, { format: kind, filename: name, width, height, scale: kind === "png" ? 2 : 1 });
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("button[data-download]");
    const graph = button?.closest("figure")?.querySelector(".js-plotly-plot");
    if (graph) download(graph, button.dataset.download, button.closest("figure").dataset.title ?? "figure");
  });

  Object.assign(window.isoflop, { dressed, library, narrow: NARROW, table });
})();
