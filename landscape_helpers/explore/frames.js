// Small multiples under sliders and menus. One source, two homes: an anywidget in a live notebook, and an inline script in a page
// without a kernel (see page.py), where the same state comes as JSON. Frames arrive as rows of float32; moving a slider
// to a stored value only rewrites path data. Between stored values Python is asked, one request at a time.

const MARGIN = { left: 42, right: 12, top: 10, bottom: 24, label: 34, head: 22 }; // label, head: the right and top margins where lines are named
const PATIENCE_MS = 20000;
const LIVE_STEPS = 4; // slider positions between two stored values when Python can compute
const SVG_TAGS = new Set(["svg", "g", "path", "line", "text", "rect", "circle", "clipPath", "defs"]);

function node(tag, attributes = {}, ...children) {
  const made = SVG_TAGS.has(tag) ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

const minus = (text) => text.replace(/-/g, "\u2212");

const SUPERSCRIPT = { "-": "\u207b", 0: "\u2070", 1: "\u00b9", 2: "\u00b2", 3: "\u00b3", 4: "\u2074", 5: "\u2075", 6: "\u2076", 7: "\u2077", 8: "\u2078", 9: "\u2079" };

function power(value, digits) {
  const [mantissa, exponent] = value.toExponential(digits).split("e");
  return `${minus(mantissa)}\u00d710${[...exponent.replace("+", "")].map((c) => SUPERSCRIPT[c]).join("")}`;
}

function number(value) {
  if (!Number.isFinite(value)) return "\u2013";
  const size = Math.abs(value);
  if (size !== 0 && (size >= 1e5 || size < 1e-3)) return power(value, 1);
  return minus(size >= 100 ? value.toFixed(0) : value.toPrecision(size < 1 ? 2 : 3));
}

function written(value, format) {
  const [, digits, kind] = format.match(/\.(\d)([gf])/);
  return kind === "f" ? value.toFixed(+digits) : String(+value.toPrecision(Math.max(1, +digits)));
}

function axis(kind, [low, high], from, to) {
  const t = kind === "log" ? Math.log10 : (v) => v;
  const [a, b] = [t(low), t(high)];
  return (value) => from + ((t(value) - a) / (b - a)) * (to - from);
}

function ticks(kind, [low, high], most) {
  const found = [];
  if (kind === "log") {
    const decades = Math.log10(high / low);
    const every = Math.max(1, Math.ceil(decades / most));
    const factors = decades > most / 2 ? [1] : decades > most / 4 ? [1, 3] : [1, 2, 5];
    for (let e = Math.floor(Math.log10(low)); e <= Math.log10(high); e++) {
      if (e % every === 0) for (const f of factors) found.push(f * 10 ** e);
    }
  } else {
    const raw = (high - low) / most;
    const unit = 10 ** Math.floor(Math.log10(raw));
    const step = unit * [1, 2, 5, 10].find((f) => f * unit >= raw * 0.999);
    for (let i = Math.ceil(low / step - 1e-9); i <= high / step + 1e-9; i++) found.push(i * step);
  }
  return found.filter((v) => v >= low * (1 - 1e-9) - (kind === "log" ? 0 : 1e-9) && v <= high * (1 + 1e-9) + 1e-12);
}

const tickText = (v) => (Math.abs(v) >= 1e5 || (v !== 0 && Math.abs(v) < 1e-3) ? power(v, 0).replace("1\u00d7", "") : minus(String(+v.toPrecision(3))));

// On axes that move, x is a share of their width.
function points(series, row, moving) {
  const found = [];
  const x = series.x && moving ? series.x.map((share) => moving[0] + share * (moving[1] - moving[0])) : series.x;
  for (let i = 0; i < (x ? x.length : (series.end - series.at) / 2); i++) {
    found.push(x ? [x[i], row[series.at + i]] : [row[series.at + 2 * i], row[series.at + 2 * i + 1]]);
  }
  return found;
}

function line(data, X, Y) {
  let d = "";
  let down = false;
  for (const [x, y] of data) {
    const [px, py] = [X(x), Y(y)];
    if (!Number.isFinite(px) || !Number.isFinite(py)) { down = false; continue; }
    const spot = Math.max(-9999, Math.min(9999, px)).toFixed(2) + "," + Math.max(-9999, Math.min(9999, py)).toFixed(2);
    d += down ? "L" + spot : "M" + spot + "L" + spot; // a lone point becomes a dot under round caps
    down = true;
  }
  return d;
}

const dots = (data, X, Y) => data.map(([x, y]) => [X(x), Y(y)]).filter(([x, y]) => Number.isFinite(x) && Math.abs(y) < 9999)
  .map(([x, y]) => `M${(x - 2.4).toFixed(2)},${y.toFixed(2)}a2.4,2.4 0 1,0 4.8,0a2.4,2.4 0 1,0 -4.8,0`).join("");

function makePanel(spec, onHover) {
  const values = spec.series.map(() => node("span", { class: "lx-value" }));
  const heights = spec.references.map(() => node("span", { class: "lx-value" }));
  const entry = (style, label, value, d = "M1,4H16") => node("li", {},
    node("svg", { class: "lx-swatch", width: 17, height: 8, "aria-hidden": "true" }, node("path", { class: style, d })), label, value);
  const strokes = spec.series.map((series, i) => `lx-line lx-s${i} lx-${series.line}`);
  const legend = node("ul", { class: "lx-legend" },
    ...spec.series.map((series, i) => (series.line === "none" ? entry(`lx-dots lx-s${i}`, series.label, values[i], "M6,4a2.4,2.4 0 1,0 4.8,0a2.4,2.4 0 1,0 -4.8,0") : entry(strokes[i], series.label, values[i]))),
    ...spec.references.flatMap((r, i) => (r.label && !r.faint && !r.vertical ? [entry("lx-reference", r.label, heights[i])] : [])));
  const right = spec.references.some((r) => r.label && !r.vertical) ? MARGIN.label : MARGIN.right;
  const head = spec.references.some((r) => r.label && r.vertical) ? MARGIN.head : MARGIN.top;
  const svg = node("svg", { role: "img", class: "lx-plot" });
  const where = node("span", { class: "lx-where" });
  const root = node("div", { class: "lx-panel" + (spec.wide ? " lx-wide" : "") },
    node("div", { class: "lx-title" }, spec.title, node("span", { class: "lx-unit" }, spec.y_label)),
    legend, svg, node("div", { class: "lx-foot" }, node("span", {}, spec.x_label), where));
  const clip = "lx" + Math.random().toString(36).slice(2);
  let X, Y, box, size, curves, marks, references, cross, veil, ball, row, hovered = null, played = null;
  let [x_range, y_range] = [spec.x_range, spec.y_range];

  function layout(width, height) {
    size = [width, height];
    box = { left: MARGIN.left, top: head, width: width - MARGIN.left - right, height: height - head - MARGIN.bottom };
    X = axis("linear", x_range, box.left, box.left + box.width);
    Y = axis(spec.y_scale, y_range, box.top + box.height, box.top);
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("height", height);
    svg.dataset.box = JSON.stringify({ ...box, x: x_range, y: y_range, scale: spec.y_scale });
    const grid = node("g", { class: "lx-grid", "aria-hidden": "true" });
    for (const v of ticks(spec.y_scale, y_range, height > 170 ? 5 : 4)) {
      grid.append(node("line", { x1: box.left, x2: box.left + box.width, y1: Y(v), y2: Y(v) }),
        node("text", { x: box.left - 6, y: Y(v) + 3.5, "text-anchor": "end" }, tickText(v)));
    }
    for (const v of ticks("linear", x_range, width > 260 ? 6 : 4)) {
      grid.append(node("line", { class: "lx-tick", x1: X(v), x2: X(v), y1: box.top + box.height, y2: box.top + box.height + 4 }),
        node("text", { x: X(v), y: box.top + box.height + 16, "text-anchor": "middle" }, tickText(v)));
    }
    grid.append(node("line", { class: "lx-axis", x1: box.left, x2: box.left + box.width, y1: box.top + box.height, y2: box.top + box.height }));
    curves = spec.series.map((_, i) => node("path", { class: `lx-curve ${strokes[i]}` }));
    marks = spec.series.map((_, i) => node("path", { class: `lx-dots lx-s${i}` }));
    references = spec.references.map((r) => [
      node("line", { class: "lx-reference" + (r.vertical ? " lx-upright" : "") + (r.faint ? " lx-faint" : ""), ...(r.vertical ? { y1: box.top, y2: box.top + box.height } : { x1: box.left, x2: box.left + box.width }) }),
      node("text", { class: "lx-reference-label" + (r.faint ? " lx-faint" : ""), ...(r.vertical ? { y: box.top - 6, "text-anchor": "middle" } : { x: box.left + box.width + 5 }) })]);
    cross = node("line", { class: "lx-cross", y1: box.top, y2: box.top + box.height, visibility: "hidden" });
    veil = node("rect", { class: "lx-veil", y: box.top - 2, height: box.height + 1, visibility: "hidden" });
    ball = node("circle", { class: "lx-ball", r: 5, visibility: "hidden" });
    svg.replaceChildren(
      node("defs", {}, node("clipPath", { id: clip }, node("rect", { x: box.left - 3, y: box.top - 3, width: box.width + 6, height: box.height + 4 }))),
      grid, node("g", { "clip-path": `url(#${clip})` },
        ...spec.background.map((b) => node("path", { class: "lx-background", d: line(b, X, Y) })),
        ...references.map((r) => r[0]), cross, ...curves, ...marks, veil, ball),
      ...references.map((r) => r[1]));
    if (row) update(row);
  }

  const moving = () => (spec.limits_at === null ? null : x_range);

  function update(next) {
    row = next;
    if (spec.limits_at !== null) {
      const limits = row.slice(spec.limits_at, spec.limits_at + 4);
      if (limits.some((v, i) => v !== [...x_range, ...y_range][i])) {
        [x_range, y_range] = [limits.slice(0, 2), limits.slice(2)].map((pair) => [...pair]);
        return layout(...size);
      }
    }
    spec.series.forEach((series, i) => {
      const data = points(series, row, moving());
      curves[i].setAttribute("d", line(data, X, Y));
      if (series.markers) marks[i].setAttribute("d", dots(data, X, Y));
    });
    spec.references.forEach((r, i) => {
      const height = r.value ?? row[r.at];
      const [rule, label] = references[i];
      if (r.vertical) {
        const x = X(height);
        const inside = x >= box.left - 0.5 && x <= box.left + box.width + 0.5;
        for (const side of ["x1", "x2"]) rule.setAttribute(side, inside ? x : 0);
        rule.setAttribute("visibility", inside ? "visible" : "hidden");
        label.setAttribute("x", inside ? x : 0);
        label.textContent = inside ? r.label : "";
        return;
      }
      const y = Y(height);
      const [above, below] = [y < box.top, !(y <= box.top + box.height)];
      rule.setAttribute("y1", y); rule.setAttribute("y2", y);
      rule.setAttribute("visibility", above || below ? "hidden" : "visible");
      const rank = 12 * spec.references.slice(0, i).filter((other) => other.label && !other.vertical).length; // lines off the axes: one above the other
      label.setAttribute("y", above ? box.top + 6 + rank : below ? box.top + box.height - rank : Math.max(y + 3.5, box.top + 6 + rank));
      label.textContent = r.label && r.label + (above ? "\u2191" : below ? "\u2193" : "");
      heights[i].textContent = number(height);
    });
    play(played);
  }

  // The numbers beside the legend: at the hovered step, else at the cursor, else where the panel rests, else at each
  // curve's last finite point.
  function reading(at = hovered ?? played ?? spec.rest) {
    return spec.series.map((series) => {
      const data = points(series, row, moving()).filter(([x, y]) => Number.isFinite(y) && Number.isFinite(x));
      if (!data.length || !series.x) return null;
      if (at === null) return data[data.length - 1];
      return data.reduce((best, p) => (Math.abs(p[0] - at) < Math.abs(best[0] - at) ? p : best));
    });
  }

  function hover(x) {
    hovered = x;
    const read = reading();
    read.forEach((p, i) => { values[i].textContent = p ? number(p[1]) : ""; });
    const last = Math.max(...read.map((p) => (p ? p[0] : -Infinity)));
    where.textContent = Number.isFinite(last) ? `values at ${spec.x_label} ${tickText(last)}` : "";
    cross.setAttribute("visibility", x === null || !Number.isFinite(last) ? "hidden" : "visible");
    if (x !== null && Number.isFinite(last)) { cross.setAttribute("x1", X(last)); cross.setAttribute("x2", X(last)); }
  }

  // What lies beyond the cursor is veiled, and a ball runs along the first curve. At null all is shown.
  function play(to) {
    played = to;
    const spot = to === null || !row ? null : reading(to)[0];
    for (const part of [veil, ball]) part.setAttribute("visibility", spot ? "visible" : "hidden");
    if (spot) {
      veil.setAttribute("x", X(to));
      veil.setAttribute("width", Math.max(0, box.left + box.width + 3 - X(to)));
      ball.setAttribute("cx", X(spot[0]));
      ball.setAttribute("cy", Math.max(box.top, Math.min(box.top + box.height, Y(spot[1]))));
    }
    if (row) hover(hovered);
  }

  svg.addEventListener("pointermove", (event) => {
    const bounds = svg.getBoundingClientRect();
    const share = ((event.clientX - bounds.left) / bounds.width * svg.viewBox.baseVal.width - box.left) / box.width;
    onHover(spec.x_label, share < -0.02 || share > 1.02 ? null : x_range[0] + share * (x_range[1] - x_range[0]));
  });
  svg.addEventListener("pointerleave", () => onHover(spec.x_label, null));
  const summary = () => reading().map((p, i) => p && `${spec.series[i].label} ${number(p[1])}`).filter(Boolean).join(", ");
  return { root, layout, update, hover, play, wide: spec.wide, name: spec.x_label, describe: (text) => svg.setAttribute("aria-label", `${spec.title}. ${text}`), title: spec.title, summary };
}

function makeSlider(spec, live, onMove) {
  const last = spec.values.length - 1;
  const input = node("input", { type: "range", min: 0, max: last, step: live ? 1 / LIVE_STEPS : 1, "aria-label": spec.label, "data-lm-suppress-shortcuts": "true" });
  const output = node("output", { class: "lx-setting" });
  const t = spec.scale === "log" ? Math.log : (v) => v;
  const valueAt = (p) => {
    const i = Math.min(last - 1, Math.floor(p));
    if (p === i || p === i + 1) return spec.values[p];
    const between = t(spec.values[i]) + (p - i) * (t(spec.values[i + 1]) - t(spec.values[i]));
    return spec.scale === "log" ? Math.exp(between) : between;
  };
  const positionOf = (v) => {
    const i = Math.max(0, Math.min(last - 1, spec.values.findLastIndex((u) => u <= v)));
    return Math.max(0, Math.min(last, i + (t(v) - t(spec.values[i])) / (t(spec.values[i + 1]) - t(spec.values[i]))));
  };
  const percent = (v) => `${(100 * positionOf(v)) / last}%`;
  const rail = node("div", { class: "lx-rail", "aria-hidden": "true" });
  const kinds = [...new Set(spec.bands.map(([label]) => label))];
  spec.bands.forEach(([label, from, to]) => {
    const band = node("div", { class: `lx-band lx-b${kinds.indexOf(label) % 3}` }, node("span", {}, label));
    band.style.left = percent(from);
    band.style.width = `${(100 * (positionOf(to) - positionOf(from))) / last}%`;
    rail.append(band);
  });
  const scale = node("div", { class: "lx-scale", "aria-hidden": "true" });
  for (const v of ticks(spec.scale, [spec.values[0], spec.values[last]], spec.scale === "log" ? 9 : 6)) {
    const tick = node("span", {}, tickText(v));
    tick.style.left = percent(v);
    const share = positionOf(v) / last; // ticks at the ends stay inside: notebooks cut off what sticks out
    if (share < 0.02 || share > 0.98) tick.style.transform = share < 0.5 ? "translateX(-11px)" : "translateX(calc(11px - 100%))";
    scale.append(tick);
  }
  const root = node("div", { class: "lx-slider" },
    node("div", { class: "lx-head" }, node("span", { class: "lx-label" }, spec.label), output),
    node("div", { class: "lx-track" }, rail, input), scale);
  if (!spec.bands.length) rail.append(node("div", { class: "lx-band" }));
  const value = () => (Number.isInteger(+input.value) ? valueAt(+input.value) : +written(valueAt(+input.value), spec.format));
  const text = () => minus(written(value(), spec.format));
  function show() {
    output.textContent = text();
    input.setAttribute("aria-valuetext", text());
  }
  input.addEventListener("input", () => { show(); onMove(); });
  return { root, position: () => +input.value, value, sentence: () => `${spec.label} ${text()}`, count: last + 1, set(p) { input.value = p; show(); } };
}

function makeChoice(spec, onMove) {
  const input = node("select", { class: "lx-menu", "data-lm-suppress-shortcuts": "true" }, ...spec.options.map((name) => node("option", {}, name)));
  const root = node("label", { class: "lx-choice" }, node("span", { class: "lx-label" }, spec.label), input);
  input.addEventListener("change", onMove);
  const position = () => input.selectedIndex;
  return { root, position, value: position, sentence: () => `${spec.label} ${spec.options[position()]}`, count: spec.options.length, set(p) { input.selectedIndex = p; } };
}

// A place along the curves: by hand, or played from one end to the other.
function makeCursor({ label, first, last, seconds }, onMove) {
  const shapes = { play: "M3,1L12,7L3,13Z", pause: "M3,1H6V13H3ZM9,1H12V13H9Z" };
  const shape = node("path", { d: shapes.play });
  const own = { "data-lm-suppress-shortcuts": "true" };
  const button = node("button", { type: "button", class: "lx-play", ...own }, node("svg", { width: 14, height: 14, "aria-hidden": "true" }, shape));
  const input = node("input", { type: "range", min: first, max: last, step: 1, "aria-label": label, ...own });
  const root = node("div", { class: "lx-cursor" }, button, input);
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  let at = last, before = null;

  function show(place) {
    at = place;
    const shown = before !== null && still.matches ? Math.floor(at) : at;
    input.value = Math.floor(at);
    input.setAttribute("aria-valuetext", `${Math.floor(at)} of ${last}`);
    onMove(shown < last ? shown : null, before !== null);
  }
  function run(now) {
    if (before === null) return;
    if (!root.isConnected) return pause();
    const to = at + ((now - before) / 1000 / seconds) * (last - first);
    before = now;
    if (to >= last) { pause(); return show(last); }
    show(to);
    requestAnimationFrame(run);
  }
  function pause() {
    before = null;
    shape.setAttribute("d", shapes.play);
    button.setAttribute("aria-label", `Play: ${label} ${first} to ${last}`);
  }
  button.addEventListener("click", () => {
    if (before !== null) { pause(); return show(Math.floor(at)); }
    before = performance.now();
    shape.setAttribute("d", shapes.pause);
    button.setAttribute("aria-label", "Pause");
    show(at >= last ? first : at);
    requestAnimationFrame(run);
  });
  input.addEventListener("input", () => { pause(); show(+input.value); });
  pause();
  return { root, label, start: () => show(last), pause };
}

function render({ model, el }) {
  const spec = model.get("spec");
  const live = model.get("live");
  const notes = model.get("notes");
  const bytes = (view) => new Float32Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
  const frames = bytes(model.get("frames"));
  const view = Math.random().toString(36).slice(2);

  const panels = spec.panels.map((p) => makePanel(p, (name, x) => panels.forEach((other) => other.name === name && other.hover(x))));
  const move = () => go(sliders.map((other) => other.position()));
  const sliders = spec.sliders.map((s) => (s.options ? makeChoice(s, move) : makeSlider(s, live, move)));
  const cursor = spec.cursor && makeCursor(spec.cursor, (at, playing) => {
    panels.filter((p) => p.name === cursor.label).forEach((p) => p.play(at));
    if (!playing) announce([`${cursor.label} ${at ?? spec.cursor.last}.`]);
  });
  const grid = node("div", { class: "lx-grid-of-panels" }, ...(cursor ? [cursor.root] : []), ...panels.map((p) => p.root));
  const note = node("p", { class: "lx-note" });
  const status = node("span", { class: "lx-status" });
  const alarm = node("p", { class: "lx-alarm", role: "alert", hidden: "" });
  const spoken = node("p", { class: "lx-spoken", "aria-live": "polite" });
  const caption = node("p", { class: "lx-caption" }, model.get("caption"));
  const root = node("div", { class: "lx", role: "group", "aria-label": model.get("alt") },
    node("div", { class: "lx-controls" }, ...sliders.map((s) => s.root)), node("div", { class: "lx-line-of-text" }, note, status), alarm, grid, caption, spoken);
  if (!model.get("caption")) caption.remove();
  el.replaceChildren(root);

  let asked = null, wanted = null, serial = 0, patience, speech, shown = null;

  // The stored frame at a position, or undefined between stored positions.
  function stored(position) {
    if (position.some((p) => !Number.isInteger(p))) return undefined;
    const index = position.reduce((sum, p, i) => sum * sliders[i].count + p, 0);
    return { row: frames.subarray(index * spec.size, (index + 1) * spec.size), note: notes[index] };
  }

  function draw(frame, position) {
    panels.forEach((p) => p.update(frame.row));
    const [first, ...others] = frame.note.split("\n");
    note.replaceChildren(others.length ? node("strong", {}, first) : first, ...others.map((text) => node("span", {}, text)));
    alarm.hidden = true;
    announce([`${sliders.map((s) => s.sentence()).join(", ")}.`, frame.note]);
    shown = position.join();
    root.dataset.position = shown;
  }

  function announce(sentences) {
    const all = [...sentences, ...panels.filter((p) => p.summary()).map((p) => `${p.title}: ${p.summary()}.`)];
    clearTimeout(speech);
    speech = setTimeout(() => { spoken.textContent = all.filter(Boolean).join(" "); panels.forEach((p) => p.describe(p.summary())); }, 300);
  }

  function settle(state, text = "") {
    root.dataset.state = state;
    status.textContent = text;
  }

  function fail(message) {
    alarm.textContent = message;
    alarm.hidden = false;
    settle("error");
  }

  function go(position) {
    const frame = stored(position);
    if (!frame) { wanted = position; settle("busy", "computing\u2026"); return ask(); }
    wanted = asked = null; // an answer still on its way is stale now
    clearTimeout(patience);
    draw(frame, position);
    settle("ready");
    share(position);
  }

  function share(position) {
    if (model.get("position").join() === position.join()) return;
    model.set("position", position);
    model.save_changes();
  }

  function ask() {
    if (asked || !wanted) return;
    asked = { id: ++serial, position: wanted, at: performance.now() };
    wanted = null;
    clearTimeout(patience);
    patience = setTimeout(() => {
      asked = wanted = null;
      fail("No answer from Python: the kernel is busy or gone. Settings computed beforehand still work.");
    }, PATIENCE_MS);
    model.send({ kind: "frame", view, id: asked.id, values: sliders.map((s) => s.value()) });
  }

  function answered(content, buffers) {
    if (content.view !== view || !asked || content.id !== asked.id) return;
    clearTimeout(patience);
    const { position, at } = asked;
    asked = null;
    if (content.kind === "error") fail(content.message);
    else {
      draw({ row: bytes(buffers[0]), note: content.note }, position);
      if (!wanted) { settle("ready", `computed just now, ${Math.round(performance.now() - at)} ms`); share(position); }
    }
    ask(); // the slider moved on meanwhile: only its latest position counts
  }

  function moved() {
    const position = model.get("position");
    if (position.join() === shown || position.join() === sliders.map((s) => s.position()).join()) return;
    sliders.forEach((s, i) => s.set(position[i]));
    go(position);
  }

  let width = 0;
  function fit() {
    if (Math.abs(grid.clientWidth - width) < 1 || !grid.clientWidth) return;
    width = grid.clientWidth;
    const narrow = panels.filter((p) => !p.wide).length;
    const columns = [4, 3, 2, 1].find((c) => c === 1 || (narrow % c === 0 && width / c >= 205));
    grid.style.gridTemplateColumns = `repeat(${columns}, minmax(0, 1fr))`;
    const each = (width - (columns - 1) * 16) / columns;
    const height = columns === 1 ? (width < 480 ? 148 : 200) : columns === 2 && panels.length === 2 ? 230 : 190;
    panels.forEach((p) => (p.wide ? p.layout(width, width < 480 ? 190 : 260) : p.layout(each, height)));
  }

  panels.forEach((p) => p.layout(300, 190));
  sliders.forEach((s, i) => s.set(model.get("position")[i]));
  go(model.get("position"));
  cursor?.start();
  const watcher = new ResizeObserver(fit);
  watcher.observe(grid);
  fit();
  model.on("msg:custom", answered);
  model.on("change:position", moved);
  return () => {
    watcher.disconnect();
    clearTimeout(patience); clearTimeout(speech);
    cursor?.pause();
    model.off("msg:custom", answered);
    model.off("change:position", moved);
  };
}

export default { render };
