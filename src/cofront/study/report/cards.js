"use strict";
// What the cards of runs share: headings, buttons, words, and the table and list that choose one of several runs.
// `found`: {entries, selected}; `tools` are the page's own functions.
function cofrontCard(root, found, { make, table, layout, css, seconds, sig, accuracy, config }) {
  const runs = found.entries, state = { run: found.selected };
  const n = (title) => ({ title, n: true });
  const heading = (text, ...more) => make("div", { class: "bar part" }, make("h3", {}, text), ...more);
  const button = (text, pressed, act) => {
    const node = make("button", { type: "button", "aria-pressed": String(pressed) }, text);
    node.addEventListener("click", act);
    return node;
  };
  const sentences = (said) => [...new Set(said)].filter(Boolean).map((s) => s[0].toUpperCase() + s.slice(1).replace(/\.*$/, ".")).join(" ");
  const pairs = (rows) => table([{ title: "" }, { title: "", wrap: true }], rows.map(([k, v, code]) => [k, code ? make("code", {}, v) : v]));
  const plain = (v, digits = 6) => (v === null ? "–" : Array.isArray(v) ? v.map((w) => plain(w, digits)).join(", ") : typeof v === "object" ? Object.entries(v).map(([k, w]) => `${k} ${plain(w, digits)}`).join(" · ") : typeof v === "number" && !Number.isInteger(v) ? sig(v, digits) : String(v));
  const raised = (v) => String(v).replace(/[-\d]/g, (c) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[c] ?? "⁻");
  // a number that may be very small, with a power of ten: the sign of a rise matters
  function small(v, digits = 3) {
    if (v == null) return "–";
    const size = Math.abs(v), sign = v < 0 ? "−" : "";
    if (size === 0 || (size >= 0.01 && size < 1e4)) return sign + sig(size, digits);
    let e = Math.floor(Math.log10(size)), m = Number((size / 10 ** e).toPrecision(digits));
    if (m >= 10) { m /= 10; e += 1; }
    return `${sign}${m === 1 ? "" : `${m} · `}10${raised(e)}`;
  }
  const time = (v) => seconds(v).replace(" ", "\u00a0"); // a number stays beside its unit, in what is narrow
  // whether the page itself says a run's title, or its statement, above
  const titled = (text) => runs.length === 1 && text === document.title;
  const stated = (text) => text === document.getElementById("statement").textContent;

  // One small picture over epochs; `extra` goes to its vertical axis.
  function course(node, traces, extra = {}, shapes = [], annotations = []) {
    const epochs = traces[0].x.length;
    Plotly.react(node, traces.map((t, i) => ({ mode: t.y.filter((v) => v != null).length < 2 ? "markers" : "lines", line: { color: [css("--accent"), css("--chosen")][i], width: 2 }, hovertemplate: "epoch %{x}: %{y:.4~g}<extra>" + (t.name ?? "") + "</extra>", ...t })),
      layout({ margin: { l: 44, r: 8, t: 6, b: 30 }, showlegend: false, font: { size: 12 }, shapes, annotations,
        xaxis: { ...(epochs < 7 ? { dtick: 1, range: [0.5, epochs + 0.5] } : { nticks: 6 }), tickfont: { size: 11 } }, yaxis: { nticks: 5, tickfont: { size: 11 }, ...extra } }), config);
  }

  // The part of a card on a training: loss and validation accuracy over epochs; `fill` draws one, or hides the part.
  function training(name) {
    const note = make("p", { class: "note" }), charts = ["Loss", "Validation accuracy"].map((text) => make("div", { class: "chart", role: "img", "aria-label": `${text} over epochs` }));
    const pictures = make("div", { class: "multiples two" }, ...["Loss", "Validation accuracy"].map((text, i) => make("figure", {}, make("figcaption", {}, text), charts[i]))), node = make("div", {}, heading(name), note, pictures);
    function fill(t) {
      node.hidden = !t;
      if (!t) return;
      pictures.hidden = !t.loss.length;
      note.textContent = `${t.epochs} epoch${t.epochs === 1 ? "" : "s"} of ${t.images.toLocaleString("en")} images in ${seconds(t.seconds)}.` + (pictures.hidden ? " None was finished." : "") + (t.test == null ? " It was not tested." : ` Test accuracy, read once at the end: ${accuracy(t.test)} of ${t.test_images.toLocaleString("en")} images.`);
      if (pictures.hidden) return;
      const x = (values) => values.map((_, i) => i + 1), tested = t.test != null;
      course(charts[0], [{ x: x(t.loss), y: t.loss }]);
      course(charts[1], [{ x: x(t.validation), y: t.validation.map((v) => 100 * v) }], { ticksuffix: " %" },
        tested ? [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: 100 * t.test, y1: 100 * t.test, line: { color: css("--chosen"), width: 1.2, dash: "dash" } }] : [],
        tested ? [{ xref: "paper", x: 1, xanchor: "right", y: 100 * t.test, yanchor: "bottom", text: `test ${accuracy(t.test)}`, showarrow: false, font: { size: 11 } }] : []);
    }
    return { node, fill };
  }

  // Puts `parts` into the card, below a table of all runs where there are several: `columns`, and a run's cells by `row`.
  // `label` names a run in the list, `picked` is told when another is taken, `draw` draws it, `resized` what must fit the
  // width. Returns what draws everything again, for another theme.
  function show({ parts, label, columns, row, draw, resized, picked = () => {} }) {
    const all = make("div", { class: "scroll limited runs" });
    const chosen = make("select", {}, ...runs.map((r, i) => make("option", { value: String(i) }, label(r))));
    const several = make("div", {}, all, make("div", { class: "choices" }, make("label", {}, "run", chosen)));
    const ruler = make("div", {}); // as wide as the card and of no height, so that what is drawn does not resize it
    several.hidden = runs.length < 2;
    root.replaceChildren(ruler, several, ...parts);
    const again = () => {
      const body = table([{ title: "run" }, ...columns], runs.map((r, i) => [button(String(r.id), i === state.run, () => {}), ...row(r)]));
      // also a button's click, which comes up to its row
      [...body.tBodies[0].rows].forEach((tr, i) => { tr.setAttribute("aria-selected", String(i === state.run)); tr.addEventListener("click", () => pick(i)); });
      all.replaceChildren(body);
      draw();
    };
    function pick(i) {
      const held = all.contains(document.activeElement);
      state.run = i;
      picked();
      chosen.value = String(i);
      again();
      if (held) all.querySelectorAll("button")[i].focus(); // the table was made anew
    }
    chosen.addEventListener("change", () => pick(Number(chosen.value)));
    let width = ruler.clientWidth; // before anything is drawn: what is drawn may bring a scroll bar
    pick(state.run);
    new ResizeObserver(() => { if (ruler.clientWidth && ruler.clientWidth !== width) { width = ruler.clientWidth; resized(); } }).observe(ruler);
    return again;
  }

  return { run: () => runs[state.run], n, heading, button, sentences, pairs, plain, small, time, titled, stated, course, training, show };
}
