"use strict";
// Networks with cheaper operators: what each operator costs in loss and saves in time, which were chosen, and what came of
// it. `found`: {entries, selected}; `tools` are the page's own functions. Returns what draws everything again.
function cofrontAccelerated(root, found, tools) {
  const { make, table, tiles, layout, css, seconds, sig, fixed, accuracy, metric, escape, logTicks, config } = tools;
  const card = cofrontCard(root, found, tools), { run, n, heading, sentences, small, time } = card;
  const pictures = cofrontPictures(tools), map = cofrontHeat({ ...tools, small }, pictures);
  const share = (v) => accuracy(v).replace(" ", "\u00a0");
  const times = (v) => (v == null ? "–" : `${fixed(v, 2)}×`), signed = (v) => (v > 0 ? `+${small(v)}` : small(v));
  const best = (r) => (r.chosen == null ? null : r.solutions[r.chosen]), plural = (count, noun) => `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;

  const title = make("h3", {}), about = make("p", { class: "note" }), figures = make("div", { class: "tiles small" });
  const frontNote = make("p", { class: "note" }), front = make("div", { class: "chart tall", role: "img", "aria-label": "Loss against latency: the exact front of the predicted loss, and solutions with their operators swapped in" });
  const frontPart = make("div", {}, heading("Loss against latency"), frontNote, front);
  const heat = make("div", { class: "scroll wide" }), heatLegend = make("div", {}), heatNote = make("p", { class: "note" }), heatPart = make("div", {}, heading("What each operator costs in loss"), heatNote, heatLegend, heat);
  const units = make("div", { class: "scroll limited tall" }), unitsNote = make("p", { class: "note" }), unitsPart = make("div", {}, heading("Units"), unitsNote, units);
  const roof = cofrontRoofline(tools).part(heading, "unit"), training = card.training("Fine-tuning with the teacher's answers"), provenance = make("div", { class: "scroll" });

  function drawFigures() {
    const r = run(), t = r.training, m = r.measured;
    title.textContent = `${r.title}${r.interrupted ? " (interrupted)" : ""}`;
    title.hidden = card.titled(title.textContent); // which the page says above
    about.textContent = sentences([!card.stated(r.statement) && r.statement, r.latency_note && `latency: ${r.latency_note}`, ...r.notes]);
    tiles(figures, [
      r.before_s > 0 && ["latency", time(r.latency_s ?? r.before_s), r.latency_s == null ? `of the teacher; ${time(r.limit_s)} allowed` : `${time(r.limit_s)} allowed; ${time(r.before_s)} before`],
      r.speed_up && ["speed-up", times(r.speed_up), "by the device's prices"],
      m && ["measured", times(m.speed_up), `95 %: ${fixed(m.interval_95[0], 2)} to ${fixed(m.interval_95[1], 2)}; ${time(m.before_s)} to ${time(m.after_s)}, ${plural(m.visits, "visit")} each`],
      t?.test != null && ["test accuracy", accuracy(t.test), `teacher ${share(r.teacher_test)}, ${plural(t.test_images, "image")}`],
      r.validation != null && ["validation", accuracy(r.validation), `teacher ${share(r.teacher_validation)}`],
      r.macs.length === 2 && ["MACs", metric(r.macs[1]), `${metric(r.macs[0])} before`],
      r.params.length === 2 && ["parameters", metric(r.params[1]), `${metric(r.params[0])} before`]]);
  }

  function drawFront() {
    const r = run(), found = r.losses;
    frontPart.hidden = !found;
    if (!found) return;
    const most = Math.max(r.before_s, ...found.solutions.filter(Boolean).map((p) => p[0])), [factor, unit] = most >= 1 ? [1, "s"] : most >= 1e-3 ? [1e3, "ms"] : [1e6, "µs"], x = (p) => p[0] * factor, y = (p) => p[1];
    const count = (s) => plural(s.operators.filter((o, i) => o !== r.units[i].names[0]).length, "unit");
    const words = (s, i) => `<b>${i === r.chosen ? "chosen" : i ? `solution ${i + 1}` : "exact optimum of the sum of changes"}</b><br>${seconds(s.latency_s)}, another operator in ${count(s)}<br>change of the loss ${signed(s.predicted)} by the sum<br>loss ${sig(s.loss, 4)}, ${accuracy(s.accuracy)} swapped in<br>before fine-tuning`;
    const others = r.solutions.map((_, i) => i).filter((i) => i !== r.chosen && found.solutions[i]), teacher = found.teacher;
    const dots = (rows, extra) => ({ x: rows.map((i) => x(found.solutions[i])), y: rows.map((i) => y(found.solutions[i])), mode: "markers", text: rows.map((i) => words(r.solutions[i], i)), hovertemplate: "%{text}<extra></extra>", ...extra });
    const traces = [
      found.front.length && { x: found.front.map(x), y: found.front.map(y), mode: "lines", name: "exact front of the predicted loss", line: { color: css("--accent"), width: 2, shape: "hv" }, hovertemplate: `predicted loss %{y:.4~g} at %{x:.4~g} ${unit}<extra></extra>` },
      others.length && dots(others, { name: "solutions swapped in", marker: { color: css("--accent"), size: 8, opacity: 0.6, line: { color: css("--card"), width: 1 } } }),
      { x: [x(teacher)], y: [y(teacher)], mode: "markers", name: "teacher", marker: { symbol: "diamond", color: css("--chosen"), size: 12, line: { color: css("--card"), width: 1 } }, hovertemplate: `<b>teacher</b><br>${seconds(r.before_s)}, loss %{y:.4~g}<extra></extra>` },
      dots([r.chosen], { name: "chosen, before fine-tuning", marker: { symbol: "star", color: css("--good"), size: 17, line: { color: css("--card"), width: 1.2 } } })].filter(Boolean);
    const xs = [...traces.flatMap((t) => t.x), r.limit_s * factor], lo = Math.min(...xs), hi = Math.max(...xs), log = hi / lo > 4, at = (v) => (log ? Math.log10(v) : v), pad = 0.06 * (at(hi) - at(lo) || 1), range = [at(lo) - pad, at(hi) + 1.3 * pad], ticks = logTicks(lo, hi);
    const limit = at(r.limit_s * factor), left = limit > range[0] + 0.25 * (range[1] - range[0]);
    frontNote.textContent = `On training images that were held back. The line is exact: no choice of operators that is as fast has a smaller sum of single changes. ${plural(r.solutions.length, "solution")} within the budget ${r.solutions.length === 1 ? "was" : "were"} checked with all operators swapped in and norms taken anew; the one of the least loss is chosen, and fine-tuned.${found.left_out ? ` Not drawn: ${plural(found.left_out, "solution")} that ${found.left_out === 1 ? "loses" : "lose"} more than ${sig(found.most)}.` : ""}`;
    Plotly.react(front, traces, layout({
      xaxis: { type: log ? "log" : "linear", range, ...(log ? { tickvals: ticks, ticktext: ticks.map((t) => sig(t)) } : {}), title: { text: `latency of one image (${unit})` } },
      yaxis: { title: { text: "loss (nats)" } }, legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 }, hovermode: "closest", margin: { t: 34 },
      shapes: [{ type: "line", xref: "x", yref: "paper", x0: r.limit_s * factor, x1: r.limit_s * factor, y0: 0, y1: 1, line: { color: css("--ink"), width: 1.2, dash: "dash" } }],
      annotations: [{ xref: "x", yref: "paper", x: limit, y: 1, yanchor: "top", xanchor: left ? "right" : "left", text: ` limit ${time(r.limit_s)} `, showarrow: false, font: { color: css("--ink"), size: 12 } }] }), config);
  }

  const LETTER = 6.7, MOST = 10; // a loss that rises by more nats is as bad as any
  function drawHeat() {
    const r = run(), open = r.units.filter((u) => u.names.length > 1), rest = r.units.length - open.length;
    heatPart.hidden = !open.length;
    if (heatPart.hidden) return;
    const tall = r.operators.length > 45; // then it has a scroll bar of its own, for which there must be room
    heat.className = `scroll wide${tall ? " limited tall" : ""}`;
    heat.style.overflowY = tall ? "scroll" : "";
    const left = Math.max(...r.operators.map((o) => o.length)) * LETTER + 14, c = map.columns(heat, open.map((u) => u.name), left), height = tall ? 16 : 21, foot = height * r.operators.length + 4;
    const labels = open.map((u) => u.name), number = (u, o) => u.names.indexOf(o), refused = (u, o) => number(u, o) >= 0 && u.seconds[number(u, o)] == null;
    const said = open.map((u) => `${u.name} ${u.chosen}`).join(", "), values = open.flatMap((u) => u.change), s = map.span(values, MOST);
    const picture = pictures.svg("svg", { ...pictures.frame(c.wide, foot + map.names(null, labels, c, 0)), role: "img", "aria-label": `Change of the loss by each operator of each unit. Chosen: ${said}.` });
    const words = (i, o, v) => { const u = open[i], k = number(u, o); return [`${u.name}: ${o}`, `change of the loss ${signed(v)}`, ...(u.error[k] == null ? [] : [`error ${sig(u.error[k])}`]), u.seconds[k] == null ? "the device cannot run it" : `${seconds(u.seconds[k])}${k ? `, ${saving(u.seconds[0] - u.seconds[k])}` : ""}`, ...(u.chosen === o ? ["chosen"] : [])]; };
    const frames = map.cells(picture, c, s, { top: 1, height, rows: r.operators, name: (o) => o, value: (i, o) => open[i].change[number(open[i], o)], words, taken: (i, o) => open[i].chosen === o });
    open.forEach((u, i) => r.operators.forEach((o, row) => { if (refused(u, o)) picture.append(map.text("×", { x: c.at[i] + c.each - 7, y: row * height + 9, "text-anchor": "middle", "font-size": 12, "font-weight": 700 })); }));
    picture.append(...frames);
    map.names(picture, labels, c, foot - 2);
    heat.replaceChildren(picture);
    heatNote.textContent = `Change of the loss, in nats, when that unit alone has that operator. Without a cell: its shapes do not admit it.${rest ? ` ${plural(rest, "further unit")} ${rest === 1 ? "has" : "have"} the teacher's operator alone.` : ""}`;
    heatLegend.replaceChildren(map.legend(s, { zero: "no change", negative: "below 0", taken: "chosen", more: [...(s.over ? [`${MOST} and more: alike`] : []), ...(open.some((u) => u.names.some((o) => refused(u, o))) ? ["×: the device cannot run it"] : [])] }));
  }
  const saving = (v) => (v >= 0 ? `saves ${seconds(v)}` : `takes ${seconds(-v)} more`);

  function drawUnits() {
    const r = run(), k = (u) => u.names.indexOf(u.chosen);
    unitsPart.hidden = !r.units.length;
    if (unitsPart.hidden) return;
    unitsNote.textContent = "Change of the loss: of that operator alone, on the images held back. Error: mean square of what it gives wrong, over the variance of what the unit gives.";
    units.replaceChildren(table([{ title: "unit" }, { title: "operator" }, n("of"), n("the teacher's takes"), n("takes"), n("saves"), n("change of the loss"), n("error")],
      r.units.map((u) => [u.name, u.chosen === u.names[0] ? make("span", { class: "saves" }, u.chosen) : u.chosen, String(u.names.length), u.names.length > 1 ? time(u.seconds[0]) : "–", u.names.length > 1 ? time(u.seconds[k(u)]) : "–", u.saved_s ? time(u.saved_s) : "–", signed(u.change[k(u)]), u.error[k(u)] == null ? "–" : sig(u.error[k(u)])])));
  }

  return card.show({
    parts: [title, about, figures, frontPart, heatPart, unitsPart, roof.node, training.node, heading("Where this run comes from"), provenance],
    label: (r) => `${r.id}: ${r.title}, ${r.budget}${r.interrupted ? ", interrupted" : ""}`,
    columns: [{ title: "model", wrap: true }, { title: "device" }, { title: "budget" }, n("limit"), n("latency"), n("speed-up"), n("measured"), n("validation"), n("test"), n("teacher")],
    row: (r) => [r.model, r.device, `${r.budget}${r.interrupted ? " (interrupted)" : ""}`, r.limit_s ? time(r.limit_s) : "–", time(r.latency_s), times(r.speed_up), times(r.measured?.speed_up), accuracy(r.validation), accuracy(r.training?.test), accuracy(r.teacher_test)],
    draw: () => { drawFigures(); drawFront(); drawHeat(); drawUnits(); roof.fill(run()); training.fill(run().training?.epochs ? run().training : null); provenance.replaceChildren(card.pairs(run().provenance)); },
    resized: () => drawHeat() });
}
