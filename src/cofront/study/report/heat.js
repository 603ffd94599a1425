"use strict";
// Maps of what a choice is expected to cost in loss: a column for each layer or unit, a row for each option, on a scale of
// powers of ten, the options taken framed.
function cofrontHeat({ make, css, small }, { svg, frame, tell, ink, channels, dark }) {
  const LETTER = 6.1, LONGEST = 20, LEAST = 16, MOST = 110;
  const RISES = { light: ["#fdf3e3", "#fbd39a", "#f0914a", "#c8432b", "#6d1020"], dark: ["#33262a", "#6b3a2a", "#b9562b", "#f59a4e", "#ffe6b8"] };
  const ramp = (stops, t) => {
    const at = Math.min(Math.max(t, 0), 1) * (stops.length - 1), i = Math.min(Math.floor(at), stops.length - 2), part = at - i;
    return "#" + channels(stops[i]).map((v, c) => Math.round(v * (1 - part) + channels(stops[i + 1])[c] * part).toString(16).padStart(2, "0")).join("");
  };
  const of = (both) => (dark() ? both.dark : both.light);
  const text = (content, extra) => svg("text", { "font-size": 12, fill: css("--ink"), "pointer-events": "none", "dominant-baseline": "central", ...extra }, content);
  const shorten = (name) => (name.length <= LONGEST ? name : `${name.slice(0, 7)}…${name.slice(name.length - LONGEST + 8)}`);

  // Where columns lie, right of `left` pixels: neighbours of different groups stand a little apart, where groups are larger
  // than one.
  function columns(root, groups, left) {
    const apart = groups.map((g, i) => (i && groups[i - 1] !== g ? 1 : 0)), count = apart.reduce((a, v) => a + v, 0);
    const gap = count < groups.length - 1 ? 4 : 0, room = root.clientWidth - left - 2 - gap * count;
    const each = Math.min(Math.max(room / groups.length, LEAST), MOST);
    let x = left;
    const at = groups.map((_, i) => { x += gap * apart[i]; const here = x; x += each; return here; });
    return { at, each, left, wide: Math.ceil(x + 2 - 1e-6) }; // a sum of shares may miss the room by rounding
  }

  // Names under the columns; what they need is their height.
  function names(picture, labels, { at, each }, top) {
    const shown = labels.map(shorten), longest = Math.max(...shown.map((t) => t.length)) * LETTER, flat = longest + 4 < each;
    if (picture) shown.forEach((name, i) => {
      const x = at[i] + each / 2, y = top + 10;
      picture.append(text(name, { x, y, fill: css("--soft"), "font-size": 11, ...(flat ? { "text-anchor": "middle" } : { "text-anchor": "end", transform: `rotate(-60 ${x} ${y})` }) }));
    });
    return flat ? 22 : longest * Math.sin(Math.PI / 3) + 20;
  }

  const label = (content, y, left) => text(content, { x: left - 9, y, "text-anchor": "end", fill: css("--soft"), "font-size": 12 });

  // Logarithms that the colours span: at most seven powers of ten, for below a millionth of the largest all is alike. What
  // is above `most` has the colour of it.
  function span(values, most = Infinity) {
    const positive = values.filter((v) => v > 0), hi = positive.length ? Math.log10(Math.min(Math.max(...positive), most)) : 0;
    const lo = positive.length ? Math.max(Math.log10(Math.min(...positive)), hi - 7) : -1;
    return { lo: Math.min(lo, hi - 0.5), hi, zero: values.some((v) => v === 0), negative: values.some((v) => v < 0), over: positive.some((v) => v > most) };
  }
  const colour = (v, s) => (v > 0 ? ramp(of(RISES), (Math.log10(v) - s.lo) / (s.hi - s.lo)) : v < 0 ? css("--accent-soft") : css("--bar"));

  // Rows of cells from `top` on, each `height` high: `value(i, row)` of column i, none where that is undefined; `words` is
  // what the pointer is told. Returns frames of the cells taken, which lie over all cells: their edges would cut them.
  function cells(picture, c, s, { top, height, rows, name, value, words, taken }) {
    const frames = [];
    rows.forEach((row, r) => {
      const y = top + r * height;
      picture.append(label(name(row), y + height / 2, c.left));
      c.at.forEach((x, i) => {
        const v = value(i, row);
        if (v === undefined) return;
        const fill = colour(v, s), box = { x: x + 0.5, y: y + 0.5, width: c.each - 1, height: height - 1 }, cell = svg("rect", { ...box, fill });
        tell(cell, () => words(i, row, v));
        picture.append(cell);
        const shown = v === 0 ? "0" : c.each >= 58 ? small(v, 2) : v < 0 ? "−" : "";
        if (shown) picture.append(text(shown, { x: x + c.each / 2, y: y + height / 2, "text-anchor": "middle", "font-size": 10, fill: v > 0 ? ink(fill) : css("--soft") }));
        if (taken(i, row)) frames.push(svg("rect", { ...box, x: box.x + 0.5, y: box.y + 0.5, width: box.width - 1, height: box.height - 1, rx: 2, fill: "none", stroke: css("--ink"), "stroke-width": 2, "pointer-events": "none" }));
      });
    });
    return frames;
  }

  // The colours' scale, and what else the cells show.
  function legend(s, { zero, negative, taken, more = [] }) {
    const WIDE = 260, steps = 52, decades = s.hi - s.lo, every = Math.ceil(decades / 4), first = Math.ceil(s.lo - 1e-9);
    const scale = svg("svg", { ...frame(WIDE + 40, 34), role: "img", "aria-label": `Colours from ${small(10 ** s.lo)} to ${small(10 ** s.hi)}${s.over ? " and more" : ""}` });
    for (let i = 0; i < steps; i++) scale.append(svg("rect", { x: 20 + (i * WIDE) / steps, y: 1, width: WIDE / steps + 0.6, height: 13, fill: ramp(of(RISES), (i + 0.5) / steps) }));
    for (let e = first; e <= s.hi + 1e-9; e += every) scale.append(text(small(10 ** e), { x: 20 + ((e - s.lo) * WIDE) / decades, y: 25, "text-anchor": "middle", "font-size": 11, fill: css("--soft") }));
    const swatch = (style, name) => make("span", {}, make("span", {}, make("i", { style }), name));
    return make("div", { class: "options scale" }, scale, ...(s.zero ? [swatch("background:var(--bar)", `0: ${zero}`)] : []), ...(s.negative ? [swatch("background:var(--accent-soft)", `−: ${negative}`)] : []),
      swatch("border:2px solid var(--ink)", taken), ...more.map((line) => make("span", {}, line)));
  }

  return { ramp, of, text, columns, names, label, span, cells, legend };
}
