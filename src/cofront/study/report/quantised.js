"use strict";
// Quantised networks: the bits of their layers, what bits are expected to cost in loss, and the budget that chose them.
// `found`: {entries, selected}; `tools` are the page's own functions. Returns what draws everything again, for another theme.
function cofrontQuantised(root, found, tools) {
  const { make, table, tiles, layout, css, seconds, sig, fixed, accuracy, percent, metric, escape, logTicks, config } = tools;
  const card = cofrontCard(root, found, tools), { run, n, heading, button, sentences, small, time } = card;
  const pictures = cofrontPictures(tools), bits = cofrontBits({ ...tools, small }, pictures);
  const state = { measured: false };
  // [factor from SI, unit] that suits a value
  const unit = (name, v) => name === "latency" ? (v >= 1 ? [1, "s"] : v >= 1e-3 ? [1e3, "ms"] : [1e6, "µs"]) : name === "energy" ? (v >= 1 ? [1, "J"] : v >= 1e-3 ? [1e3, "mJ"] : [1e6, "µJ"]) : name === "size" ? (v >= 1e6 ? [1e-6, "MB"] : v >= 1e3 ? [1e-3, "kB"] : [1, "B"]) : [1, ""];
  const cost = (name, v, digits = 3) => { if (v == null) return "–"; const [f, u] = unit(name, v); return `${sig(v * f, digits)}${u && "\u00a0"}${u}`; };
  const images = (a) => `of ${a.images.toLocaleString("en")} ${a.part} images`;
  const ratio = (b) => (b.at_8_bits > 0 ? `${sig(b.limit / b.at_8_bits, 3)}× of 8 bits` : "");

  const title = make("h3", {}), about = make("p", { class: "note" }), refused = make("div", { class: "refused" }), figures = make("div", { class: "tiles small" });
  const strip = make("div", { class: "scroll wide" }), stripLegend = make("div", {}), stripNote = make("p", { class: "note" });
  const heat = make("div", { class: "scroll wide" }), heatLegend = make("div", {}), heatNote = make("p", { class: "note" });
  const bitsPart = make("div", {}, heading("Bits of the layers"), stripNote, stripLegend, strip, heading("What fewer bits are expected to cost"), heatNote, heatLegend, heat);
  const which = make("div", { class: "controls", role: "group", "aria-label": "Which height" }), frontNote = make("p", { class: "note" });
  const front = make("div", { class: "chart tall", role: "img", "aria-label": "Expected rise of the loss, or measured accuracy, against what the budget limits" });
  const frontPart = make("div", {}, heading("Loss against the budget", which), frontNote, front);
  const layers = make("div", { class: "scroll limited tall" }), layersNote = make("p", { class: "note" }), layersPart = make("div", {}, heading("Layers"), layersNote, layers);
  const judged = make("div", { class: "scroll" }), judgedPart = make("div", {}, heading("Accuracies measured"), judged);
  const roof = cofrontRoofline(tools).part(heading, "layer");
  const fitted = make("div", {}), provenance = make("div", { class: "scroll" });

  function drawFigures() {
    const r = run(), float = r.float;
    title.textContent = r.title;
    title.hidden = card.titled(r.title); // which the page says above
    about.textContent = sentences([!card.stated(r.statement) && r.statement, `expected rise: ${r.sensitivity_words}`, !r.infeasible.includes(r.cost_note) && r.cost_note, r.floating.length && `left in floating point: ${r.floating.join(", ")}`, ...r.notes]);
    refused.hidden = !r.infeasible.length;
    refused.replaceChildren(make("p", {}, "Nothing meets the budget."), ...r.infeasible.map((t) => make("p", { class: "note" }, sentences([t]))));
    const times = Object.entries(r.seconds).sort((a, b) => b[1] - a[1]), sum = (values) => values.reduce((a, v) => a + v, 0);
    const weights = sum(r.layers.map((l) => l.weights));
    tiles(figures, [
      ...r.budgets.map((b) => [b.quantity, cost(b.quantity, b.taken), `${cost(b.quantity, b.limit)} allowed; ${cost(b.quantity, b.at_8_bits)} at 8 bits`]),
      float && ["floating point", accuracy(float.accuracy), images(float)],
      r.tested && ["test accuracy", accuracy(r.tested.accuracy), `${r.tested.what}, ${images(r.tested)}`],
      r.rise != null && ["expected rise", small(r.rise), r.exact ? "of the loss; proven least" : r.gap == null ? "of the loss; nothing is proven" : `of the loss; at most ${small(r.gap, 2)} above the least`],
      weights > 0 && ["bits on average", `${fixed(sum(r.layers.map((l) => l.weights * l.weight_bits)) / weights, 1)}\u00a0·\u00a0${fixed(sum(r.layers.map((l) => l.act_bits)) / r.layers.length, 1)}`, "of a weight · of a layer's input"],
      times.length && ["time", time(sum(times.map((t) => t[1]))), times.slice(0, 2).map(([k, v]) => `${k} ${time(v)}`).join(", ")]]);
  }

  function drawBits() {
    const r = run();
    bitsPart.hidden = !r.layers.length;
    if (bitsPart.hidden) return;
    const grouped = r.units.length < r.layers.length;
    stripNote.textContent = `A column for each layer, in order${grouped ? `; layers of a unit get bits together, and stand together (${r.units.length} units)` : ""}. Above: the layer's share of the multiply-accumulates and of the weights.`;
    stripLegend.replaceChildren(bits.widthLegend(r));
    bits.strip(strip, r);
    heatNote.textContent = `Rise of the loss, in nats, that the sensitivity model expects when that layer alone gets that width; its rise is the sum of both.`;
    heatLegend.replaceChildren(bits.heatLegend(r));
    bits.heat(heat, r);
  }

  // Heights on a log scale; where some are 0 or below, one that is linear around 0.
  function scale(values) {
    const sizes = values.map(Math.abs).filter((v) => v > 0), hi = Math.max(...sizes, 1e-12), lo = Math.min(...sizes, hi), log = values.every((v) => v > 0);
    const least = log ? lo : Math.max(lo, hi / 1e4), to = log ? Math.log10 : (v) => Math.sign(v) * Math.log10(1 + Math.abs(v) / least);
    const wide = Math.log10(hi / least), powers = [];
    for (let e = Math.floor(Math.log10(least)); e <= Math.ceil(Math.log10(hi)); e += Math.max(Math.ceil(wide / 7), 1)) for (const m of log && wide < 2.2 ? [1, 2, 5] : [1]) powers.push(m * 10 ** e);
    const marks = log ? powers : [...powers.filter(() => values.some((v) => v < 0)).map((v) => -v).toReversed(), 0, ...powers];
    const ends = [Math.min(...values.map(to)), Math.max(...values.map(to))], pad = 0.07 * Math.max(ends[1] - ends[0], 0.3), range = [ends[0] - pad, ends[1] + 1.6 * pad];
    const shown = marks.filter((v) => to(v) >= range[0] && to(v) <= range[1]);
    // close to 0 powers of ten would stand on each other
    const apart = shown.filter((v) => v === 0 || log || Math.abs(to(v)) > 0.06 * (range[1] - range[0]));
    return { to, log, axis: { range, tickvals: apart.map(to), ticktext: apart.map((v) => small(v)), zeroline: !log } };
  }

  function drawFront() {
    const r = run(), budget = r.budgets[0], quantity = budget?.quantity, known = r.points.filter((p) => quantity in p.costs);
    frontPart.hidden = !budget || !known.length;
    if (frontPart.hidden) return;
    const read = known.some((p) => p.accuracy != null), measured = state.measured && read, float = r.accuracies.find((a) => a.what === "floating point" && a.part === "validation");
    which.replaceChildren(...(read ? [button("expected rise", !measured, () => { state.measured = false; drawFront(); }), button("measured accuracy", measured, () => { state.measured = true; drawFront(); })] : []));
    const [factor, name] = unit(quantity, Math.max(...known.map((p) => p.costs[quantity]), budget.limit)), x = (p) => p.costs[quantity] * factor;
    const points = known.filter((p) => !measured || p.accuracy != null), of = (kind) => points.filter((p) => p.kind === kind).sort((a, b) => x(a) - x(b));
    const s = scale(known.map((p) => p.rise)), y = measured ? (p) => 100 * p.accuracy : (p) => s.to(p.rise);
    frontNote.textContent = measured
      ? `Validation accuracy${float ? ` (${float.images.toLocaleString("en")} images)` : ""} of the allocations on which it was read, before any refinement.`
      : `${known.some((p) => p.kind === "front") ? `Dots on the line are of the front of the sensitivity model: by it, no allocation that costs as little is expected to lose less.${r.budgets.length > 1 ? " The line heeds no other limit." : ""} ` : ""}${s.log ? "" : "Heights are linear close to 0 and logarithmic beyond: some are 0 or below. "}Uniform: one width for all layers that may have it.`;
    const words = (p) => `<b>${escape(p.kind === "front" ? "front" : p.label || p.kind)}</b><br>${Object.entries(p.costs).map(([k, v]) => `${escape(k)} ${cost(k, v, 4)}`).join("<br>")}<br>expected rise ${small(p.rise)}${p.accuracy == null ? "" : `<br>validation accuracy ${accuracy(p.accuracy)}`}`;
    const trace = (rows, extra) => ({ x: rows.map(x), y: rows.map(y), mode: "markers", text: rows.map(words), hovertemplate: "%{text}<extra></extra>", ...extra });
    const line = of("front"), uniform = of("uniform"), best = of("chosen"), random = of("random");
    const traces = [
      random.length && trace(random, { name: `random allocations (${random.length})`, marker: { color: css("--soft"), size: 6, opacity: 0.55 } }),
      line.length && trace(line, { mode: "lines+markers", name: measured ? "allocations of the front" : "front of the sensitivity model", line: { color: css("--accent"), width: measured ? 1 : 2, shape: measured ? "linear" : "hv", dash: measured ? "dot" : "solid" }, marker: { color: css("--accent"), size: 6 } }),
      uniform.length && trace(uniform, { name: "uniform", marker: { symbol: "square", color: css("--chosen"), size: 9, line: { color: css("--card"), width: 1 } } }),
      best.length && trace(best, { name: `chosen (${r.method})`, marker: { symbol: "star", color: css("--good"), size: 17, line: { color: css("--card"), width: 1.2 } } })].filter(Boolean);
    const xs = [...points.map(x), budget.limit * factor], lo = Math.min(...xs), hi = Math.max(...xs), log = hi / lo > 4, at = (v) => (log ? Math.log10(v) : v), pad = 0.06 * (at(hi) - at(lo) || 1);
    const range = [at(lo) - pad, at(hi) + 1.3 * pad], ticks = logTicks(lo, hi);
    const heights = measured ? [...points.map(y), ...(float ? [100 * float.accuracy] : [])] : [], room = 0.1 * Math.max(Math.max(...heights) - Math.min(...heights), 1);
    const yRange = measured ? [Math.min(...heights) - room, Math.min(Math.max(...heights) + room, 101)] : s.axis.range;
    const limit = at(budget.limit * factor), soft = { color: css("--ink"), width: 1.2, dash: "dash" };
    const shapes = [{ type: "line", xref: "x", yref: "paper", x0: budget.limit * factor, x1: budget.limit * factor, y0: 0, y1: 1, line: soft }];
    const right = limit < range[0] + 0.75 * (range[1] - range[0]);
    const annotations = [{ xref: "x", yref: "paper", x: limit, y: measured ? 0 : 1, yanchor: measured ? "bottom" : "top", xanchor: right ? "left" : "right", text: ` limit ${cost(quantity, budget.limit)} `, showarrow: false, font: { color: css("--ink"), size: 12 } }];
    if (measured && float) {
      shapes.push({ type: "line", xref: "paper", x0: 0, x1: 1, y0: 100 * float.accuracy, y1: 100 * float.accuracy, line: { color: css("--soft"), width: 1.2, dash: "dash" } });
      annotations.push({ xref: "paper", x: 0, xanchor: "left", y: 100 * float.accuracy, yanchor: "bottom", text: `floating point ${accuracy(float.accuracy)}`, showarrow: false, font: { color: css("--soft"), size: 12 } });
    }
    annotations.push(...named(uniform, points, { x: (p) => at(x(p)), y, range, yRange, measured }));
    Plotly.react(front, traces, layout({
      xaxis: { type: log ? "log" : "linear", range, ...(log ? { tickvals: ticks, ticktext: ticks.map((t) => sig(t)) } : {}), title: { text: `${quantity}${name && ` (${name})`}` } },
      yaxis: { ...(measured ? {} : s.axis), range: yRange, title: { text: measured ? "validation accuracy (%)" : "expected rise of the loss (nats)" } },
      legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 }, hovermode: "closest", margin: { t: 34 }, shapes, annotations }), config);
  }

  // Names of the uniform allocations, each on the side of its dot where the fewest other dots and names are.
  function named(uniform, points, { x, y, range, yRange, measured }) {
    const WIDE = Math.max(front.clientWidth - 90, 200), HIGH = 400, px = (p) => ((x(p) - range[0]) / (range[1] - range[0])) * WIDE, py = (p) => (1 - (y(p) - yRange[0]) / (yRange[1] - yRange[0])) * HIGH;
    const taken = points.map((p) => [px(p) - 6, py(p) - 6, px(p) + 6, py(p) + 6]), hits = (a) => taken.filter((b) => a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3]).length;
    // the front lies to the lower left of uniform allocations, or to the upper left of what was measured
    const up = [[1, -1], [1, 0], [0, -1], [1, 1], [-1, -1], [0, 1], [-1, 0], [-1, 1]], sides = measured ? up.map(([a, b]) => [a, -b]) : up;
    return uniform.map((p) => {
      const w = p.label.length * 7.5, place = ([a, b]) => { const cx = px(p) + a * (w / 2 + 8), cy = py(p) + b * 14; return [cx - w / 2, cy - 7, cx + w / 2, cy + 7]; };
      const outside = (box) => (box[0] < 0 || box[2] > WIDE || box[1] < 0 || box[3] > HIGH ? 9 : 0), [side] = sides.map((d) => [d, hits(place(d)) + outside(place(d))]).sort((a, b) => a[1] - b[1])[0];
      taken.push(place(side));
      return { x: x(p), y: y(p), text: escape(p.label), showarrow: false, xanchor: ["right", "center", "left"][side[0] + 1], yanchor: "middle", xshift: side[0] * 8, yshift: -side[1] * 14, font: { size: 11.5, color: css("--ink") } };
    });
  }

  function drawLayers() {
    const r = run(), units = Object.fromEntries(r.units.map((u) => [u.name, u])), grouped = r.units.length < r.layers.length;
    layersPart.hidden = !r.layers.length;
    if (layersPart.hidden) return;
    const quantities = [...new Set(r.units.flatMap((u) => Object.keys(u.costs)))];
    layersNote.textContent = quantities.length ? `${quantities.join(", ")}: of the ${grouped ? "unit" : "layer"} at its bits, and what that saves of its cost at 8 bits. Bits: of weights (W) and of what the layer reads (A).` : "What a layer costs alone is not known on this device, where layers share the accelerator.";
    layersNote.textContent = layersNote.textContent[0].toUpperCase() + layersNote.textContent.slice(1);
    const saving = (u, q) => { const was = u.at_8_bits[q], now = u.costs[q]; return was > 0 && now != null ? make("small", { class: "saves" }, ` ${now > was ? "+" : "−"}${fixed(Math.abs(100 * (1 - now / was)), 0)} %`) : ""; };
    const cell = (l, first, q) => { const u = units[l.unit]; return !first || u?.costs[q] == null ? "" : make("span", {}, cost(q, u.costs[q]), saving(u, q)); };
    layers.replaceChildren(table([{ title: "layer" }, ...(grouped ? [{ title: "unit" }] : []), { title: "operator" }, n("MACs"), n("weights"), { title: "bits" }, n("expected rise"), ...quantities.map((q) => n(q))],
      r.layers.map((l, i) => { const first = !i || r.layers[i - 1].unit !== l.unit; return [l.name, ...(grouped ? [first ? l.unit : ""] : []), l.op, metric(l.macs), metric(l.weights), `W${l.weight_bits}A${l.act_bits}`, small(l.rise), ...quantities.map((q) => cell(l, first, q))]; })));
  }

  function drawRest() {
    const r = run(), like = (a) => r.accuracies.find((b) => b.what === "floating point" && b.part === a.part && b.images === a.images), points = (v) => `${v < 0 ? "−" : "+"}${fixed(Math.abs(100 * v), 2)} points`;
    judgedPart.hidden = !r.accuracies.length;
    judged.replaceChildren(table([{ title: "network" }, { title: "on" }, n("images"), n("accuracy"), n("against floating point")],
      r.accuracies.map((a) => [a.what, `${a.part} images`, a.images.toLocaleString("en"), accuracy(a.accuracy), like(a) && like(a) !== a ? points(a.accuracy - like(a).accuracy) : "–"])));
    const { config: parts = {}, clock_hz: clock, ...others } = r.accelerator;
    const rows = [...Object.entries(parts), ...Object.entries(others), ...(clock ? [["clock", `${sig(clock / 1e6)} MHz`]] : [])];
    fitted.replaceChildren(...(rows.length ? [heading("The accelerator that was found with the bits"), table([{ title: "part" }, { title: "value", wrap: true }], rows.map(([k, v]) => [k.replaceAll("_", " "), v && typeof v === "object" && v.po === 0 ? "absent" : card.plain(v)]))] : []));
    provenance.replaceChildren(card.pairs(r.provenance));
  }

  return card.show({
    parts: [title, about, refused, figures, bitsPart, frontPart, roof.node, layersPart, judgedPart, fitted, heading("Where this run comes from"), provenance],
    label: (r) => `${r.id}: ${r.title}, ${r.budgets.map((b) => `${b.quantity} ${cost(b.quantity, b.limit)}`).join(", ") || "no limit"}, ${r.method}${r.infeasible.length ? ", infeasible" : ""}`,
    columns: [{ title: "model", wrap: true }, { title: "device" }, { title: "budget", wrap: true }, n("taken"), { title: "method" }, n("expected rise"), n("validation"), n("test")],
    row: (r) => [r.model, r.device || "–", r.budgets.map((b) => `${b.quantity} ${cost(b.quantity, b.limit)}${ratio(b) && ` (${ratio(b)})`}`).join(", ") || "–",
      r.infeasible.length ? "infeasible" : r.budgets.map((b) => cost(b.quantity, b.taken)).join(", ") || "–", `${r.method}${r.infeasible.length ? "" : r.exact ? ", proven" : r.gap == null ? ", no proof" : `, within ${small(r.gap, 2)}`}`,
      small(r.rise), accuracy(r.validated), accuracy(r.tested?.accuracy)],
    draw: () => { drawFigures(); drawBits(); drawFront(); roof.fill(run()); drawLayers(); drawRest(); },
    resized: () => { drawBits(); drawFront(); } });
}
