"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const designs = data.designs, search = data.search, kernels = data.kernels;
  for (const d of designs) {
    d.config = data.configs[d.config];
    d.calls = d.calls.map((i) => data.calls[i]);
    Object.assign(d, data.kernel_tables[d.kernels]); // its kernels and notes
    d.choices = Object.fromEntries(data.choices.map((name, i) => [name, d.choices[i]]));
  }
  const byId = (id) => document.getElementById(id);
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const state = { selected: data.asked?.index ?? data.knee ?? 0, axis: "latency", theme: null };

  // ---- words and numbers -------------------------------------------------------------------------------------------
  const fixed = (v, n) => v.toLocaleString("en", { maximumFractionDigits: n, minimumFractionDigits: n });
  const sig = (v, n = 3) => (v === 0 ? "0" : Number(v.toPrecision(n)).toLocaleString("en", { maximumFractionDigits: 9 }));
  const integer = (v) => Number(v).toLocaleString("en", { maximumFractionDigits: 0 });
  // what a design promises is never rounded in its favour: the same rule as on the terminal (cofront.figures)
  const rate = (v) => { const n = Math.max(0, 3 - Math.floor(Math.log10(v))), e = 10 ** n; return (Math.floor(v * e * (1 + 1e-12)) / e).toLocaleString("en", { maximumFractionDigits: n }); };
  const accuracy = (v) => (v == null ? "–" : fixed(Math.floor(1e4 * v * (1 + 1e-12)) / 100, 2) + " %");
  const percent = (v, n = 2) => (v == null ? "–" : fixed(100 * v, n) + " %");
  const seconds = (v) => v == null ? "–" : v >= 1 ? sig(v) + " s" : v >= 1e-3 ? sig(v * 1e3) + " ms" : sig(v * 1e6) + " µs";
  const metric = (v) => v == null ? "–" : v >= 1e9 ? sig(v / 1e9) + " G" : v >= 1e6 ? sig(v / 1e6) + " M" : v >= 1e3 ? sig(v / 1e3) + " k" : sig(v);
  const superscript = (n) => String(n).replace(/[-\d]/g, (c) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[c] ?? "⁻");
  const huge = (text) => text.length <= 7 ? integer(text) : `${(Number(text.slice(0, 4)) / 1000).toFixed(1)} × 10${superscript(text.length - 1)}`;
  const resourceNames = { dsp: "DSP", lut: "LUT", ff: "FF", bram36: "BRAM36", uram: "URAM" };
  const make = (tag, attributes = {}, ...children) => {
    const node = document.createElement(tag);
    for (const [k, v] of Object.entries(attributes)) k === "class" ? (node.className = v) : node.setAttribute(k, v);
    for (const c of children) node.append(c);
    return node;
  };
  const table = (columns, rows) => {
    const head = make("tr");
    for (const c of columns) head.append(make("th", { scope: "col", class: c.n ? "n" : "" }, c.title));
    const body = make("tbody");
    for (const row of rows) {
      const tr = make("tr");
      row.forEach((cell, i) => tr.append(make("td", { class: columns[i].n ? "n" : columns[i].wrap ? "wrap" : "" }, cell ?? "–")));
      body.append(tr);
    }
    return make("table", {}, make("thead", {}, head), body);
  };
  const tiles = (node, items) => {
    node.replaceChildren(...items.filter(Boolean).map(([name, value, sub]) => {
      const dd = make("dd", {}, value);
      if (sub) dd.append(make("small", {}, sub));
      return make("div", {}, make("dl", { style: "margin:0" }, make("dt", {}, name), dd));
    }));
  };

  // ---- charts ------------------------------------------------------------------------------------------------------
  const config = { displaylogo: false, displayModeBar: /only=front/.test(location.search) ? false : undefined, responsive: true, modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"],
    toImageButtonOptions: { format: "svg", filename: "cofront" } };
  const small = { ...config, displayModeBar: false };
  const layout = (extra) => {
    const axis = { gridcolor: css("--grid"), linecolor: css("--line"), zerolinecolor: css("--line"), ticks: "outside",
      tickcolor: css("--line"), automargin: true };
    return { ...extra, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: css("--ink") },
      hoverlabel: { bgcolor: css("--card"), bordercolor: css("--line"), font: { color: css("--ink"), size: 13 }, align: "left" },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: css("--soft"), activecolor: css("--accent") },
      margin: { l: 60, r: 16, t: 12, b: 48, ...(extra.margin ?? {}) },
      xaxis: { ...axis, ...extra.xaxis }, yaxis: { ...axis, ...extra.yaxis } };
  };
  const palette = () => state.theme === "dark"
    ? { conv: "#e69f00", dw: "#56b4e9", pw: "#3fc79a", memory: "#e48cc0", overhead: "#98a3b3", measured: "#56b4e9" }
    : { conv: "#c98600", dw: "#0072b2", pw: "#009e73", memory: "#b5558c", overhead: "#7a8594", measured: "#0072b2" };
  const patterns = { conv: "", dw: "/", pw: "\\", memory: ".", overhead: "x", measured: "" };
  const colour = (kind) => palette()[kind] ?? "#888888";
  // latency axes of one to two decades: ticks at 1, 2, 5 so that the labels never crowd
  const logTicks = (lo, hi) => {
    const out = [];
    for (let e = Math.floor(Math.log10(lo)) - 1; e <= Math.ceil(Math.log10(hi)); e++)
      for (const m of hi / lo < 8 ? [1, 1.5, 2, 3, 4, 5, 6, 8] : [1, 2, 5]) { const v = m * 10 ** e; if (v >= lo * 0.999 && v <= hi * 1.001) out.push(v); }
    return out;
  };
  const x = (latency) => (state.axis === "fps" ? 1 / latency : latency * 1e3);
  // how far the 95 % interval of a latency reaches to the right and to the left of it on the axis
  const reach = (d) => { const [a, b] = [x(Math.max(d.latency_low_s, 1e-12)), x(d.latency_high_s)].sort((p, q) => p - q), at = x(d.latency_s); return { array: [b - at], arrayminus: [at - a] }; };
  const interval = (d) => (d.latency_low_s == null ? "" : `${seconds(d.latency_low_s)} to ${seconds(d.latency_high_s)}`);
  const describe = (d) => {
    const used = ordered(Object.keys(d.resources)).map((k) => `${resourceNames[k] ?? k} ${integer(d.resources[k])}`).join(" · ");
    return `<b>${accuracy(d.accuracy)}</b> at <b>${seconds(d.latency_s)}</b> (${rate(d.fps)} fps)<br>${d.latency_low_s == null ? "" : "95 %: " + interval(d) + "<br>"}${used}${used && "<br>"}` +
      `${escape(d.config.engine ?? "")} ${d.bits ? "· " + escape(d.bits) : ""}`;
  };
  const escape = (text) => String(text).replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);

  function drawFront() {
    if (!designs.length) return;
    const xs = designs.map((d) => x(d.latency_s)), ys = designs.map((d) => 100 * d.accuracy);
    const slow = Math.max(...designs.map((d) => d.latency_s)), fast = Math.min(...designs.map((d) => d.latency_s));
    const room = Math.max((slow / fast) ** 0.06, 1.04);
    // where the device is a predictor: 95 % of new measurements lie between these; what reaches down to 0 leaves the picture
    const spread = designs.filter((d) => d.latency_high_s != null), lows = spread.map((d) => Math.max(d.latency_low_s, fast / 4)), highs = spread.map((d) => d.latency_high_s);
    const ends = [Math.min(fast, ...lows) / room, Math.max(slow, ...highs) * room].map(x);
    const lowest = Math.min(...ys), span = Math.max(Math.max(...ys) - lowest, 0.5);
    const range = [lowest - 0.06 * span, Math.max(...ys, ...(search.bound ?? []).map((b) => 100 * b.accuracy)) + 0.1 * span];
    const traces = [];
    // everything above the certified bound: proven to be empty
    if (search.gap != null && !search.third) {
      let level = search.bound?.length ? 100 * search.bound[0].accuracy : range[0];
      const bx = [ends[0]], by = [level];
      // a step of the bound holds up to its latency, a design of the front from its latency on
      if (search.bound?.length) for (const { latency_s: l, accuracy: a } of search.bound) {
        const until = x(Math.min(l ?? Infinity, slow * room));
        bx.push(bx.at(-1), until); by.push(100 * a, 100 * a); level = 100 * a;
      } else for (const d of designs) { bx.push(x(d.latency_s), x(d.latency_s)); by.push(level, 100 * d.accuracy); level = 100 * d.accuracy; }
      bx.push(ends[1]); by.push(level);
      traces.push({ x: [...bx, ends[1], ends[0]], y: [...by, range[1], range[1]], fill: "toself", fillcolor: css("--shade"),
        line: { width: 0 }, mode: "lines", hoverinfo: "skip", name: "proven: no design here" });
      if (search.gap > 0) traces.push({ x: bx, y: by, mode: "lines", line: { color: css("--warn"), width: 1.5, dash: "dash" },
        hoverinfo: "skip", name: `certified bound (at most ${fixed(100 * search.gap, 3)} points away)` });
    }
    // the front's own steps, moved to either end of the intervals
    const steps = (values) => values.flatMap((v, i) => [[x(v), 100 * spread[Math.max(i - 1, 0)].accuracy], [x(v), 100 * spread[i].accuracy]]);
    const band = spread.length ? [...steps(lows), ...steps(highs).toReversed()] : [];
    if (band.length) traces.push({ x: band.map((p) => p[0]), y: band.map((p) => p[1]), fill: "toself",
      fillcolor: css("--band"), line: { width: 0 }, mode: "lines", hoverinfo: "skip", name: "95 % of new measurements" });
    const others = ["#cc79a7", "#e69f00", "#009e73", "#d55e00", "#999933"], marks = ["square", "triangle-up", "diamond", "cross", "x"];
    data.others.forEach((o, i) => traces.push({ x: o.points.map((p) => x(p[0])), y: o.points.map((p) => 100 * p[1]), mode: "lines+markers",
      line: { color: others[i % 5], width: 1.5, dash: "dot", shape: "hv" }, marker: { size: 5, symbol: marks[i % 5] },
      name: o.label, hovertemplate: "%{y:.2f} %<extra>" + escape(o.label) + "</extra>" }));
    const third = search.third, value = (d) => third === "energy" ? d.energy_j * 1e3 : d.resources[third];
    if (!third) traces.push({ x: xs, y: ys, mode: "lines", line: { color: css("--accent"), width: 1.5, shape: "hv" }, hoverinfo: "skip", showlegend: false });
    traces.push({ x: xs, y: ys, mode: "markers", name: "designs of the front", customdata: designs.map((_, i) => i), text: designs.map(describe),
      hovertemplate: "%{text}<extra></extra>",
      marker: { color: third ? designs.map(value) : css("--accent"), colorscale: "Viridis", size: designs.length > 300 ? 5 : 7, line: { color: css("--card"), width: 0.6 },
        colorbar: third ? { title: { text: third === "energy" ? "mJ" : resourceNames[third] ?? third }, thickness: 12, outlinewidth: 0 } : undefined } });
    const s = designs[state.selected];
    traces.push({ x: [x(s.latency_s)], y: [100 * s.accuracy], mode: "markers", name: "selected", hoverinfo: "skip",
      error_x: s.latency_high_s != null ? { type: "data", symmetric: false, color: css("--chosen"), thickness: 1.5, width: 6, ...reach(s) } : undefined,
      marker: { color: css("--chosen"), size: 15, symbol: "diamond", line: { color: css("--card"), width: 2 } } });
    const ticks = logTicks(Math.min(...ends), Math.max(...ends));
    const shapes = [], annotations = [];
    if (search.required_fps) {
      shapes.push({ type: "line", xref: "x", yref: "paper", x0: x(1 / search.required_fps), x1: x(1 / search.required_fps), y0: 0, y1: 1, line: { color: css("--soft"), width: 1, dash: "dot" } });
      annotations.push({ xref: "x", yref: "paper", x: Math.log10(x(1 / search.required_fps)), y: 0, yanchor: "bottom", xanchor: state.axis === "fps" ? "left" : "right", text: ` ${sig(search.required_fps, 10)} fps asked `, showarrow: false, font: { color: css("--soft"), size: 12 } });
    }
    if (search.required_accuracy) {
      shapes.push({ type: "line", xref: "paper", yref: "y", x0: 0, x1: 1, y0: 100 * search.required_accuracy, y1: 100 * search.required_accuracy, line: { color: css("--soft"), width: 1, dash: "dot" } });
      annotations.push({ xref: "paper", yref: "y", x: 1, y: 100 * search.required_accuracy, yanchor: "top", xanchor: "right", text: `${sig(100 * search.required_accuracy, 10)} % asked `, showarrow: false, font: { color: css("--soft"), size: 12 } });
    }
    Plotly.react("front", traces, layout({
      xaxis: { type: "log", range: ends.map(Math.log10).sort((a, b) => a - b), tickvals: ticks, ticktext: ticks.map((t) => sig(t)),
        title: { text: state.axis === "fps" ? "frames per second" : "latency of one image (ms)" } },
      yaxis: { range, title: { text: search.accuracy_label ?? "predicted accuracy (%)" } },
      legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 }, hovermode: "closest", margin: { t: 34 }, shapes, annotations }), config);
  }

  function drawTime(d) {
    const total = d.calls.reduce((a, c) => a + c.cycles, 0) || 1;
    byId("time-note").textContent = search.hardware === "table" ? `${d.calls.length} entries of the table, which add up to ${seconds(total / search.clock_hz)}.` : `${d.calls.length} calls, ${integer(d.calls.reduce((a, c) => a + c.cycles, 0))} cycles at ${sig(search.clock_hz / 1e6)} MHz. ` +
      "Each bar is coloured by what limits the call; the marks are the busy time of each kernel.";
    const us = (c) => (c / search.clock_hz) * 1e6;
    const names = d.calls.map((c) => c.name);
    const traces = Object.keys(patterns).flatMap((kind) => {
      const rows = d.calls.filter((c) => c.bound_by === kind);
      return rows.length ? [{ type: "bar", orientation: "h", name: kind, x: rows.map((c) => us(c.cycles)), y: rows.map((c) => c.name),
        marker: { color: colour(kind), pattern: { shape: patterns[kind], size: 6, solidity: 0.3, fillmode: "overlay" } },
        customdata: rows.map((c) => [percent(c.cycles / total, 1), c.mode, integer(c.cycles)]),
        hovertemplate: "<b>%{y}</b><br>%{x:.3~g} µs, %{customdata[0]}" + (kind === "measured" ? "<extra></extra>" : "<br>%{customdata[2]} cycles, %{customdata[1]}<extra>limited by " + kind + "</extra>") }] : [];
    });
    const symbols = ["line-ns", "x-thin", "cross-thin"];
    kernels.forEach((k, i) => {
      const rows = d.calls.filter((c) => c.kernels[k] > 0);
      if (rows.length) traces.push({ type: "scatter", mode: "markers", name: `${k} busy`, x: rows.map((c) => us(c.kernels[k])), y: rows.map((c) => c.name),
        marker: { symbol: symbols[i % 3], size: 8, color: css("--ink"), line: { width: 1.6, color: css("--ink") } },
        hovertemplate: `%{y}: ${escape(k)} busy %{x:.3~g} µs<extra></extra>` });
    });
    const bar = names.length > 24 ? 15 : 24;
    const height = Math.max(380, 110 + bar * names.length);
    byId("time").style.height = `${height}px`;
    byId("roof").style.height = `${Math.min(height, 620)}px`; // as high as the box beside it
    Plotly.react("time", traces, layout({ barmode: "overlay", bargap: 0.28, xaxis: { ticksuffix: " µs", rangemode: "tozero" },
      yaxis: { range: [names.length - 0.4, -0.6], tickfont: { size: bar < 20 ? 11 : 13 }, categoryorder: "array", categoryarray: names, tickvals: names, ticktext: names, ticks: "" },
      legend: { orientation: "h", y: 1.01, yanchor: "bottom", x: 0 }, margin: { l: 8, b: 30, t: 20 } }), small);
  }

  function drawRoof(d) {
    byId("roof-note").textContent = roofline.one(byId("roof"), d, search.clock_hz, patterns, colour) || "Not recorded for this design.";
  }

  function drawHistory() {
    const h = data.history;
    byId("history-card").hidden = h.length < 2;
    if (h.length < 2) return;
    Plotly.react("history", [{ x: h.map((p) => p[0]), y: h.map((p) => 100 * p[1]), mode: "lines+markers", line: { color: css("--accent"), shape: "hv" }, name: "gap" }],
      layout({ xaxis: { title: { text: "seconds of searching" }, rangemode: "tozero" }, yaxis: { title: { text: "certified gap (points)" }, rangemode: "tozero" } }), small);
  }

  // ---- the selected design -----------------------------------------------------------------------------------------
  function showDesign() {
    const d = designs[state.selected];
    const mark = state.selected === data.chosen && data.asked.wish ? " — the one asked for" : state.selected === data.knee ? " — the knee" : "";
    byId("design-title").textContent = `Design ${state.selected + 1} of ${designs.length}${mark}`;
    byId("announce").textContent = `Design ${state.selected + 1}: ${accuracy(d.accuracy)} at ${seconds(d.latency_s)}`;
    byId("previous").disabled = state.selected === 0;
    byId("next").disabled = state.selected === designs.length - 1;
    tiles(byId("figures"), [
      ["accuracy", accuracy(d.accuracy), search.accuracy_kind ?? "predicted"], ["latency", seconds(d.latency_s), d.latency_low_s == null ? `${integer(d.cycles)} cycles` : `95 %: ${interval(d)}`],
      ["frames per second", rate(d.fps)], d.macs != null && ["multiply-accumulates", metric(d.macs)],
      d.params != null && ["parameters", metric(d.params), d.weight_bytes == null ? "" : `${metric(d.weight_bytes)}B of weights`],
      d.activation_bytes != null && ["activations", `${metric(d.activation_bytes)}B`, "if every layer's went through memory"], d.energy_j != null && ["energy of one image", sig(d.energy_j * 1e3) + " mJ", "modelled"]]);
    byId("network").replaceChildren(networkTable(d.choices));
    byId("accelerator").replaceChildren(...acceleratorTable(d.config));
    const measured = search.hardware === "table"; // of operators: nothing is known of how each of them runs
    if (measured) byId("accelerator-title").textContent = "Device";
    byId("time-and-roof").hidden = !d.calls.length;
    byId("time-and-roof").classList.toggle("one", measured);
    for (const name of ["roof-card", "kernels-card", "calls-card"]) byId(name).hidden = measured || !d.calls.length;
    byId("resources-title").hidden = !Object.keys(d.resources).length;
    byId("resources").replaceChildren(...ordered(Object.keys(d.resources)).map((k) => [k, d.resources[k]]).map(([k, used]) => gauge(k, used, data.budget[k])));
    const used = kernels.filter((k) => d.calls.some((c) => c.kernels[k]));
    byId("calls").replaceChildren(table(
      [{ title: "call" }, { title: "layers", wrap: true }, { title: "bits" }, { title: "runs" }, { title: "limited by" }, { title: "MAC", n: true }, { title: "bytes", n: true },
        { title: "cycles", n: true }, { title: "time", n: true }, { title: "share", n: true }, { title: "of its roof", n: true }, ...used.map((k) => ({ title: `${k} busy`, n: true }))],
      d.calls.map((c) => [c.name, within(c), c.precision, c.mode, c.bound_by, metric(c.macs), metric(c.dram_bytes), integer(c.cycles), seconds(c.cycles / search.clock_hz),
        percent(c.cycles / d.cycles, 1), c.ceiling_macs_per_s ? percent((c.macs * search.clock_hz) / c.cycles / c.ceiling_macs_per_s, 0) : "–", ...used.map((k) => (c.kernels[k] ? percent(c.kernels[k] / c.cycles, 0) : "–"))])));
    byId("calls-note").textContent = d.notes.filter((n) => !n.startsWith("default accelerator")).map((n) => n[0].toUpperCase() + n.slice(1) + ".").join(" ");
    if (d.calls.length) drawTime(d);
    if (d.calls.length && !measured) { drawRoof(d); kernelTable(d); }
  }

  // "conv, project, add" of the layers "s1b2.conv", ... : the block's name is in the first column
  const within = (c) => (c.layers ?? []).map((name) => name.slice(name.lastIndexOf(".") + 1)).filter((name) => name !== "act").join(", ");

  function kernelTable(d) {
    const band = d.roof ? `${metric(d.roof.bandwidth_bytes_per_s)}B/s` : "–";
    byId("kernels").replaceChildren(table([{ title: "kernel" }, { title: "roof", n: true }, { title: "work", n: true }, { title: "busy", n: true }, { title: "reached", n: true },
      { title: "of its roof", n: true }, { title: "limits", n: true }],
    d.kernels.map((k) => k.name === "memory"
      ? ["memory", band, `${metric(k.bytes)}B`, percent(k.busy, 0), `${metric(k.bytes_per_s)}B/s`, d.roof ? percent(k.bytes_per_s / d.roof.bandwidth_bytes_per_s, 0) : "–", percent(k.limits, 0)]
      : [k.name, `${metric(k.peak_macs_per_s)}MAC/s`, `${metric(k.macs)}MAC`, percent(k.busy, 0), `${metric(k.attained_macs_per_s)}MAC/s`, percent(k.utilisation, 0), percent(k.limits, 0)])));
  }

  const ordered = (names) => { const known = Object.keys(resourceNames); return [...names].sort((a, b) => (known.indexOf(a) + 99) % 99 - (known.indexOf(b) + 99) % 99 || a.localeCompare(b)); };

  function acceleratorTable(config) {
    const isKernel = (v) => v !== null && typeof v === "object" && "po" in v && "pi" in v;
    const plain = Object.entries(config).filter(([, v]) => v === null || typeof v !== "object")
      .map(([k, v]) => k === "clock_hz" ? ["clock", `${sig(v / 1e6)} MHz`] : [k, String(v)])
      .sort(([a], [b]) => (b === "engine") - (a === "engine"));
    const parts = [table([{ title: "part" }, { title: "value" }], plain)];
    const names = [...kernels.filter((k) => isKernel(config[k])), ...Object.keys(config).filter((k) => isKernel(config[k]) && !kernels.includes(k))];
    if (names.length) parts.push(table([{ title: "kernel" }, { title: "in × out" }, { title: "taps", n: true }, { title: "multipliers" }, { title: "weights", n: true }, { title: "lines" }],
      names.map((n) => { const k = config[n]; return k.po ? [n, `${k.pi} × ${k.po}`, String(k.taps ?? 1), k.dsp ? "on DSP" : "on LUT", k.weight_depth == null ? "–" : integer(k.weight_depth),
        k.line_elements ? `${k.rows} × ${integer(k.line_elements)}` : "–"] : [n, "absent", "", "", "", ""]; })));
    const rest = Object.entries(config).filter(([, v]) => v !== null && typeof v === "object" && !isKernel(v));
    if (rest.length) parts.push(table([{ title: "part" }, { title: "configuration", wrap: true }], rest.map(([k, v]) => [k, Object.entries(v).map(([n, w]) => `${n} ${w}`).join(" · ")])));
    return parts;
  }

  // choices named like b3_op and b3_bits become one row per block
  function networkTable(choices) {
    const plain = [], kinds = new Map();
    for (const [name, value] of Object.entries(choices)) {
      const match = /^([a-z]+)(\d+)_(\w+)$/.exec(name);
      if (!match) { plain.push([name, String(value)]); continue; }
      const [, letter, number, what] = match;
      if (!kinds.has(letter)) kinds.set(letter, { rows: new Map(), columns: [] });
      const kind = kinds.get(letter);
      if (!kind.rows.has(number)) kind.rows.set(number, {});
      kind.rows.get(number)[what] = String(value);
      if (!kind.columns.includes(what)) kind.columns.push(what);
    }
    const words = { s: "stage", b: "block", u: "unit" }, box = make("div");
    if (plain.length) box.append(table([{ title: "choice" }, { title: "value" }], plain));
    for (const [letter, kind] of kinds) box.append(table([{ title: words[letter] ?? letter }, ...kind.columns.map((c) => ({ title: c }))],
      [...kind.rows].sort((a, b) => a[0] - b[0]).map(([number, row]) => [number, ...kind.columns.map((c) => row[c] ?? "–")])));
    if (!plain.length && !kinds.size) box.append("–");
    return box;
  }

  function gauge(name, used, limit) {
    const share = limit ? used / limit : 0;
    const track = make("div", { class: "track", role: "meter", "aria-label": name, "aria-valuemin": 0, "aria-valuemax": limit ?? used, "aria-valuenow": used },
      make("div", { class: share > 0.995 ? "fill full" : "fill", style: `width:${Math.min(100, 100 * share)}%` }));
    const value = make("div", { class: "value" }, `${integer(used)} `);
    if (limit) value.append(make("small", {}, `of ${integer(limit)} (${percent(share, 0)})`));
    return make("div", { class: "gauge" }, make("div", {}, resourceNames[name] ?? name), track, value);
  }

  function select(i, scroll = false) {
    if (i < 0 || i >= designs.length) return;
    state.selected = i;
    history.replaceState(null, "", `#design-${i + 1}`);
    document.querySelectorAll('#list tr[aria-selected="true"]').forEach((r) => r.setAttribute("aria-selected", "false"));
    const row = byId(`row-${i}`);
    row?.setAttribute("aria-selected", "true");
    if (row) byId("list-box").scrollTop = row.offsetTop - 120; // the list moves, the page does not
    drawFront(); showDesign();
    if (scroll) byId("design").scrollIntoView();
  }

  // ---- what does not change ----------------------------------------------------------------------------------------
  function showStudy() {
    byId("version").textContent = data.cofront;
    byId("statement").textContent = data.statement;
    byId("provenance").replaceChildren(table([{ title: "" }, { title: "", wrap: true }], data.provenance.map(([k, v, code]) => [k, code ? make("code", {}, v) : v])));
    byId("runs").replaceChildren(table([{ title: "run", n: true }, { title: "started" }, { title: "status" }, { title: "command", wrap: true }],
      data.runs.map((r) => [String(r.id), r.started, r.status, make("code", {}, r.command)])));
  }

  function showSummary() {
    byId("front-note").textContent = data.front_note;
    byId("asked").hidden = !data.asked.text;
    byId("asked").classList.toggle("unmet", !data.asked.met);
    byId("asked").replaceChildren(make("p", {}, data.asked.text[0]?.toUpperCase() + data.asked.text.slice(1)), ...data.asked.limits.map((t) => make("p", { class: "note" }, t)));
    tiles(byId("tiles"), [
      ["designs covered", huge(search.designs), search.hardware === "table" ? "networks" : "network × precision × accelerator"],
      ["certified gap", search.gap == null ? "none" : search.gap === 0 ? "0" : fixed(100 * search.gap, 3) + " points", search.gap === 0 ? "the front is exact" : search.gap == null ? "heuristic: nothing is proven" : "at any latency"],
      ["designs on the front", integer(designs.length)],
      ["searched for", seconds(search.solve_s), search.method],
      designs.length && ["fastest", `${rate(designs[0].fps)} fps`, accuracy(designs[0].accuracy)],
      designs.length && ["most accurate", accuracy(designs.at(-1).accuracy), `${rate(designs.at(-1).fps)} fps`]]);
    const names = ordered(new Set(designs.flatMap((d) => Object.keys(d.resources))));
    const list = byId("list");
    list.append(make("thead", {}, make("tr", {}, ...["#", "accuracy", "latency", "fps", ...names.map((n) => resourceNames[n] ?? n), "engine", "bits"].map((t, i) => make("th", { scope: "col", class: i > 0 && i < 4 + names.length ? "n" : "" }, t)))));
    const body = make("tbody");
    designs.forEach((d, i) => {
      const button = make("button", { type: "button", "aria-label": `Select design ${i + 1}` }, String(i + 1));
      const tr = make("tr", { id: `row-${i}`, "aria-selected": "false" }, make("td", {}, button),
        ...[accuracy(d.accuracy), seconds(d.latency_s), rate(d.fps), ...names.map((n) => integer(d.resources[n] ?? 0))].map((t) => make("td", { class: "n" }, t)),
        make("td", {}, String(d.config.engine ?? "–")), make("td", {}, d.bits ?? "–"));
      tr.addEventListener("click", () => select(i, true));
      body.append(tr);
    });
    list.append(body);
    if (data.cover.length) {
      byId("cover-card").hidden = false;
      byId("cover").replaceChildren(table([{ title: "bitstreams", n: true }, { title: "largest loss", n: true }, { title: "accelerators", wrap: true }],
        data.cover.map((c) => { const box = make("div"); for (const text of c.configs) box.append(make("div", {}, text)); return [String(c.accelerators), `${fixed(100 * c.max_loss, 3)} points`, box]; })));
    }
  }

  let redrawVerified = () => {};
  function drawVerified() {
    const verified = data.verified;
    byId("verified-card").hidden = !verified;
    if (!verified) return;
    byId("verified-note").textContent = verified.note;
    if (verified.activity) redrawVerified = cofrontGantt(byId("gantt"), verified.activity);
  }

  const tools = { make, table, tiles, layout, css, seconds, sig, fixed, accuracy, percent, metric, escape, logTicks, config: small };
  const roofline = cofrontRoofline(tools); // each card's function returns what draws it again
  const drawn = (name, found, draw) => { byId(`${name}-card`).hidden = !found; return found ? draw(byId(name), found, tools) : () => {}; };
  const drawCards = () => [drawn("predictors", data.predictors.length ? data.predictors : null, cofrontPredictors), drawn("differentiable", data.differentiable, cofrontRuns), drawn("quantised", data.quantised, cofrontQuantised),
    drawn("accelerated", data.accelerated, cofrontAccelerated)];

  function theme(name) {
    state.theme = name;
    document.documentElement.dataset.theme = name;
  }

  if (/only=front/.test(location.search)) document.body.classList.add("only-front"); // for pictures of the front
  theme(/theme=dark/.test(location.search) || (!/theme=light/.test(location.search) && matchMedia("(prefers-color-scheme: dark)").matches) ? "dark" : "light");
  showStudy();
  const again = drawCards(), switchTheme = () => { theme(state.theme === "dark" ? "light" : "dark"); for (const redraw of again) redraw(); };
  // at once rather than when Plotly's own timer comes: what is printed or photographed after a change of width is right
  const fit = new ResizeObserver((entries) => { for (const { target: t } of entries) {
    const size = { width: t.clientWidth, height: t.clientHeight }, now = t._fullLayout;
    if (now && size.width && (now.width !== size.width || now.height !== size.height)) Plotly.relayout(t, size);
  } });
  for (const node of document.querySelectorAll("#predictors .chart, .of-runs .chart")) fit.observe(node);
  if (!search || !designs.length) {
    for (const name of ["design", "designs", "front"]) byId(name).hidden = true;
    if (search) showSummary(); else for (const name of ["tiles", "front-card"]) byId(name).hidden = true;
    byId("theme").addEventListener("click", switchTheme);
    return;
  }
  showSummary();
  const asked = /^#design-(\d+)$/.exec(location.hash);
  select(asked && Number(asked[1]) <= designs.length ? Number(asked[1]) - 1 : state.selected);
  if (!asked) history.replaceState(null, "", location.pathname + location.search);
  drawHistory();
  drawVerified();
  for (const name of ["front", "time", "roof", "history"]) fit.observe(byId(name));
  byId("front").on("plotly_click", (event) => { const p = event.points.find((q) => q.customdata !== undefined && typeof q.customdata === "number"); if (p) select(p.customdata); });
  byId("front").addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const direction = state.axis === "fps" ? -step : step;
    select(Math.min(designs.length - 1, Math.max(0, state.selected + direction)));
  });
  byId("previous").addEventListener("click", () => select(state.selected - 1));
  byId("next").addEventListener("click", () => select(state.selected + 1));
  for (const name of ["latency", "fps"]) byId(`axis-${name}`).addEventListener("click", () => {
    state.axis = name;
    byId("axis-latency").setAttribute("aria-pressed", String(name === "latency"));
    byId("axis-fps").setAttribute("aria-pressed", String(name === "fps"));
    drawFront();
  });
  byId("theme").addEventListener("click", () => { switchTheme(); select(state.selected); drawHistory(); redrawVerified(); });
})();
