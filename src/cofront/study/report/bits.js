"use strict";
// Pictures of a network's bits, a column for each layer: widths taken, and what every width is expected to cost in loss.
// `run`: {layers, weight_bits, act_bits}, as in the document of `cofront quantize`.
function cofrontBits(tools, pictures) {
  const { make, css, metric, percent, small } = tools, { svg, frame, tell, ink, channels, dark } = pictures;
  const LEFT = 104, LETTER = 6.1, LONGEST = 20, LEAST = 16, MOST = 110;
  const WIDTHS = { light: ["#f6d55c", "#9fd08a", "#45b0a0", "#2f7fb5", "#27508f"], dark: ["#ffe083", "#aedc8e", "#55bfab", "#4597d3", "#5570c4"] };
  const RISES = { light: ["#fdf3e3", "#fbd39a", "#f0914a", "#c8432b", "#6d1020"], dark: ["#33262a", "#6b3a2a", "#b9562b", "#f59a4e", "#ffe6b8"] };
  const ramp = (stops, t) => {
    const at = Math.min(Math.max(t, 0), 1) * (stops.length - 1), i = Math.min(Math.floor(at), stops.length - 2), part = at - i;
    return "#" + channels(stops[i]).map((v, c) => Math.round(v * (1 - part) + channels(stops[i + 1])[c] * part).toString(16).padStart(2, "0")).join("");
  };
  const of = (both) => (dark() ? both.dark : both.light);
  const width = (bits) => ramp(of(WIDTHS), (bits - 1) / 7);
  const text = (content, extra) => svg("text", { "font-size": 12, fill: css("--ink"), "pointer-events": "none", "dominant-baseline": "central", ...extra }, content);
  const shorten = (name) => (name.length <= LONGEST ? name : `${name.slice(0, 7)}…${name.slice(name.length - LONGEST + 8)}`);
  const words = (n) => [n.name, `${n.op}${n.unit === n.name ? "" : `, in ${n.unit}`}`, `${n.weight_bits} bits of weights, ${n.act_bits} of activations`, `${metric(n.macs)} multiply-accumulates, ${metric(n.weights)} weights`];

  // Where columns lie: units of several layers stand a little apart from each other.
  function columns(root, layers) {
    const apart = layers.map((n, i) => (i && layers[i - 1].unit !== n.unit ? 1 : 0)), grouped = apart.reduce((a, v) => a + v, 0) < layers.length - 1;
    const gap = grouped ? 4 : 0, room = root.clientWidth - LEFT - 2 - gap * apart.reduce((a, v) => a + v, 0);
    const each = Math.min(Math.max(room / layers.length, LEAST), MOST);
    let x = LEFT;
    const at = layers.map((_, i) => { x += gap * apart[i]; const here = x; x += each; return here; });
    return { at, each, wide: Math.ceil(x + 2) };
  }

  // Names under the columns; what they need is their height.
  function names(picture, layers, { at, each }, top) {
    const shown = layers.map((n) => shorten(n.name)), longest = Math.max(...shown.map((t) => t.length)) * LETTER, flat = longest + 4 < each;
    if (picture) shown.forEach((name, i) => {
      const x = at[i] + each / 2, y = top + 10;
      picture.append(text(name, { x, y, fill: css("--soft"), "font-size": 11, ...(flat ? { "text-anchor": "middle" } : { "text-anchor": "end", transform: `rotate(-60 ${x} ${y})` }) }));
    });
    return flat ? 22 : longest * Math.sin(Math.PI / 3) + 20;
  }

  const label = (content, y) => text(content, { x: LEFT - 9, y, "text-anchor": "end", fill: css("--soft"), "font-size": 12 });

  // ---- the bits taken --------------------------------------------------------------------------------------------------
  function strip(root, run) {
    const { layers } = run, c = columns(root, layers), BAR = 40, CELL = 28, GAP = 10;
    const rows = [["MACs", "macs"], ["weights", "weights"]].map(([name, key]) => ({ name, values: layers.map((n) => n[key]), sum: layers.reduce((a, n) => a + n[key], 0) })).filter((r) => r.sum > 0);
    const foot = rows.length * (BAR + GAP) + 2 * (CELL + 3) + 4;
    const said = layers.map((n) => `${n.name} ${n.weight_bits} and ${n.act_bits}`).join(", ");
    const picture = svg("svg", { ...frame(c.wide, foot + names(null, layers, c, 0)), role: "img", "aria-label": `Bits of weights and activations, layer by layer: ${said}. The table of layers says the same.` });
    rows.forEach((row, r) => {
      const base = (r + 1) * BAR + r * GAP, most = Math.max(...row.values);
      picture.append(label(row.name, base - BAR / 2), svg("line", { x1: LEFT, x2: c.wide - 2, y1: base, y2: base, stroke: css("--line"), "stroke-width": 1 }));
      row.values.forEach((v, i) => {
        const height = Math.max((v / most) * (BAR - 13), v > 0 ? 1 : 0);
        const bar = svg("rect", { x: c.at[i] + 1, y: base - height, width: Math.max(c.each - 2, 1), height, fill: css("--soft"), opacity: 0.55 });
        tell(bar, () => [...words(layers[i]), `${percent(v / row.sum, 1)} of all ${row.name}`]);
        picture.append(bar);
        if (c.each > 34) picture.append(text(percent(v / row.sum, v / row.sum < 0.0995 ? 1 : 0), { x: c.at[i] + c.each / 2, y: base - height - 7, "text-anchor": "middle", fill: css("--soft"), "font-size": 10.5 }));
      });
    });
    [["weight bits", "weight_bits"], ["activation bits", "act_bits"]].forEach(([name, key], r) => {
      const y = rows.length * (BAR + GAP) + r * (CELL + 3);
      picture.append(label(name, y + CELL / 2));
      layers.forEach((n, i) => {
        const fill = width(n[key]), cell = svg("rect", { x: c.at[i] + 0.75, y, width: c.each - 1.5, height: CELL, rx: 3, fill });
        tell(cell, () => words(n));
        picture.append(cell, text(String(n[key]), { x: c.at[i] + c.each / 2, y: y + CELL / 2, "text-anchor": "middle", fill: ink(fill), "font-size": c.each < 18 ? 11 : 12.5, "font-weight": 600 }));
      });
    });
    names(picture, layers, c, foot);
    root.replaceChildren(picture);
  }

  function widthLegend(run) {
    const used = [...new Set(run.layers.flatMap((n) => [n.weight_bits, n.act_bits]))].sort((a, b) => a - b);
    const count = (key, what, bits) => { const layers = run.layers.filter((n) => n[key] === bits).length; return layers ? [`${what} of ${layers}`] : []; };
    return make("div", { class: "options" }, ...used.map((bits) => make("span", {}, make("span", {}, make("i", { style: `background:${width(bits)}` }),
      `${bits} bit${bits === 1 ? "" : "s"}: ${[...count("weight_bits", "weights", bits), ...count("act_bits", "activations", bits)].join(", ")}`))));
  }

  // ---- what every width is expected to cost ----------------------------------------------------------------------------
  // Logarithms that the colours span: at most seven powers of ten, for below a millionth of the largest all is alike.
  function span(run) {
    const all = run.layers.flatMap((n) => [...n.rise_by_weight_bits, ...n.rise_by_act_bits]), positive = all.filter((v) => v > 0);
    const hi = positive.length ? Math.log10(Math.max(...positive)) : 0, lo = positive.length ? Math.max(Math.log10(Math.min(...positive)), hi - 7) : -1;
    return { lo: Math.min(lo, hi - 0.5), hi, zero: all.some((v) => v === 0), negative: all.some((v) => v < 0) };
  }
  const colour = (v, s) => (v > 0 ? ramp(of(RISES), (Math.log10(v) - s.lo) / (s.hi - s.lo)) : v < 0 ? css("--accent-soft") : css("--bar"));

  function heat(root, run) {
    const { layers } = run, c = columns(root, layers), s = span(run), most = Math.max(run.weight_bits.length, run.act_bits.length), ROW = most > 4 ? 21 : most > 2 ? 26 : 31, BETWEEN = 14;
    const parts = [["weights", run.weight_bits, "rise_by_weight_bits", "weight_bits"], ["activations", run.act_bits, "rise_by_act_bits", "act_bits"]];
    const foot = ROW * (run.weight_bits.length + run.act_bits.length) + BETWEEN + 4;
    const picture = svg("svg", { ...frame(c.wide, foot + names(null, layers, c, 0)), role: "img",
      "aria-label": "Expected rise of the loss of each layer at each width of its weights and of its activations; the rise at the widths taken is in the table of layers" });
    let top = 1;
    const frames = [];
    for (const [what, bits, key, taken] of parts) {
      picture.append(text(what, { x: 14, y: top + (ROW * bits.length) / 2, "text-anchor": "middle", transform: `rotate(-90 14 ${top + (ROW * bits.length) / 2})`, fill: css("--soft") }));
      bits.toReversed().forEach((b, r) => {
        const y = top + r * ROW, w = bits.length - 1 - r;
        picture.append(label(`${b} bit${b === 1 ? "" : "s"}`, y + ROW / 2));
        layers.forEach((n, i) => {
          const v = n[key][w], fill = colour(v, s), box = { x: c.at[i] + 0.5, y: y + 0.5, width: c.each - 1, height: ROW - 1 };
          const cell = svg("rect", { ...box, fill });
          tell(cell, () => [`${n.name}: ${what} at ${b} bit${b === 1 ? "" : "s"}`, `expected rise of the loss ${small(v)}`, ...(n[taken] === b ? ["the width taken"] : [`taken: ${n[taken]}`])]);
          picture.append(cell);
          const shown = v === 0 ? "0" : c.each >= 52 ? small(v, 2) : v < 0 ? "−" : "";
          if (shown) picture.append(text(shown, { x: c.at[i] + c.each / 2, y: y + ROW / 2, "text-anchor": "middle", "font-size": 10, fill: v > 0 ? ink(fill) : css("--soft") }));
          if (n[taken] === b) frames.push(svg("rect", { ...box, x: box.x + 0.5, y: box.y + 0.5, width: box.width - 1, height: box.height - 1, rx: 2, fill: "none", stroke: css("--ink"), "stroke-width": 2, "pointer-events": "none" }));
        });
      });
      top += ROW * bits.length + BETWEEN;
    }
    picture.append(...frames); // over the cells, whose edges would cut them
    names(picture, layers, c, foot - 6);
    root.replaceChildren(picture);
  }

  function heatLegend(run) {
    const s = span(run), WIDE = 260, steps = 52, decades = s.hi - s.lo, every = Math.ceil(decades / 4), first = Math.ceil(s.lo - 1e-9);
    const scale = svg("svg", { ...frame(WIDE + 40, 34), role: "img", "aria-label": `Colours from ${small(10 ** s.lo)} to ${small(10 ** s.hi)}` });
    for (let i = 0; i < steps; i++) scale.append(svg("rect", { x: 20 + (i * WIDE) / steps, y: 1, width: WIDE / steps + 0.6, height: 13, fill: ramp(of(RISES), (i + 0.5) / steps) }));
    for (let e = first; e <= s.hi + 1e-9; e += every) scale.append(text(small(10 ** e), { x: 20 + ((e - s.lo) * WIDE) / decades, y: 25, "text-anchor": "middle", "font-size": 11, fill: css("--soft") }));
    const swatch = (fill, name) => make("span", {}, make("span", {}, make("i", { style: `background:${fill}` }), name));
    const taken = make("span", {}, make("span", {}, make("i", { style: "border:2px solid var(--ink)" }), "the width taken"));
    return make("div", { class: "options scale" }, scale, ...(s.zero ? [swatch(css("--bar"), "0: no rise expected")] : []), ...(s.negative ? [swatch(css("--accent-soft"), "−: below 0")] : []), taken);
  }

  return { strip, widthLegend, heat, heatLegend };
}
