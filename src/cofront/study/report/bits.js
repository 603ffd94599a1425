"use strict";
// Pictures of a network's bits, a column for each layer: widths taken, and what every width is expected to cost in loss.
// `run`: {layers, weight_bits, act_bits}, as in the document of `cofront quantize`.
function cofrontBits(tools, pictures) {
  const { make, css, metric, percent, small } = tools, { svg, frame, tell, ink } = pictures, map = cofrontHeat(tools, pictures), { text } = map;
  const LEFT = 104, BOTH = [["weights", "weight_bits", "rise_by_weight_bits"], ["activations", "act_bits", "rise_by_act_bits"]];
  const WIDTHS = { light: ["#f6d55c", "#9fd08a", "#45b0a0", "#2f7fb5", "#27508f"], dark: ["#ffe083", "#aedc8e", "#55bfab", "#4597d3", "#5570c4"] };
  const width = (bits) => map.ramp(map.of(WIDTHS), (bits - 1) / 7);
  const words = (n) => [n.name, `${n.op}${n.unit === n.name ? "" : `, in ${n.unit}`}`, `${n.weight_bits} bits of weights, ${n.act_bits} of activations`, `${metric(n.macs)} multiply-accumulates, ${metric(n.weights)} weights`];
  const columns = (root, layers) => map.columns(root, layers.map((n) => n.unit), LEFT), label = (content, y) => map.label(content, y, LEFT);
  const names = (picture, layers, c, top) => map.names(picture, layers.map((n) => n.name), c, top);
  const bits = (b) => `${b} bit${b === 1 ? "" : "s"}`;

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
    const count = (key, what, b) => { const layers = run.layers.filter((n) => n[key] === b).length; return layers ? [`${what} of ${layers}`] : []; };
    return make("div", { class: "options" }, ...used.map((b) => make("span", {}, make("span", {}, make("i", { style: `background:${width(b)}` }),
      `${bits(b)}: ${[...count("weight_bits", "weights", b), ...count("act_bits", "activations", b)].join(", ")}`))));
  }

  // ---- what every width is expected to cost ----------------------------------------------------------------------------
  const span = (run) => map.span(run.layers.flatMap((n) => [...n.rise_by_weight_bits, ...n.rise_by_act_bits]));

  function heat(root, run) {
    const { layers } = run, c = columns(root, layers), most = Math.max(run.weight_bits.length, run.act_bits.length), ROW = most > 4 ? 21 : most > 2 ? 26 : 31, BETWEEN = 14;
    const foot = ROW * (run.weight_bits.length + run.act_bits.length) + BETWEEN + 4, s = span(run);
    const picture = svg("svg", { ...frame(c.wide, foot + names(null, layers, c, 0)), role: "img",
      "aria-label": "Expected rise of the loss of each layer at each width of its weights and of its activations; the rise at the widths taken is in the table of layers" });
    const frames = [];
    let top = 1;
    for (const [what, key, rises] of BOTH) {
      const middle = top + (ROW * run[key].length) / 2;
      picture.append(text(what, { x: 14, y: middle, "text-anchor": "middle", transform: `rotate(-90 14 ${middle})`, fill: css("--soft") }));
      frames.push(...map.cells(picture, c, s, {
        top, height: ROW, rows: run[key].toReversed(), name: bits, value: (i, b) => layers[i][rises][run[key].indexOf(b)], taken: (i, b) => layers[i][key] === b,
        words: (i, b, v) => [`${layers[i].name}: ${what} at ${bits(b)}`, `expected rise of the loss ${small(v)}`, layers[i][key] === b ? "the width taken" : `taken: ${layers[i][key]}`] }));
      top += ROW * run[key].length + BETWEEN;
    }
    picture.append(...frames);
    names(picture, layers, c, foot - 6);
    root.replaceChildren(picture);
  }

  const heatLegend = (run) => map.legend(span(run), { zero: "no rise expected", negative: "below 0", taken: "the width taken" });

  return { strip, widthLegend, heat, heatLegend };
}
