"use strict";
// Pictures of layers with options: their probabilities over epochs, a network as blocks, cells as graphs.
// `palette`: [{label, kind, rank, of, expand, passing, absent}], every option of a space; colours are by kind, shades by rank.
function cofrontPictures({ make, css, seconds, percent, sig }) {
  const LIGHT = ["#0072b2", "#d98200", "#009e73", "#b5558c", "#8a7a00", "#56a0d8", "#a0522d"], DARK = ["#56b4e9", "#ffb347", "#3fc79a", "#e48cc0", "#d8cc55", "#8fb8ff", "#e39a78"];
  const LETTER = 6.7; // pixels of a letter of 12 pixels
  const dark = () => document.documentElement.dataset.theme === "dark";
  const svg = (tag, attributes = {}, ...children) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [k, v] of Object.entries(attributes)) node.setAttribute(k, v);
    node.append(...children);
    return node;
  };
  const frame = (width, height) => ({ width, height, viewBox: `0 0 ${width} ${height}` });
  const channels = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
  const mix = (a, b, share) => "#" + channels(a).map((v, i) => Math.round(v * share + channels(b)[i] * (1 - share)).toString(16).padStart(2, "0")).join("");
  const luminance = (hex) => channels(hex).reduce((sum, v, i) => sum + [0.2126, 0.7152, 0.0722][i] * (v / 255) ** 2.2, 0);
  const ink = (hex) => (luminance(hex) > 0.19 ? "#10151d" : "#ffffff"); // where black has more contrast

  // one colour for each option: kinds by hue, their options from pale to full; what passes its input on is grey
  function colours(palette) {
    const kinds = [...new Set(palette.filter((o) => !o.passing).map((o) => o.kind))], card = css("--card");
    return palette.map((o) => {
      if (o.absent) return mix(css("--soft"), card, 0.16);
      if (o.passing) return mix(css("--soft"), card, 0.55);
      const full = (dark() ? DARK : LIGHT)[kinds.indexOf(o.kind) % LIGHT.length];
      return mix(full, card, o.of === 1 ? 0.9 : 0.36 + 0.64 * (o.rank / (o.of - 1)));
    });
  }

  function legend(palette, shown) {
    const fill = colours(palette), groups = new Map();
    palette.forEach((o, i) => { if (shown(i)) groups.set(o.kind, [...(groups.get(o.kind) ?? []), i]); });
    const ordered = [...groups.values()].sort((a, b) => palette[a[0]].passing - palette[b[0]].passing);
    return make("div", { class: "options" }, ...ordered.map((rows) => make("span", {}, ...rows.map((i) =>
      make("span", {}, make("i", { style: `background:${fill[i]}` }), palette[i].label)))));
  }

  // a line that follows the pointer, of what lies under it
  const tip = make("div", { class: "tip", hidden: "" });
  document.body.append(tip);
  function tell(node, words) {
    node.addEventListener("pointermove", (event) => {
      tip.replaceChildren(...words(event).map((line, i) => make(i ? "div" : "b", {}, line)));
      tip.hidden = false;
      const { clientX: x, clientY: y } = event, box = tip.getBoundingClientRect();
      tip.style.left = `${Math.max(Math.min(x + 14, innerWidth - box.width - 8), 8)}px`;
      tip.style.top = `${y + 18 + box.height > innerHeight ? y - box.height - 12 : y + 18}px`;
    });
    node.addEventListener("pointerleave", () => { tip.hidden = true; });
  }
  const share = (permille) => (permille > 0 && permille < 10 ? "under 1 %" : percent(permille / 1000, 0));
  const ranked = (run, layer, row) => row.map((p, o) => [p, run.palette[run.layers[layer].options[o]].label]).filter(([p]) => p >= 10).sort((a, b) => b[0] - a[0]);

  // ---- probabilities: for each layer an area of every option over epochs; `at` is the epoch whose leader is named -----
  function areas(root, run, at) {
    const fill = colours(run.palette), epochs = run.probabilities.length, last = Math.max(epochs - 1, 1);
    const cell = run.cells && Object.fromEntries(run.cells.flatMap((c) => c.edges.map(([layer, node, source]) => [layer, `${c.name} ${tensor(source)} → ${node}`])));
    // rows of equal length
    const most = Math.max(Math.floor((root.clientWidth + 12) / 142), 2), columns = Math.ceil(run.layers.length / Math.ceil(run.layers.length / most));
    root.style.gridTemplateColumns = `repeat(${columns}, minmax(0, 1fr))`;
    root.replaceChildren(...run.layers.map((layer, l) => {
      const picture = svg("svg", { viewBox: `0 0 ${last} 1000`, preserveAspectRatio: "none", "aria-hidden": "true" });
      const base = run.probabilities.map(() => 1000);
      layer.options.forEach((option, o) => {
        const up = base.map((v, e) => v - run.probabilities[e][l][o]);
        // one epoch alone is a level, too
        const line = (values) => (epochs > 1 ? values : [values[0], values[0]]).map((v, e) => `${e},${v}`);
        if (up.some((v, e) => v < base[e])) picture.append(svg("polygon", { points: [...line(up), ...line(base).toReversed()].join(" "), fill: fill[option], stroke: fill[option], "stroke-width": 1, "vector-effect": "non-scaling-stroke" }));
        up.forEach((v, e) => { base[e] = v; });
      });
      if (at < epochs - 1) picture.append(svg("line", { x1: at, x2: at, y1: 0, y2: 1000, stroke: css("--ink"), "stroke-width": 1.5, "vector-effect": "non-scaling-stroke" }));
      const [[p, name] = [0, "–"]] = ranked(run, l, run.probabilities[at][l]);
      const title = cell ? cell[l] : layer.name;
      tell(picture, (event) => {
        const box = picture.getBoundingClientRect(), e = Math.min(Math.max(Math.round(((event.clientX - box.left) / box.width) * last), 0), epochs - 1);
        return [`${title}, epoch ${run.history.epoch[e] + 1}`, ...ranked(run, l, run.probabilities[e][l]).slice(0, 5).map(([q, n]) => `${n} ${share(q)}`)];
      });
      const kept = cell && run.networks.length && !run.palette[layer.options[run.networks[run.chosen ?? 0].options[l]]].absent;
      return make("figure", kept ? { class: "kept" } : {}, make("figcaption", {}, make("span", {}, title), make("span", {}, make("b", {}, name), ` ${share(p)}`)), picture);
    }));
  }

  // ---- a chain: layer after layer ----------------------------------------------------------------------------------------
  // what each block stands for: its option, its probability at the end, its seconds and share of the latency
  function blocks(run, network) {
    const end = run.probabilities.at(-1);
    const known = run.layers.every((layer) => layer.cost_s.length) && network.latency_s > 0;
    return run.layers.map((layer, l) => {
      const o = network.options[l], cost = known ? layer.cost_s[o] : null;
      return { layer: layer.name, number: layer.options[o], option: run.palette[layer.options[o]], p: end[l][o], cost, part: known ? cost / network.latency_s : null,
        others: ranked(run, l, end[l]).filter(([, name]) => name !== run.palette[layer.options[o]].label).slice(0, 4), other: run.likely && run.likely.options[l] !== o };
    });
  }
  const words = (b) => [`${b.layer}: ${b.option.label}`, `probability ${share(b.p)}`, ...(b.cost == null ? [] : [`${seconds(b.cost)}, ${percent(b.part, 1)} of the latency`]),
    ...(b.others.length ? [`instead: ${b.others.map(([p, name]) => `${name} ${share(p)}`).join(", ")}`] : []), ...(b.other ? ["not the most likely option"] : [])];

  function chain(root, run, network) {
    const all = blocks(run, network), fill = colours(run.palette), wide = root.clientWidth, upright = wide < 640;
    const rest = all[0].cost == null ? 0 : network.latency_s - all.reduce((sum, b) => sum + b.cost, 0);
    const items = rest > 0.002 * network.latency_s ? [...all, { rest, part: rest / network.latency_s }] : all;
    const most = Math.max(...run.palette.map((o) => o.expand ?? 1));
    root.replaceChildren(upright ? down(items) : across(items));

    function rectangle(b, box) {
      const colour = b.rest ? mix(css("--soft"), css("--card"), 0.22) : fill[b.number];
      const node = svg("rect", { ...box, rx: 3, fill: colour, stroke: b.other ? css("--ink") : mix(css("--ink"), colour, 0.25), "stroke-width": b.other ? 2.5 : 1 });
      tell(node, () => (b.rest ? ["every network's own part", `${seconds(b.rest)}, ${percent(b.part, 1)} of the latency`] : words(b)));
      return [node, colour];
    }

    function across(list) {
      const GAP = 5, FOOT = 34, HIGH = 128, MIDDLE = 18 + HIGH / 2, room = wide - 2 - GAP * (list.length - 1), least = Math.min(20, room / list.length);
      const parts = list.map((b) => b.part ?? 1 / list.length), sum = parts.reduce((a, v) => a + v, 0);
      // narrow ones are widened so that they can be seen, the others give that room
      const small = parts.map((v) => (v / sum) * room < least), spare = room - least * small.filter(Boolean).length;
      const large = parts.reduce((a, v, i) => a + (small[i] ? 0 : v), 0);
      const picture = svg("svg", { ...frame(wide, 18 + HIGH + FOOT), role: "img", "aria-label": `The network, layer by layer: ${list.map((b) => (b.rest ? "the rest" : b.option.label)).join(", ")}. The table below says the same.` });
      picture.append(svg("line", { x1: 0, x2: wide, y1: MIDDLE, y2: MIDDLE, stroke: css("--soft"), "stroke-width": 1.5 }));
      let x = 1, named = -Infinity;
      list.forEach((b, i) => {
        const width = small[i] ? least : (parts[i] / large) * spare;
        const height = b.rest ? 26 : b.option.passing ? 12 : HIGH * (0.62 + 0.38 * ((b.option.expand ?? most) / most));
        const [node, colour] = rectangle(b, { x, y: MIDDLE - height / 2, width, height });
        const centre = x + width / 2, lines = b.rest ? ["rest"] : b.option.label.split(" ");
        picture.append(node);
        const text = (content, extra) => picture.append(svg("text", { x: centre, "text-anchor": "middle", "pointer-events": "none", "font-size": 12, ...extra }, content));
        const flat = Math.max(...lines.map((t) => t.length)) * LETTER + 4 < width, turned = (y) => ({ y, transform: `rotate(-90 ${centre} ${y})`, "dominant-baseline": "central" });
        if (height > 60) {
          if (flat) lines.forEach((line, k) => text(line, { y: MIDDLE + 15 * (k - (lines.length - 1) / 2), "dominant-baseline": "central", fill: ink(colour) }));
          else if (width >= 13) text(b.option.label, { ...turned(MIDDLE), fill: ink(colour), "font-size": Math.min(12, width - 2) });
        } else if (lines.join(" ").length * LETTER + 4 < width) text(lines.join(" "), { y: MIDDLE - height / 2 - 5, fill: css("--ink") });
        else text(lines.join(" "), { ...turned(MIDDLE - height / 2 - 6 - lines.join(" ").length * 3.2), fill: css("--ink"), "font-size": Math.min(12, width) });
        if (b.part != null && width > 36) text(percent(b.part, b.part < 0.0995 ? 1 : 0), { y: 12, fill: css("--soft"), "font-size": 11 });
        const name = b.rest ? "" : b.layer;
        if (name && centre - (name.length * 6.2) / 2 > named) { text(name, { y: 18 + HIGH + 18, fill: css("--soft"), "font-size": 11 }); named = centre + (name.length * 6.2) / 2 + 3; }
        x += width + GAP;
      });
      return picture;
    }

    function down(list) {
      const ROW = 23, LEFT = 46, RIGHT = 92, room = wide - LEFT - RIGHT, biggest = Math.max(...list.map((b) => b.part ?? 1));
      const picture = svg("svg", { ...frame(wide, ROW * list.length), role: "img", "aria-label": "The network, layer by layer from the top; the table below says the same" });
      list.forEach((b, i) => {
        const width = Math.max(((b.part ?? 1) / biggest) * room, 3), thin = !b.rest && b.option.passing, middle = ROW * (i + 0.5), height = thin ? 7 : 18;
        const [node] = rectangle(b, { x: LEFT, y: middle - height / 2, width, height });
        const text = (content, extra) => svg("text", { y: middle, "dominant-baseline": "central", "font-size": 12, "pointer-events": "none", ...extra }, content);
        const label = b.rest ? "rest" : b.option.label;
        picture.append(node, text(b.rest ? "" : b.layer, { x: LEFT - 6, "text-anchor": "end", fill: css("--soft") }),
          text(b.part == null ? label : `${label} `, { x: LEFT + width + 6, fill: css("--ink") }));
        if (b.part != null && LEFT + width + 12 + label.length * LETTER < wide - 40) picture.append(text(percent(b.part, b.part < 0.0995 ? 1 : 0), { x: wide - 1, "text-anchor": "end", fill: css("--soft"), "font-size": 11 }));
      });
      return picture;
    }
  }

  // ---- cells -------------------------------------------------------------------------------------------------------------
  const tensor = (source) => (source === 0 ? "c[k−2]" : source === 1 ? "c[k−1]" : String(source - 2));
  const bend = (a, b) => [a, [a[0] + 0.5 * (b[0] - a[0]), a[1]], [a[0] + 0.5 * (b[0] - a[0]), b[1]], b];
  const along = ([a, b, c, d], t) => [0, 1].map((i) => a[i] * (1 - t) ** 3 + 3 * b[i] * t * (1 - t) ** 2 + 3 * c[i] * t * t * (1 - t) + d[i] * t ** 3);
  const overlap = (a, b) => a[0] < b[2] && b[0] < a[2] && a[1] < b[3] && b[1] < a[3];

  function cells(root, run, network) {
    const all = blocks(run, network), fill = colours(run.palette);
    const pictures = run.cells.map((cell) => {
      const figure = make("figure", {}, make("figcaption", {}, make("b", {}, `${cell.name} cell`)));
      root.append(figure);
      return [figure, cell];
    });
    root.replaceChildren(...pictures.map(([figure]) => figure));
    for (const [figure, cell] of pictures) figure.append(graph(cell, figure.clientWidth));

    function graph(cell, width) {
      const kept = cell.edges.map(([l, node, source]) => ({ b: all[l], from: source, to: node + 2 })).filter((e) => !e.b.option.absent);
      const nodes = 1 + Math.max(...cell.edges.map(([, node]) => node)), out = nodes + 2;
      // a node stands right of what it reads
      const depth = [0, 0];
      for (let n = 2; n < out; n++) depth[n] = 1 + Math.max(0, ...kept.filter((e) => e.to === n).map((e) => depth[e.from]));
      const deepest = Math.max(...depth), HEIGHT = 300, LEVELS = 5, w = (i) => (i < 2 || i === out ? 58 : 30), h = 26;
      const x = (i) => (i < 2 ? 31 : i === out ? width - 31 : 31 + ((width - 62) * depth[i]) / (deepest + 1));
      const level = (v) => 22 + ((HEIGHT - 44) * v) / (LEVELS - 1);
      // of all places on five levels, the one in which lines run through the fewest nodes and names do not meet
      let best = null;
      for (let code = 0; code < LEVELS ** nodes; code++) {
        const at = [[x(0), level(0.6)], [x(1), level(LEVELS - 1.6)]];
        for (let n = 0, rest = code; n < nodes; n++, rest = Math.floor(rest / LEVELS)) at[n + 2] = [x(n + 2), level(rest % LEVELS)];
        at[out] = [x(out), level((LEVELS - 1) / 2)];
        if (at.slice(2, out).some((p, i) => at.slice(2, out).some((q, j) => j < i && p[0] === q[0] && Math.abs(p[1] - q[1]) < h + 14))) continue;
        const boxes = at.map((p, i) => [p[0] - w(i) / 2 - 3, p[1] - h / 2 - 3, p[0] + w(i) / 2 + 3, p[1] + h / 2 + 3]);
        let bad = 0, length = 0;
        const taken = [...boxes], labels = [];
        for (const e of kept) {
          const a = at[e.from], b = at[e.to], curve = bend([a[0] + w(e.from) / 2, a[1]], [b[0] - w(e.to) / 2 - 5, b[1]]);
          for (let t = 0.05; t < 1; t += 0.09) { const p = along(curve, t); bad += 30 * boxes.filter((q, i) => i !== e.from && i !== e.to && overlap([...p, ...p], q)).length; }
          const half = (e.b.option.label.length * LETTER) / 2 - 1;
          let found = null;
          for (const t of [0.5, 0.42, 0.58, 0.34, 0.66, 0.26, 0.74]) {
            const p = along(curve, t), box = [p[0] - half, p[1] - 9, p[0] + half, p[1] + 9];
            if (!taken.some((q) => overlap(box, q)) && box[0] > 0 && box[2] < width) { found = [p, box]; break; }
          }
          if (!found) { bad += 100; const p = along(curve, 0.5); found = [p, [p[0] - half, p[1] - 9, p[0] + half, p[1] + 9]]; }
          taken.push(found[1]); labels.push({ curve, at: found[0], half });
          length += Math.abs(a[1] - b[1]) / HEIGHT;
        }
        for (let n = 2; n < out; n++) {
          const curve = bend([at[n][0] + w(n) / 2, at[n][1]], [at[out][0] - w(out) / 2, at[out][1]]);
          for (let t = 0.05; t < 1; t += 0.09) { const p = along(curve, t); bad += 12 * boxes.filter((q, i) => i !== n && i !== out && overlap([...p, ...p], q)).length + 2 * labels.filter((q) => overlap([...p, ...p], [q.at[0] - q.half, q.at[1] - 8, q.at[0] + q.half, q.at[1] + 8])).length; }
        }
        if (!best || bad + length < best.cost) best = { cost: bad + length, at, labels };
      }
      const picture = svg("svg", { ...frame(width, HEIGHT), role: "img", "aria-label": `${cell.name} cell: ${kept.map((e) => `${tensor(e.from)} to ${e.to - 2} by ${e.b.option.label}`).join(", ")}` });
      const path = (curve, more) => svg("path", { d: `M${curve[0]} C${curve[1]} ${curve[2]} ${curve[3]}`, fill: "none", ...more });
      for (let n = 2; n < out; n++) picture.append(path(bend([best.at[n][0] + w(n) / 2, best.at[n][1]], [best.at[out][0] - w(out) / 2, best.at[out][1]]), { stroke: css("--line"), "stroke-width": 1.5 }));
      kept.forEach((e, i) => {
        const end = best.labels[i].curve[3];
        picture.append(path(best.labels[i].curve, { stroke: fill[e.b.number], "stroke-width": 3 }), svg("path", { d: `M${end[0] + 6} ${end[1]} l-9 -5 v10 z`, fill: fill[e.b.number] }));
      });
      kept.forEach((e, i) => {
        const { at: [px, py], half } = best.labels[i];
        const box = svg("rect", { x: px - half - 3, y: py - 9, width: 2 * half + 6, height: 18, rx: 4, fill: fill[e.b.number] });
        tell(box, () => [`${tensor(e.from)} → ${e.to - 2}: ${e.b.option.label}`, ...words(e.b).slice(1)]);
        picture.append(box, svg("text", { x: px, y: py, "text-anchor": "middle", "dominant-baseline": "central", "font-size": 11.5, fill: ink(fill[e.b.number]), "pointer-events": "none" }, e.b.option.label));
      });
      best.at.forEach(([px, py], i) => {
        picture.append(svg("rect", { x: px - w(i) / 2, y: py - h / 2, width: w(i), height: h, rx: 6, fill: css("--card"), stroke: css("--soft"), "stroke-width": 1.5 }),
          svg("text", { x: px, y: py, "text-anchor": "middle", "dominant-baseline": "central", "font-size": 12, fill: css("--ink") }, i === out ? "c[k]" : tensor(i)));
      });
      return picture;
    }
  }

  return { areas, blocks, chain, cells, legend, share, tensor, svg, frame, tell, ink, channels, dark };
}
