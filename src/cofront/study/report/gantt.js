"use strict";
// What kernels and memory did over a run: a row of stacked shares for each kernel, of the whole network or of one call.
// `activity`: {bucket, cycles, clock_hz, stalls, kernels: {name: a list per state}, memory, calls}, all counts of cycles (of words)
// per bucket; calls are [name, layers, first cycle, last cycle]. Older studies lack the last state.
function cofrontGantt(root, activity) {
  const STATES = [["busy", "#0072b2", "#56b4e9"], ["waits for input", "#e69f00", "#e69f00"], ["waits for output", "#a64d8c", "#e48cc0"],
    ["waits for weights", "#3b4252", "#d5dbe4"]].slice(0, Math.max(...Object.values(activity.kernels).map((rows) => rows.length)));
  const COLUMNS = 720, LABEL = 6.6; // columns of a picture at most; pixels of a letter
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const integer = (v) => Math.round(v).toLocaleString("en");
  const percent = (v) => (100 * v).toFixed(v < 0.0995 && v > 0 ? 1 : 0) + " %";
  const duration = (cycles) => { const s = cycles / activity.clock_hz; return s >= 1e-3 ? `${(1e3 * s).toPrecision(3)} ms` : `${(1e6 * s).toPrecision(3)} µs`; };
  const names = Object.keys(activity.kernels), calls = activity.calls;

  const make = (tag, attributes = {}, ...children) => {
    const node = document.createElement(tag);
    for (const [k, v] of Object.entries(attributes)) node.setAttribute(k, v);
    node.append(...children);
    return node;
  };
  const choice = make("select", { "aria-label": "Part of the run" }, make("option", { value: "-1" }, "whole network"));
  calls.forEach(([name, layers], i) => choice.append(make("option", { value: String(i) }, layers.length ? `${name}: ${layers.join(", ")}` : name)));
  const back = make("button", { type: "button", "aria-label": "Call before" }, "←"), on = make("button", { type: "button", "aria-label": "Next call" }, "→");
  const legend = make("span", { class: "gantt-legend" });
  const note = make("p", { class: "note" });
  const chart = make("div", { class: "gantt-chart", role: "img", "aria-label": "What each kernel does over time; the figures are in the line above" });
  root.replaceChildren(make("div", { class: "gantt-bar" }, choice, back, on, legend), note, chart);

  // Sums of the buckets between two cycles, in at most COLUMNS columns.
  function columns(values, first, last, per) {
    const out = [];
    for (let i = first; i < last; i += per) {
      const end = Math.min(i + per, last);
      let sum = 0;
      for (let j = i; j < end; j++) sum += values[j] ?? 0;
      out.push(sum / ((end - i) * activity.bucket));
    }
    return out;
  }

  function draw() {
    const chosen = Number(choice.value), dark = document.documentElement.dataset.theme === "dark";
    const from = chosen < 0 ? 0 : calls[chosen][2], to = chosen < 0 ? activity.cycles : calls[chosen][3];
    const first = Math.floor(from / activity.bucket), last = Math.max(Math.min(Math.ceil(to / activity.bucket), activity.memory.length), first + 1);
    const per = Math.max(Math.ceil((last - first) / COLUMNS), 1), width = per * activity.bucket;
    const x = columns(activity.memory, first, last, per).map((_, i) => (first + i * per) * activity.bucket);
    x.push(x.at(-1) + width);
    const closed = (v) => [...v, v.at(-1)]; // steps end where their column ends
    const total = (values) => values.slice(first, last).reduce((a, b) => a + b, 0) / ((last - first) * activity.bucket);
    const rows = names.length + 1, traces = [], annotations = [], shapes = [];
    const layout = { showlegend: false, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", hovermode: "x unified", dragmode: "zoom",
      font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: css("--ink") || "#1b2330" }, margin: { l: 52, r: 34, t: 44, b: 46 },
      hoverlabel: { bgcolor: css("--card") || "#fff", bordercolor: css("--line") || "#ddd", font: { color: css("--ink") || "#1b2330" } },
      xaxis: { range: [from, to], title: { text: "clock cycle of the run" }, tickformat: ",d", hoverformat: ",d", ticks: "outside", linecolor: css("--line"), gridcolor: css("--grid"), anchor: `y${rows}` } };
    const busy = [];
    const step = (1 + 0.09) / rows;
    const place = (row, title) => {
      const top = 1 - row * step;
      layout[row ? `yaxis${row + 1}` : "yaxis"] = { domain: [Math.max(top - step + 0.09, 0), top], range: [0, 1], fixedrange: true, tickvals: [0, 0.5, 1], tickformat: ".0%", gridcolor: css("--grid"), linecolor: css("--line"), zeroline: false };
      annotations.push({ text: title, x: 0, xref: "paper", xanchor: "left", y: top, yref: "paper", yanchor: "bottom", showarrow: false, font: { size: 13 } });
    };
    names.forEach((name, row) => {
      const rates = activity.kernels[name].map(total);
      busy.push(`${name} multiplies ${percent(rates[0])} of the time`);
      place(row, `<b>${name}</b>: ${STATES.map(([state], i) => `${state} ${percent(rates[i])}`).join(", ")}`);
      STATES.forEach(([state, light, night], i) => traces.push({ x, y: closed(columns(activity.kernels[name][i], first, last, per)), name: `${name} ${state}`,
        yaxis: row ? `y${row + 1}` : "y", stackgroup: name, mode: "lines", fillcolor: dark ? night : light, hovertemplate: "%{y:.0%}",
        line: { width: 0, shape: "hv", color: dark ? night : light } }));
    });
    place(names.length, `<b>memory port</b>: ${total(activity.memory).toFixed(2)} words per cycle`);
    const port = layout[`yaxis${rows}`];
    const moved = columns(activity.memory, first, last, per);
    const most = moved.some((v) => v > 1) ? 2 : 1; // reading and writing at once
    Object.assign(port, { tickformat: ".1f", range: [0, most], tickvals: [0, most / 2, most] });
    // calls under the pointer: also those that are too narrow for a label
    const under = x.map((start) => calls.filter(([, , a, b]) => a < start + width && b > start).map(([name]) => name).join(", ")); // the last column closes the steps
    traces.push({ x, y: x.map(() => 0), text: under, yaxis: `y${rows}`, mode: "lines", line: { width: 0, color: "rgba(0,0,0,0)" }, hovertemplate: "<b>%{text}</b><extra></extra>" });
    traces.push({ x, y: closed(moved), name: "memory, words per cycle", yaxis: `y${rows}`, mode: "lines", fill: "tozeroy",
      fillcolor: dark ? "#98a3b3" : "#7a8594", line: { width: 0, shape: "hv", color: dark ? "#98a3b3" : "#7a8594" }, hovertemplate: "%{y:.2f}" });
    const room = (chart.clientWidth || 1100) - 86;
    calls.forEach(([name, , start, end], i) => {
      if (end <= from || start >= to) return;
      if (start > from) shapes.push({ type: "line", x0: start, x1: start, y0: 0, y1: 1, yref: "paper", line: { width: 1, color: css("--soft") || "#889", dash: "dot" } });
      const wide = room * (Math.min(end, to) - Math.max(start, from)) / (to - from);
      const text = [name, name.split(".")[0]].find((t) => t.length * LABEL + 4 < wide); // names that would overlap are left to the list
      if (text && chosen < 0) annotations.push({ text, x: (start + end) / 2, y: 1, yref: "paper", yanchor: "bottom", yshift: 20, showarrow: false, font: { size: 11, color: css("--soft") || "#556070" } });
    });
    note.textContent = `${chosen < 0 ? "Whole run" : calls[chosen][0]}: ${integer(to - from)} cycles, ${duration(to - from)} at ${activity.clock_hz / 1e6} MHz${activity.stalls ? `, while memory rested ${activity.stalls} of 1000 cycles at random` : ""}. ${busy.join(", ")}. A column is ${integer(width)} cycle${width === 1 ? "" : "s"}; blank: no part in the run, its share done, or between runs. Drag to look closer, double-click to go back.`;
    legend.replaceChildren(...STATES.map(([state, light, night]) => make("span", {}, make("i", { style: `background:${dark ? night : light}` }), state)));
    back.disabled = chosen < 0;
    on.disabled = chosen >= calls.length - 1;
    chart.style.height = `${rows * 128 + 90}px`;
    Plotly.react(chart, traces, { ...layout, annotations, shapes }, { displayModeBar: false, responsive: true });
  }
  const move = (by) => { choice.value = String(Number(choice.value) + by); draw(); };
  choice.addEventListener("change", draw);
  back.addEventListener("click", () => move(-1));
  on.addEventListener("click", () => move(1));
  const asked = /call=(\d+)/.exec(location.search);
  if (asked && Number(asked[1]) < calls.length) choice.value = asked[1];
  draw();
  return draw;
}
