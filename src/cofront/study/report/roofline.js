"use strict";
// Rooflines on logarithmic axes: what calls reach of what multipliers and memory allow. `one` is of a design, each call in
// the colour of what limits it; `pair` of a network before and after, both points of a part joined.
function cofrontRoofline({ make, table, layout, css, seconds, sig, metric, escape, logTicks, config }) {
  const GIGA = 1e9, plainest = (ticks, wide) => ticks.filter((t) => !wide || /^1/.test(String(t).replace(/[0.]/g, "")));
  const roofLine = (x, y, line, more = {}) => ({ x, y, mode: "lines", line, hoverinfo: "skip", ...more });
  const rate = (macs, time) => macs / time / GIGA;

  // where the picture ends: room around the points and the ridge
  function bounds(intensities, speeds, ridges, band, peak) {
    const lo = Math.min(...intensities, ...ridges) / 1.6, hi = Math.max(...intensities, ...ridges) * 2.2;
    return { lo, hi, floor: Math.min(...speeds, lo * band) / 1.8, top: peak * 1.9 };
  }

  function axes({ lo, hi, floor, top }) {
    const fives = (t) => /^5/.test(String(t).replace(/[0.]/g, "")), all = logTicks(lo, hi), wide = hi / lo >= 60;
    const xt = wide ? all.filter((t) => plainest([t], true).length || (fives(t) && hi / lo < 2e3)) : all, yt = plainest(logTicks(floor, top), top / floor >= 60);
    return {
      xaxis: { type: "log", range: [Math.log10(lo), Math.log10(hi)], tickvals: xt, ticktext: xt.map((t) => sig(t)), title: { text: "MAC per byte of external memory" } },
      yaxis: { type: "log", range: [Math.log10(floor), Math.log10(top)], tickvals: yt, ticktext: yt.map((t) => sig(t)), title: { text: "GMAC/s" } } };
  }

  // Names of level roofs, beside the picture where nothing else is, from the highest down. One that would lie too far from
  // its line for those above it is left out.
  function names(roofs, { floor, top }, height, far = Infinity) {
    const line = ((Math.log10(top) - Math.log10(floor)) * 17) / Math.max(height - 110, 100), out = [];
    let below = Infinity;
    for (const r of [...roofs].sort((a, b) => b.peak - a.peak)) {
      const own = Math.log10(r.peak / GIGA), y = Math.min(own, below - line);
      if (own - y > far * line) continue;
      below = y;
      out.push({ xref: "paper", x: 1, xanchor: "left", yref: "y", y, yanchor: "middle", text: ` ${escape(r.name)}`, showarrow: false, font: { size: 11, color: r.colour ?? css("--soft") } });
    }
    return out;
  }

  function one(node, d, clock, patterns, colour) {
    const calls = d.calls.filter((c) => c.macs > 0 && c.dram_bytes > 0 && c.cycles > 0);
    node.hidden = !d.roof || !calls.length; // before anything is drawn, which has no size in what is hidden
    if (node.hidden) return "";
    const speed = (c) => rate(c.macs, c.cycles / clock), intensity = (c) => c.macs / c.dram_bytes;
    const peak = d.roof.peak_macs_per_s / GIGA, band = d.roof.bandwidth_bytes_per_s / GIGA, ridge = peak / band;
    // the whole network has also the calls that multiply nothing: they take time, and move bytes
    const sum = (key) => d.calls.reduce((a, c) => a + (c[key] ?? 0), 0), total = sum("cycles"), all = { x: sum("macs") / sum("dram_bytes"), y: rate(sum("macs"), total / clock) };
    const at = bounds([...calls.map(intensity), all.x], [...calls.map(speed), all.y], [ridge], band, peak);
    const traces = [roofLine([at.lo, ridge, at.hi], [at.lo * band, peak, peak], { color: css("--soft"), width: 2 }, { name: "roof" })];
    // the roof of each kernel by itself, from where memory could feed it
    const own = d.kernels.filter((k) => k.peak_macs_per_s);
    for (const k of own) traces.push(roofLine([Math.max(k.peak_macs_per_s / GIGA / band, at.lo), at.hi], [k.peak_macs_per_s / GIGA, k.peak_macs_per_s / GIGA], { color: colour(k.name), width: 1.2, dash: "dot" }, { showlegend: false }));
    for (const kind of Object.keys(patterns)) {
      const rows = calls.filter((c) => c.bound_by === kind);
      if (rows.length) traces.push({ x: rows.map(intensity), y: rows.map(speed), mode: "markers", name: kind, text: rows.map((c) => escape(c.name)),
        marker: { color: colour(kind), opacity: 0.85, size: rows.map((c) => 7 + 30 * Math.sqrt(c.cycles / total)), line: { color: css("--card"), width: 1 },
          symbol: { conv: "square", dw: "circle", pw: "diamond", memory: "triangle-up", overhead: "x" }[kind] },
        hovertemplate: "<b>%{text}</b><br>%{y:.3~g} GMAC/s at %{x:.3~g} MAC/byte<extra>limited by " + kind + "</extra>" });
    }
    traces.push({ x: [all.x], y: [all.y], mode: "markers", name: "whole network",
      marker: { symbol: "star", size: 15, color: css("--chosen"), line: { color: css("--card"), width: 1 } },
      hovertemplate: "<b>whole network</b><br>%{y:.3~g} GMAC/s<extra></extra>" });
    Plotly.react(node, traces, layout({ ...axes(at), legend: { orientation: "h", y: 1.01, yanchor: "bottom", x: 0, itemsizing: "constant" },
      annotations: names(own.map((k) => ({ name: `${k.name} alone`, peak: k.peak_macs_per_s })), at, parseFloat(node.style.height)), margin: { b: 44, t: 20, r: 74 } }), config);
    return `Peak ${sig(peak)} GMAC/s, memory ${sig(band)} GB/s; the ridge is at ${sig(ridge)} MAC/byte. A larger circle takes more of the time.`;
  }

  // ---- before and after ------------------------------------------------------------------------------------------------
  const intensity = (p) => p.macs / p.bytes, speed = (p) => rate(p.macs, p.seconds);
  // the highest roof at each precision
  function roofsOf(side) {
    const found = new Map();
    for (const p of side.points) found.set(p.precision, Math.max(found.get(p.precision) ?? 0, p.peak_macs_per_s));
    return [...found].map(([name, peak]) => ({ name, peak }));
  }
  const whole = (side) => {
    const sum = (key) => side.points.reduce((a, p) => a + p[key], 0);
    // older documents do not say what is moved where nothing is multiplied
    return { name: "whole network", macs: sum("macs"), bytes: side.bytes ?? sum("bytes"), seconds: side.latency_s, precision: "", bound_by: "", part: side.bytes == null };
  };
  const usable = (pair) => [pair?.before, pair?.after].every((s) => s && s.bandwidth_bytes_per_s > 0 && s.points.some((p) => p.bytes > 0 && p.seconds > 0));

  function pair(node, { before, after }) {
    const sides = [before, after].map((s) => ({ ...s, points: s.points.filter((p) => p.bytes > 0 && p.seconds > 0 && p.macs > 0), band: s.bandwidth_bytes_per_s / GIGA }));
    const colours = [css("--soft"), css("--accent")], both = sides.flatMap((s) => s.points), roofs = sides.map(roofsOf);
    const peak = Math.max(...roofs.flat().map((r) => r.peak)) / GIGA, band = Math.max(...sides.map((s) => s.band));
    const all = sides.map(whole), shown = [...both, ...all], at = bounds(shown.map(intensity), shown.map(speed), [peak / band], band, peak);
    const traces = [], labels = [];
    // memory's roof up to the highest level one; a second one only where the clock, and so the bandwidth, differs
    sides.forEach((s, i) => { if (!i || Math.abs(s.band / sides[0].band - 1) > 1e-3) traces.push(roofLine([at.lo, peak / s.band], [at.lo * s.band, peak], { color: css("--soft"), width: 2 }, { showlegend: false })); });
    sides.forEach((s, i) => roofs[i].forEach((r) => {
      // the same array at the same precision has one roof, before and after
      if (i && roofs[0].some((b) => b.name === r.name && Math.abs(b.peak / r.peak - 1) < 1e-3)) return;
      const level = r.peak / GIGA, same = !i && roofs[1].some((a) => a.name === r.name && Math.abs(a.peak / r.peak - 1) < 1e-3);
      traces.push(roofLine([Math.max(level / s.band, at.lo), at.hi], [level, level], { color: colours[i], width: i ? 1.4 : 2, dash: i ? "dot" : "solid" }, { showlegend: false }));
      labels.push({ name: i || same ? r.name : `${r.name} before`, peak: r.peak, colour: colours[i] });
    }));
    const named = sides.map((s) => Object.fromEntries(s.points.map((p) => [p.name, p])));
    const told = (s, p) => p ? `<br>${escape(s.label)}${p.precision && `, ${escape(p.precision)}`}: ${sig(speed(p))} GMAC/s at ${sig(intensity(p))} MAC/byte${p.part ? " of what multiplies" : ""}, ${seconds(p.seconds)}${p.bound_by && `, limited by ${escape(p.bound_by)}`}` : `<br>${escape(s.label)}: nothing is multiplied here`;
    const words = (name) => `<b>${escape(name)}</b>${sides.map((s, i) => told(s, named[i][name])).join("")}`;
    const joined = before.points.map((p) => p.name).filter((name) => named[0][name] && named[1][name]);
    traces.push({ x: joined.flatMap((k) => [intensity(named[0][k]), intensity(named[1][k]), null]), y: joined.flatMap((k) => [speed(named[0][k]), speed(named[1][k]), null]), mode: "lines",
      line: { color: css("--soft"), width: 1.3 }, opacity: 0.75, hoverinfo: "skip", showlegend: false });
    sides.forEach((s, i) => traces.push({ x: s.points.map(intensity), y: s.points.map(speed), mode: "markers", name: s.label, text: s.points.map((p) => words(p.name)), hovertemplate: "%{text}<extra></extra>",
      marker: { color: colours[i], symbol: i ? "circle" : "circle-open", opacity: i ? 0.85 : 1, size: s.points.map((p) => 6 + 24 * Math.sqrt(p.seconds / s.latency_s)), line: { color: i ? css("--card") : colours[0], width: i ? 1 : 1.5 } } }));
    const text = `<b>whole network</b>${sides.map((s, i) => told(s, all[i])).join("")}`;
    traces.push({ x: all.map(intensity), y: all.map(speed), mode: "lines+markers", name: "whole network", text: [text, text], hovertemplate: "%{text}<extra></extra>", line: { color: css("--chosen"), width: 1.6 },
      marker: { symbol: ["star-open", "star"], size: 14, color: css("--chosen"), opacity: 1, line: { color: css("--chosen"), width: 1.4 } } });
    Plotly.react(node, traces, layout({ ...axes(at), annotations: names(labels, at, node.clientHeight || 500, 1.2), hovermode: "closest",
      legend: { orientation: "h", y: 1.01, yanchor: "bottom", x: 0, itemsizing: "constant" }, margin: { b: 44, t: 20, r: 92 } }), config);
    const slow = (s) => `${s.points.filter((p) => p.bound_by === "memory").length} of ${s.points.length}`;
    return `A point is what multiplies in one go${before.label ? `: open, ${before.label}; full, ${after.label}` : ""}; a larger one takes more of its network's time. Memory gives ${sig(band)} GB/s and limits ${slow(sides[0])} points before, ${slow(sides[1])} after. The whole network: ${sig(speed(all[0]))} GMAC/s before, ${sig(speed(all[1]))} after.`;
  }

  // the same figures in words, `what` being a row
  function figures({ before, after }, what) {
    const n = (title) => ({ title, n: true }), named = [before, after].map((s) => Object.fromEntries(s.points.map((p) => [p.name, p])));
    const both = (name, of) => [named[0][name], named[1][name]].map((p) => (p ? of(p) : "–"));
    const order = [...new Set([...before.points, ...after.points].map((p) => p.name))];
    return table([{ title: what }, { title: "before" }, { title: "after" }, n("MAC/byte before"), n("after"), n("GMAC/s before"), n("after"), n("MACs before"), n("after"), { title: "limited by" }, { title: "after" }],
      order.map((k) => [k, ...both(k, (p) => p.precision || "–"), ...both(k, (p) => sig(intensity(p))), ...both(k, (p) => sig(speed(p))), ...both(k, (p) => metric(p.macs)), ...both(k, (p) => p.bound_by || "–")]));
  }

  // the part of a card: heading, a line, the picture and the table; `fill(run)` draws it
  function part(heading, what) {
    const note = make("p", { class: "note" }), chart = make("div", { class: "chart tall", role: "img", "aria-label": "Roofline before and after; the same figures are in the table below" });
    const rows = make("div", { class: "scroll limited" }), more = make("details", {}, make("summary", {}, "as a table"), rows), node = make("div", {}, heading("Roofline before and after"), note, chart, more);
    const fill = (r) => {
      const there = usable(r.roofline);
      node.hidden = !there && !r.roofline_note;
      chart.hidden = more.hidden = !there;
      note.textContent = there ? pair(chart, r.roofline) : r.roofline_note && `${r.roofline_note[0].toUpperCase()}${r.roofline_note.slice(1)}.`;
      rows.replaceChildren(...(there ? [figures(r.roofline, what)] : []));
    };
    return { node, fill };
  }

  return { one, part };
}
