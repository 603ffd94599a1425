"use strict";
// Differentiable searches: what they learnt, how they got there, and the network that came of it.
// `found`: {entries, selected}; `tools` are the page's own functions. Returns what draws everything again, for another theme.
function cofrontRuns(root, found, tools) {
  const { make, table, tiles, layout, css, seconds, sig, fixed, accuracy, percent, escape, logTicks, config } = tools;
  const card = cofrontCard(root, found, tools), { run, n, heading, button, sentences, course: small } = card, pictures = cofrontPictures(tools);
  const state = { model: true, network: 0, epoch: 0 };
  const signed = (v) => (v == null ? "–" : `${v < 0 ? "−" : "+"}${fixed(Math.abs(100 * v), 1)} %`);
  const points = (v) => (v == null ? "–" : `${fixed(100 * v, 2)} points`);
  const chart = (label, tall = "") => make("div", { class: `chart ${tall}`, role: "img", "aria-label": label });
  const title = make("h3", {}), about = make("p", { class: "note" }), figures = make("div", { class: "tiles small" });
  const models = make("div", { class: "controls", role: "group", "aria-label": "Which accuracy" }), frontNote = make("p", { class: "note" }), front = chart("Accuracy against latency of the networks that the search speaks of", "tall");
  const course = make("div", { class: "multiples" }), courseNote = make("p", { class: "note" });
  const which = make("div", { class: "controls", role: "group", "aria-label": "Which network" }), networkNote = make("p", { class: "note" }), network = make("div", {}), networkTable = make("div", { class: "scroll limited" });
  const networkPart = make("div", {}, heading("The network", which), networkNote, network, make("details", {}, make("summary", {}, "as a table"), networkTable));
  const shares = make("div", { class: "areas" }), sharesNote = make("p", { class: "note" }), sharesLegend = make("div", {}), epoch = make("input", { type: "range", min: 0 }), epochWord = make("output", {});
  const training = card.training("Training of the network from the start"), provenance = make("div", { class: "scroll" }), fitted = make("div", {});
  const frontPart = make("div", {}, heading("Accuracy against latency", models), frontNote, front);
  const courseCharts = {}, names = { latency: "Latency", loss: "Loss", entropy: "Entropy", temperature: "Temperature", multiplier: "Multiplier" };
  const key = (text, colour, dash = "solid") => make("span", { class: "key" }, make("i", { style: `border-top: 2px ${dash} var(${colour})` }), text);
  const asked = key("target", "--ink", "dashed");
  for (const [name, text] of Object.entries(names)) {
    courseCharts[name] = chart(`${text} over epochs`);
    const keys = name === "latency" ? [key("most likely", "--accent"), key("expected", "--chosen"), asked] : [];
    course.append(make("figure", {}, make("figcaption", {}, text, ...keys), courseCharts[name]));
  }

  function label(r) { return `${r.id}: ${r.system}${r.target_s == null ? "" : `, ${seconds(r.target_s)} asked`} (${r.preset}) on ${r.space}, ${r.device}${r.interrupted ? ", interrupted" : ""}`; }
  const now = () => run().networks[state.network];

  function drawFigures() {
    const r = run(), likely = r.likely, t = r.training;
    title.textContent = `${r.title}${r.interrupted ? " (interrupted)" : ""}`;
    title.hidden = card.titled(title.textContent); // which the page says above
    about.textContent = sentences([r.words, ...r.notes]);
    tiles(figures, [
      ["latency", seconds(r.latency_s), likely ? "of the most likely network" : "of the most likely network so far"],
      r.target_s != null && ["target", seconds(r.target_s), `${signed(r.target_error)} off`],
      likely && ["supernet accuracy", accuracy(likely.accuracy), "on validation images"],
      t && t.test != null && ["test accuracy", accuracy(t.test), `of the ${r.networks[r.chosen]?.role ?? "derived"} network, trained`],
      r.regret != null && ["regret", points(r.regret), "below the front, by the model"],
      ["search", seconds(r.search_s), `${r.history.epoch.length} epoch${r.history.epoch.length === 1 ? "" : "s"}`]]);
  }

  function drawFront() {
    const r = run(), model = state.model, ms = (v) => v * 1e3;
    const pair = (p) => [ms(p[0]), model ? p[1] : p[2]].map((v, i) => (i && v != null ? 100 * v : v));
    const known = (rows) => rows.map(pair).filter((p) => p[1] != null);
    const line = known(r.points.front), dots = known(r.points.random), judged = [...r.points.front, ...r.points.random].some((p) => p[2] != null);
    frontPart.hidden = !r.networks.some((n) => n.predicted != null) && !line.length && !dots.length;
    if (frontPart.hidden) return;
    models.replaceChildren(...(judged ? [button("additive model", model, () => { state.model = true; drawFront(); }), button("supernet", !model, () => { state.model = false; drawFront(); })] : []));
    frontNote.textContent = (model ? "Accuracy of the supernet on validation images, as an additive model of it predicts" : "Accuracy of the supernet itself on validation images, where it was read") +
      (line.length && model ? `; the line is the ${r.gap === 0 ? "certified front of that model: by it, no network of the space lies above" : `front of that model${r.gap == null ? "" : `, certified to ${fixed(100 * r.gap, 3)} points`}`}.` : ".") + (r.predictor_note ? ` Model: ${r.predictor_note}.` : "");
    const marks = { "most likely": ["diamond", css("--chosen"), 15], polished: ["star", css("--good"), 15], "certified optimum": ["square", css("--accent"), 11] };
    const shown = r.networks.map((n) => ({ ...n, y: model ? n.predicted : n.accuracy })).filter((n) => n.y != null);
    const traces = [
      { x: dots.map((p) => p[0]), y: dots.map((p) => p[1]), mode: "markers", name: `random networks (${dots.length})`, marker: { color: css("--soft"), size: 6, opacity: 0.55 }, hovertemplate: "%{y:.2f} % at %{x:.4~g} ms<extra>random</extra>" },
      { x: line.map((p) => p[0]), y: line.map((p) => p[1]), mode: model ? "lines" : "markers", name: model ? "front of the model" : "networks of the model's front", line: { color: css("--accent"), width: 2, shape: "hv" }, marker: { color: css("--accent"), size: 6 },
        hovertemplate: "%{y:.2f} % at %{x:.4~g} ms<extra>front</extra>" }].filter((t) => t.x.length);
    const likely = shown.find((n) => n.role === "most likely");
    if (model && likely && r.regret > 0) traces.push({ x: [ms(likely.latency_s), ms(likely.latency_s)], y: [100 * likely.y, 100 * (likely.y + r.regret)], mode: "lines", line: { color: css("--chosen"), width: 2, dash: "dot" }, name: `regret: ${points(r.regret)}`, hoverinfo: "skip" });
    for (const n of shown.toReversed()) { // the most likely one on top
      const [symbol, color, size] = marks[n.role] ?? ["circle", css("--ink"), 10];
      traces.push({ x: [ms(n.latency_s)], y: [100 * n.y], mode: "markers", name: `${n.role}${r.networks[r.chosen]?.role === n.role && r.training ? " (trained)" : ""}`, marker: { symbol, color, size, line: { color: css("--card"), width: 1.5 } },
        hovertemplate: `<b>${escape(n.role)}</b><br>${seconds(n.latency_s)}<br>predicted ${accuracy(n.predicted)}<br>supernet ${accuracy(n.accuracy)}<extra></extra>` });
    }
    const xs = [...traces.flatMap((t) => t.x), ...(r.target_s == null ? [] : [ms(r.target_s)])], lo = Math.min(...xs) / 1.04, hi = Math.max(...xs) * 1.04, every = logTicks(lo, hi), ticks = every.filter((_, i) => front.clientWidth > 500 || every.length < 5 || i % 2 === 0);
    const shapes = [], annotations = [];
    if (r.target_s != null) {
      shapes.push({ type: "line", xref: "x", yref: "paper", x0: ms(r.target_s), x1: ms(r.target_s), y0: 0, y1: 1, line: { color: css("--ink"), width: 1.2, dash: "dash" } });
      annotations.push({ xref: "x", yref: "paper", x: Math.log10(ms(r.target_s)), y: 0, yanchor: "bottom", xanchor: "left", text: ` target ${seconds(r.target_s)}`, showarrow: false, font: { color: css("--ink"), size: 12 } });
    }
    Plotly.react(front, traces, layout({
      xaxis: { type: "log", range: [Math.log10(lo), Math.log10(hi)], tickvals: ticks, ticktext: ticks.map((t) => sig(t)), title: { text: "latency of one image (ms)" } },
      yaxis: { title: { text: model ? "predicted accuracy of the supernet (%)" : "accuracy of the supernet (%)" } },
      legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 }, hovermode: "closest", margin: { t: 34 }, shapes, annotations }), config);
  }

  function drawCourse() {
    const r = run(), h = r.history, x = h.epoch.map((e) => e + 1), frozen = h.loss.findIndex((v) => v != null), ms = (values) => values.map((v) => v * 1e3);
    // while nothing but weights is trained
    const rest = frozen > 0 ? [{ type: "rect", xref: "x", yref: "paper", x0: 0.5, x1: frozen + 0.5, y0: 0, y1: 1, fillcolor: css("--shade"), line: { width: 0 }, layer: "below" }] : [];
    courseNote.textContent = `State at the end of each epoch. ${frozen > 0 ? `Shaded: the first ${frozen === 1 ? "epoch" : `${frozen} epochs`}, in which the architecture is frozen. ` : ""}Loss: mean on the architecture's images; entropy: mean of the layers, in nats.`;
    const target = r.target_s == null ? [] : [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: 1e3 * r.target_s, y1: 1e3 * r.target_s, line: { color: css("--ink"), width: 1.2, dash: "dash" } }];
    asked.hidden = r.target_s == null;
    small(courseCharts.latency, [{ x, y: ms(h.likely_s), name: "most likely" }, { x, y: ms(h.expected_s), name: "expected" }], { ticksuffix: " ms" }, [...rest, ...target]);
    small(courseCharts.loss, [{ x, y: h.loss }], {}, rest);
    small(courseCharts.entropy, [{ x, y: h.entropy }], { rangemode: "tozero" }, rest);
    small(courseCharts.temperature, [{ x, y: h.temperature }], { rangemode: "tozero" }, rest);
    const pulled = h.multiplier.some((v) => v != null);
    courseCharts.multiplier.parentElement.hidden = !pulled;
    if (pulled) small(courseCharts.multiplier, [{ x, y: h.multiplier }], {}, rest);
  }

  function drawNetwork() {
    const r = run(), n = now();
    networkPart.hidden = !n;
    if (!n) return;
    which.replaceChildren(...(r.networks.length > 1 ? r.networks.map((one, i) => button(one.role, i === state.network, () => { state.network = i; drawNetwork(); })) : []));
    const blocks = pictures.blocks(r, n), priced = blocks[0].cost != null, cells = Boolean(r.cells);
    const facts = [`${n.role[0].toUpperCase()}${n.role.slice(1)}${r.training && state.network === r.chosen ? ", the one that was trained" : ""}: ${seconds(n.latency_s)}`];
    if (n.accuracy != null) facts.push(`${accuracy(n.accuracy)} by the supernet`);
    if (n.macs != null) facts.push(`${sig(n.macs / 1e6)} M multiply-accumulates`, `${sig(n.params / 1e6)} M parameters`);
    const differs = blocks.filter((b) => b.other).length;
    networkNote.textContent = `${facts.join(", ")}. ` + (cells ? "Edges that the cells keep, with their operation; an output joins all nodes." : `Each block is a layer${priced ? ", as wide as its share of the latency" : "; the device's cost does not add up over layers"}${blocks.some((b) => b.option.expand) ? ", as high as its expansion" : ""}.`) +
      (differs ? ` ${cells ? "" : "Framed: "}${differs} layer${differs > 1 ? "s differ" : " differs"} from the most likely network.` : "");
    network.className = cells ? "cells" : "chain";
    pictures[cells ? "cells" : "chain"](network, r, n);
    networkTable.replaceChildren(table([{ title: cells ? "edge" : "layer" }, { title: "option" }, { title: "probability", n: true }, ...(priced ? [{ title: "time", n: true }, { title: "share", n: true }] : []), { title: "instead", wrap: true }],
      blocks.map((b) => [b.layer, b.option.label, pictures.share(b.p), ...(priced ? [seconds(b.cost), percent(b.part, 1)] : []), b.others.map(([p, name]) => `${name} ${pictures.share(p)}`).join(", ")])));
  }

  function drawShares() {
    const r = run(), used = new Set(r.layers.flatMap((layer) => layer.options.filter((_, o) => layer.allowed[o])));
    sharesNote.textContent = `One picture for each ${r.cells ? "edge" : "layer"}: epochs from left to right, the probabilities of its options stacked. Above it the most likely option of the ${state.epoch === r.history.epoch.length - 1 ? "last epoch" : "epoch chosen"}.${r.cells && r.networks.length ? " Framed: edges that the network keeps." : ""}`;
    sharesLegend.replaceChildren(pictures.legend(r.palette, (i) => used.has(i)));
    epoch.max = String(r.history.epoch.length - 1);
    epoch.value = String(state.epoch);
    epoch.disabled = r.history.epoch.length < 2;
    epochWord.textContent = `${r.history.epoch[state.epoch] + 1} of ${r.history.epoch.at(-1) + 1}`;
    pictures.areas(shares, r, state.epoch);
  }

  function drawOrigin() {
    const rows = Object.entries(run().fitted).filter(([, v]) => v != null && v !== "");
    fitted.replaceChildren(...(rows.length ? [heading("On the best accelerator for it"), table([{ title: "" }, { title: "", wrap: true }], rows.map(([k, v]) => [k.replaceAll("_", " "), /_s$/.test(k) && typeof v === "number" ? seconds(v) : card.plain(v, 4)]))] : []));
    provenance.replaceChildren(card.pairs(run().provenance));
  }

  for (const r of found.entries) r.likely = r.networks.find((one) => one.role === "most likely");
  epoch.addEventListener("input", () => { state.epoch = Number(epoch.value); drawShares(); });
  return card.show({
    parts: [title, about, figures, frontPart, heading("How the search went"), courseNote, course, networkPart,
      heading("Probability of each option", make("label", { class: "slide" }, "epoch", epoch, epochWord)), sharesNote, sharesLegend, shares, training.node, fitted, heading("Where this run comes from"), provenance],
    label,
    columns: [{ title: "system" }, { title: "space", wrap: true }, n("latency"), n("target"), n("off by"), n("supernet"), n("trained"), n("test"), n("regret"), n("search")],
    row: (r) => [`${r.system}${r.interrupted ? " (interrupted)" : ""}`, `${r.space}, ${r.device}`, seconds(r.latency_s), seconds(r.target_s), signed(r.target_error), accuracy(r.accuracy), seconds(r.trained_s), accuracy(r.test), points(r.regret), seconds(r.search_s)],
    picked: () => { state.network = run().chosen ?? 0; state.epoch = run().history.epoch.length - 1; },
    draw: () => { drawFigures(); drawFront(); drawCourse(); drawNetwork(); drawShares(); training.fill(run().training); drawOrigin(); },
    resized: () => { drawNetwork(); drawShares(); } });
}
