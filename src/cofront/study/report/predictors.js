"use strict";
// Predictors against measurements: a heat map of rank correlations over devices, and a scatter for one cell of it.
// `groups`: [{label, note, quantity, targets, methods, spearman, entries}], one for each protocol; `tools` are the page's
// own functions. Returns what draws everything again, for another theme.
function cofrontPredictors(root, groups, tools) {
  const { make, table, layout, css, seconds, sig, fixed, percent, escape, logTicks, config } = tools;
  const state = { group: 0, method: null, target: null };
  const choose = (label, names, onChange) => {
    const box = make("select", {}, ...names.map((name, i) => make("option", { value: String(i) }, name)));
    box.addEventListener("change", () => onChange(Number(box.value)));
    return make("label", {}, label, box);
  };
  const heading = make("p", { class: "note" }), heat = make("div", { class: "chart", role: "img", "aria-label": "Rank correlation of each predictor on each device; the same figures are in the table below" });
  const picked = make("div", { class: "choices" }), note = make("p", { class: "note" });
  const scatter = make("div", { class: "chart tall", role: "img", "aria-label": "Predicted against measured" }), scores = make("div", { class: "scroll limited" });
  const protocol = make("div", { class: "choices" });
  if (groups.length > 1) protocol.append(choose("protocol", groups.map((g) => g.label), (i) => { pick(i); }));
  root.replaceChildren(protocol, heading, make("h3", {}, "Rank correlation (Spearman), predicted against measured"), heat, make("h3", {}, "Predicted against measured"),
    picked, note, scatter, make("h3", {}, "Scores"), scores);
  const group = () => groups[state.group];
  const entry = () => group().entries.find((e) => e.method === state.method && e.target === state.target);

  function drawHeat() {
    const g = group(), z = g.spearman, text = z.map((row) => row.map((v) => (v == null ? "" : fixed(v, 3))));
    const known = z.flat().filter((v) => v != null), low = Math.min(0.8, ...known);
    heat.style.height = `${110 + 40 * g.methods.length}px`;
    Plotly.react(heat, [{ type: "heatmap", x: g.targets, y: g.methods, z, zmin: low, zmax: 1, colorscale: "Viridis", xgap: 2, ygap: 2, text, texttemplate: g.targets.length <= 14 ? "%{text}" : undefined,
      hovertemplate: "<b>%{y}</b> on %{x}<br>Spearman %{z:.4f}<extra></extra>", colorbar: { thickness: 12, outlinewidth: 0 } }],
    layout({ margin: { l: 8, t: 8, b: 8 }, xaxis: { type: "category", ticks: "", showgrid: false, tickangle: g.targets.length > 8 ? -35 : 0 },
      yaxis: { type: "category", autorange: "reversed", ticks: "", showgrid: false } }), config);
    heat.removeAllListeners?.("plotly_click");
    heat.on("plotly_click", (event) => { const p = event.points[0]; if (p.z != null) { state.method = p.y; state.target = p.x; drawChoices(); drawScatter(); } });
  }

  function drawScatter() {
    const e = entry();
    scatter.hidden = !e || !e.measured.length;
    if (!e) { note.textContent = `${state.method} was not scored on ${state.target}.`; return; }
    const half = e.spearman_half == null ? "" : ` ± ${fixed(e.spearman_half, 3)}`;
    note.textContent = `Spearman ${fixed(e.spearman, 3)}${half}, mean relative error ${percent(e.mape, 1)}, ${percent(e.within_10, 1)} within 10 %, ` +
      `${percent(e.coverage, 1)} of measurements inside the predicted 95 % interval. ` +
      (e.measured.length ? `Shown: ${e.measured.length.toLocaleString("en")} of the ${e.of.toLocaleString("en")} rows predicted in the first draw.` : "");
    if (scatter.hidden) return;
    const energy = group().quantity === "energy", scale = 1e3, unit = energy ? "mJ" : "ms";
    const x = e.measured.map((v) => v * scale), y = e.mean.map((v) => v * scale), bar = e.std.map((v) => 1.96 * v * scale);
    const inside = x.map((v, i) => Math.abs(v - y[i]) <= bar[i]);
    const positive = [...x, ...y].filter((v) => v > 0), lo = Math.min(...positive) / 1.06, hi = Math.max(...positive) * 1.06;
    const word = (v) => (energy ? `${sig(v)} mJ` : seconds(v / scale));
    const cloud = (name, want, color, symbol) => {
      const rows = x.map((_, i) => i).filter((i) => inside[i] === want);
      return { x: rows.map((i) => x[i]), y: rows.map((i) => y[i]), mode: "markers", name: `${name} (${rows.length})`,
        marker: { color, symbol, size: 5, opacity: 0.65 }, text: rows.map((i) => `measured ${word(x[i])}<br>predicted ${word(y[i])} ± ${word(bar[i])}`), hovertemplate: "%{text}<extra></extra>" };
    };
    const ticks = logTicks(lo, hi);
    const axis = { type: "log", range: [Math.log10(lo), Math.log10(hi)], tickvals: ticks, ticktext: ticks.map((t) => sig(t)) };
    Plotly.react(scatter, [
      { x: [lo, hi, hi, lo], y: [lo * 0.9, hi * 0.9, hi * 1.1, lo * 1.1], fill: "toself", fillcolor: css("--shade"), line: { width: 0 }, mode: "lines", hoverinfo: "skip", name: "within 10 %" },
      { x: [lo, hi], y: [lo, hi], mode: "lines", line: { color: css("--soft"), width: 1, dash: "dot" }, hoverinfo: "skip", name: "equal" },
      cloud("inside the 95 % interval", true, css("--accent"), "circle"), cloud("outside it", false, css("--chosen"), "x")],
    layout({ xaxis: { ...axis, title: { text: `measured ${escape(group().quantity)} (${unit})` } }, yaxis: { ...axis, title: { text: `predicted ${escape(group().quantity)} (${unit})` } },
      legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 }, hovermode: "closest", margin: { t: 34 } }), config);
  }

  function drawChoices() {
    const g = group();
    const device = choose("device", g.targets, (i) => { state.target = g.targets[i]; drawScatter(); });
    const method = choose("predictor", g.methods, (i) => { state.method = g.methods[i]; drawScatter(); });
    device.querySelector("select").value = String(g.targets.indexOf(state.target));
    method.querySelector("select").value = String(g.methods.indexOf(state.method));
    picked.replaceChildren(device, method);
  }

  function drawScores() {
    const n = (title) => ({ title, n: true });
    const half = (v, h) => fixed(v, 4) + (h == null ? "" : ` ± ${fixed(h, 4)}`);
    scores.replaceChildren(table([{ title: "predictor" }, { title: "device" }, { title: "table" }, n("Spearman"), n("Kendall"), n("relative error"), n("within 10 %"), n("inside 95 %"), n("fit"), n("predict")],
      group().methods.flatMap((m) => group().targets.map((t) => group().entries.find((e) => e.method === m && e.target === t)).filter(Boolean).map((e) =>
        [e.method, e.target, e.table, half(e.spearman, e.spearman_half), fixed(e.kendall, 4), percent(e.mape, 1), percent(e.within_10, 1), percent(e.coverage, 1), seconds(e.fit_s), seconds(e.predict_s)]))));
  }

  function draw() { drawHeat(); drawChoices(); drawScatter(); drawScores(); }
  function pick(i) {
    state.group = i;
    const last = group().entries.at(-1), newest = group().entries.filter((e) => e.target === last.target);
    state.target = last.target;
    state.method = group().methods.find((m) => newest.some((e) => e.method === m));
    heading.textContent = `${group().label[0].toUpperCase()}${group().label.slice(1)}. ${group().note}`;
    draw();
  }
  pick(0);
  return draw;
}
