// The timeline: an axis above rows of bars. Only what can be seen is drawn.

const HEIGHT = 24, AXIS = 26, BAR = 16;
const $ = (id) => document.getElementById(id);
const canvas = $("timeline"), overview = $("overview"), scroller = $("rows");
const paint = canvas.getContext("2d"), paintOverview = overview.getContext("2d");
let colours = {}, hatch = null, gutter = 120, width = 0, height = 0, scheduled = false;
const widths = new Map();

function readColours() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["panel", "sunken", "line", "faint", "text", "muted", "accent", "node", "node-text", "critical", "critical-text",
    "failed", "cached", "skipped", "cancelled", "lock", "lock-ground", "queue", "slack", "hover", "match"]) colours[name] = style.getPropertyValue("--" + name).trim();
  const tile = document.createElement("canvas");
  tile.width = tile.height = 6;
  const ink = tile.getContext("2d");
  ink.fillStyle = colours["lock-ground"];
  ink.fillRect(0, 0, 6, 6);
  ink.strokeStyle = colours.lock;
  ink.lineWidth = 1.6;
  ink.beginPath();
  for (const x of [-3, 3, 9]) { ink.moveTo(x - 3, 6 + 3); ink.lineTo(x + 6, 0); }
  ink.stroke();
  hatch = paint.createPattern(tile, "repeat");
}

function fitCanvas(element, ink, wide, high) {
  const ratio = window.devicePixelRatio || 1;
  element.width = Math.round(wide * ratio);
  element.height = Math.round(high * ratio);
  element.style.width = wide + "px";
  element.style.height = high + "px";
  ink.setTransform(ratio, 0, 0, ratio, 0, 0);
}

function measure() {
  const list = rows().list;
  const content = Math.max(list.length * HEIGHT + AXIS + 6, 110);
  $("spacer").style.height = Math.max(content - Math.min(content, maxHeight()), 0) + "px";
  width = scroller.clientWidth;
  height = Math.min(content, maxHeight());
  scroller.style.height = height + "px";
  // Their content is gone with the size: whoever measures draws before the next frame.
  fitCanvas(canvas, paint, width, height);
  fitCanvas(overview, paintOverview, overview.parentElement.clientWidth, 54);
  paint.font = "12px system-ui, sans-serif";
  const longest = list.slice(0, 4000).reduce((most, row) => Math.max(most, textWidth(row.label)), 40);
  gutter = Math.min(Math.ceil(longest) + 26, Math.max(width * 0.24, 90));
}

const maxHeight = () => Math.max(Math.round(window.innerHeight * 0.58), 200);
const scale = () => (width - gutter - 8) / (state.view.to - state.view.from);
const xOf = (time) => gutter + (time - state.view.from) * scale();
const timeAt = (x) => state.view.from + (x - gutter) / scale();

function textWidth(text) {
  let found = widths.get(text);
  if (found === undefined) {
    if (widths.size > 20000) widths.clear();
    widths.set(text, (found = paint.measureText(text).width));
  }
  return found;
}

function cut(text, room) {
  if (textWidth(text) <= room) return text;
  let low = 0, high = text.length;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (paint.measureText(text.slice(0, middle) + "…").width <= room) low = middle; else high = middle - 1;
  }
  return low ? text.slice(0, low) + "…" : "";
}

function redraw() {
  if (scheduled) return;
  scheduled = true;
  requestAnimationFrame(() => { scheduled = false; draw(); drawOverview(); });
}

const isDim = (i) => (state.run >= 0 && events.run[i] !== state.run) || (state.matches && !state.matches.has(events.node[i] + ":" + about.runs[events.run[i]].workflow));

// What kind of bar: also the order in which one hides another that falls on the same pixel.
function kindOf(i) {
  const status = events.status[i];
  if (status === FAILED) return "failed";
  if (state.shown.critical && events.critical[i]) return "critical";
  if (status === CACHED) return "cached";
  if (status === CANCELLED) return "cancelled";
  return status === SKIPPED ? "skipped" : "node";
}
const RANK = { failed: 5, critical: 4, cancelled: 3, cached: 2, node: 1, skipped: 0 };

function draw() {
  const layout = rows(), top = scroller.scrollTop;
  // For whoever looks at the page from outside: what part is shown, in seconds.
  canvas.dataset.from = state.view.from;
  canvas.dataset.to = state.view.to;
  paint.clearRect(0, 0, width, height);
  paint.fillStyle = colours.panel;
  paint.fillRect(0, 0, width, height);
  paint.font = "12px system-ui, sans-serif";
  const first = Math.max(Math.floor(top / HEIGHT), 0), last = Math.min(Math.ceil((top + height - AXIS) / HEIGHT), layout.list.length);
  paint.save();
  paint.beginPath();
  paint.rect(0, AXIS, width, height - AXIS);
  paint.clip();
  for (let row = first; row < last; row++) {
    if (row % 2) { paint.fillStyle = colours.sunken; paint.globalAlpha = 0.55; paint.fillRect(0, AXIS + row * HEIGHT - top, width, HEIGHT); paint.globalAlpha = 1; }
  }
  drawGrid();
  paint.beginPath();
  paint.rect(gutter, AXIS, width - gutter, height - AXIS);
  paint.clip();
  for (let row = first; row < last; row++) drawRow(layout, row, AXIS + row * HEIGHT - top);
  if (state.shown.edges) drawEdges(layout, top);
  for (const i of [state.hovered, state.selected]) if (i >= 0) outline(layout, i, top);
  paint.restore();
  drawLabels(layout, first, last, top);
  drawAxis();
}

function drawRow(layout, row, y) {
  const [low, high] = visible(layout, row, state.view.from, state.view.to);
  const pixels = scale(), middle = y + HEIGHT / 2, up = y + (HEIGHT - BAR) / 2;
  let pixel = -1, rank = -1;
  for (let k = low; k < high; k++) {
    const i = layout.at[k];
    const left = gutter + (events.start[i] - state.view.from) * pixels;
    const right = gutter + (events.end[i] - state.view.from) * pixels;
    const kind = kindOf(i), wide = right - left;
    if (wide < 1.2) {
      // Many on one pixel: the one that matters most stands for them.
      const at = Math.floor(left);
      if (at === pixel && RANK[kind] <= rank) continue;
      rank = at === pixel ? Math.max(rank, RANK[kind]) : RANK[kind];
      pixel = at;
    }
    const focused = i === state.hovered || i === state.selected;
    const dim = isDim(i);
    if (!dim && (state.mode !== "thread" || focused)) drawWaits(i, left, right, middle, pixels, focused);
    paint.globalAlpha = dim ? 0.16 : 1;
    drawBar(i, kind, left, right, up);
    paint.globalAlpha = 1;
  }
}

function drawWaits(i, left, right, middle, pixels, focused) {
  const queued = events.queued[i] * pixels, taken = left - events.lock[i] * pixels;
  if (state.shown.queue && queued > 1) {
    paint.fillStyle = colours.queue;
    const from = Math.max(taken - queued, gutter - 2);
    paint.fillRect(from, middle - 1.5, taken - from, 3);
    paint.fillRect(taken - queued, middle - 5, 1.5, 10);
  }
  const slack = events.slack[i] * pixels;
  if (state.shown.slack && slack > 2 && (state.mode === "node" || focused)) {
    const to = Math.min(right + slack, width);
    paint.fillStyle = colours.slack;
    for (let x = Math.max(Math.round(right) + 3, gutter); x < to - 2; x += 5) paint.fillRect(x, Math.round(middle) - 1, 2, 2);
    if (right + slack <= width) paint.fillRect(Math.round(to) - 1, Math.round(middle) - 4, 2, 8);
  }
}

function drawBar(i, kind, left, right, up) {
  const from = Math.max(left, gutter - 4), wide = Math.max(Math.min(right, width + 4) - from, 1.2);
  const path = () => {
    paint.beginPath();
    if (wide > 7) paint.roundRect(from, up, wide, BAR, 3); else paint.rect(from, up, wide, BAR);
  };
  path();
  if (kind === "skipped") {
    paint.strokeStyle = colours.skipped;
    paint.lineWidth = 1.5;
    paint.stroke();
    return;
  }
  paint.fillStyle = colours[kind];
  paint.fill();
  const lock = events.lock[i] * scale();
  if (state.shown.lock && lock > 1) {
    const begin = Math.max(left - lock, gutter - 4);
    paint.fillStyle = hatch;
    paint.fillRect(begin, up + 2, left - begin, BAR - 4);
    paint.fillStyle = colours.lock;
    paint.fillRect(left - lock, up + 2, 1, BAR - 4);
  }
  if (wide > 4) {
    // A gap between neighbours, which may follow each other without one.
    paint.fillStyle = colours.panel;
    paint.fillRect(from + wide - 0.75, up, 0.75, BAR);
  }
  const room = wide - 12;
  // Where the row has the node's name, a piece of it says nothing.
  if (room > (state.mode === "node" ? 74 : 22) || (room > 9 && textWidth(nameOf(i)) <= room)) {
    const text = cut((kind === "failed" ? "✕ " : "") + nameOf(i), room);
    paint.fillStyle = kind === "critical" || kind === "failed" ? colours["critical-text"] : colours["node-text"];
    paint.textBaseline = "middle";
    paint.textAlign = "left";
    paint.fillText(text, from + 6, up + BAR / 2 + 0.5);
  }
}

function box(layout, i, top) {
  const row = layout.rowOf[i];
  return { left: xOf(events.start[i]), right: xOf(events.end[i]), y: AXIS + row * HEIGHT - top + HEIGHT / 2 };
}

function outline(layout, i, top) {
  const { left, right, y } = box(layout, i, top);
  paint.strokeStyle = i === state.selected ? colours.accent : colours.hover;
  paint.lineWidth = 2;
  paint.beginPath();
  paint.roundRect(Math.max(left, gutter - 6) - 1.5, y - BAR / 2 - 1.5, Math.max(Math.min(right, width + 6) - Math.max(left, gutter - 6), 1.2) + 3, BAR + 3, 4);
  paint.stroke();
}

function drawEdges(layout, top) {
  const chosen = state.selected >= 0 ? state.selected : state.hovered;
  const lines = [];
  if (chosen >= 0) {
    const { before, after } = neighbours(chosen);
    for (const other of before) lines.push([other, chosen, colours.accent, 1.5]);
    for (const other of after) lines.push([chosen, other, colours.accent, 1.5]);
  } else if (state.shown.critical && (about.runs.length === 1 || state.run >= 0)) {
    const run = Math.max(state.run, 0);
    let previous = -1, drawn = 0;
    for (let k = ofRun.first[run]; k < ofRun.first[run + 1] && drawn < 3000; k++) {
      const i = ofRun.at[k];
      if (!events.critical[i]) continue;
      if (previous >= 0) { lines.push([previous, i, colours.critical, 1.4]); drawn++; }
      previous = i;
    }
  }
  for (const [from, to, colour, thick] of lines) {
    const a = box(layout, from, top), b = box(layout, to, top);
    if ((a.right < gutter && b.left < gutter) || (a.right > width && b.left > width)) continue;
    if (Math.max(a.y, b.y) < AXIS || Math.min(a.y, b.y) > height) continue;
    const bend = Math.max(Math.min((b.left - a.right) / 2, 60), 9);
    paint.strokeStyle = colour;
    paint.lineWidth = thick;
    paint.globalAlpha = 0.9;
    paint.beginPath();
    paint.moveTo(a.right, a.y);
    paint.bezierCurveTo(a.right + bend, a.y, b.left - bend, b.y, b.left, b.y);
    paint.stroke();
    if (thick > 1.4) {
      paint.fillStyle = colour;
      paint.beginPath();
      paint.moveTo(b.left + 1, b.y); paint.lineTo(b.left - 6, b.y - 3.5); paint.lineTo(b.left - 6, b.y + 3.5);
      paint.fill();
    }
    paint.globalAlpha = 1;
  }
}

function drawLabels(layout, first, last, top) {
  paint.save();
  paint.fillStyle = colours.panel;
  paint.fillRect(0, AXIS, gutter - 1, height - AXIS);
  paint.beginPath();
  paint.rect(0, AXIS, gutter - 8, height - AXIS);
  paint.clip();
  paint.textBaseline = "middle";
  paint.textAlign = "left";
  const chosen = state.hovered >= 0 ? layout.rowOf[state.hovered] : -1;
  for (let row = first; row < last; row++) {
    const { label, lane } = layout.list[row];
    paint.fillStyle = row === chosen ? colours.text : colours.muted;
    const isOnPath = state.mode === "node" && state.shown.critical && layout.list[row].size === 1 && events.critical[layout.at[layout.first[row]]];
    if (isOnPath) paint.fillStyle = colours.critical;
    if (!lane) paint.fillText(cut(label, gutter - 24), 14, AXIS + row * HEIGHT - top + HEIGHT / 2 + 0.5);
  }
  paint.restore();
  paint.fillStyle = colours.line;
  paint.fillRect(gutter - 1, 0, 1, height);
}

function ticks() {
  const least = (state.view.to - state.view.from) / Math.max((width - gutter) / 105, 1);
  const power = 10 ** Math.floor(Math.log10(least));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= least * 0.999);
  const found = [];
  const origin = state.run >= 0 ? about.runs[state.run].began : whole.from;
  for (let k = Math.ceil((state.view.from - origin) / step); found.length < 500; k++) {
    const time = origin + k * step;
    if (time > state.view.to) break;
    found.push([time, k * step, step]);
  }
  return found;
}

function drawGrid() {
  paint.fillStyle = colours.faint;
  for (const [time] of ticks()) if (xOf(time) >= gutter) paint.fillRect(Math.round(xOf(time)), AXIS, 1, height);
}

function drawAxis() {
  paint.fillStyle = colours.panel;
  paint.fillRect(0, 0, width, AXIS);
  paint.fillStyle = colours.line;
  paint.fillRect(0, AXIS - 1, width, 1);
  paint.textBaseline = "middle";
  paint.textAlign = "left";
  for (const [time, told, step] of ticks()) {
    const x = Math.round(xOf(time));
    paint.fillStyle = colours.line;
    paint.fillRect(x, AXIS - 7, 1, 7);
    paint.fillStyle = colours.muted;
    const text = readableTick(told, step);
    if (x + textWidth(text) + 4 < width) paint.fillText(text, x + 4, AXIS / 2);
  }
  paint.fillStyle = colours.panel;
  paint.fillRect(0, 0, gutter - 1, AXIS - 1);
  paint.fillStyle = colours.muted;
  paint.fillText({ thread: "Thread", node: "Node", run: "Run" }[state.mode], 14, AXIS / 2);
}

// With as many digits as neighbouring ticks need to differ.
function readableTick(seconds, step) {
  const size = Math.max(Math.abs(seconds), step);
  const [unit, name] = size >= 1 ? [1, "s"] : size >= 1e-3 ? [1e-3, "ms"] : size >= 1e-6 ? [1e-6, "µs"] : [1e-9, "ns"];
  if (Math.abs(seconds) < step / 2) return "0";
  return (seconds / unit).toFixed(Math.max(0, Math.ceil(-Math.log10(step / unit) - 1e-9))) + " " + name;
}

// At each pixel of the overview the most that run at once; the same until the window changes.
let drawn = { wide: -1, most: [] };
function skyline(wide) {
  if (drawn.wide === wide) return drawn.most;
  const most = new Uint32Array(wide);
  let k = 0, now = 0;
  for (let x = 0; x < wide; x++) {
    const until = whole.from + ((x + 1) / wide) * (whole.to - whole.from);
    most[x] = now;
    while (k < steps.times.length && steps.times[k] < until) { now = steps.counts[k++]; most[x] = Math.max(most[x], now); }
  }
  drawn = { wide, most };
  return most;
}

function drawOverview() {
  const wide = overview.parentElement.clientWidth, high = 54, base = high - 4;
  const ink = paintOverview, pixels = (wide - gutter - 8) / (whole.to - whole.from);
  ink.clearRect(0, 0, wide, high);
  ink.fillStyle = colours.node;
  skyline(Math.max(Math.floor(wide - gutter - 8), 0)).forEach((most, x) => {
    const bar = (most / steps.most) * (high - 14);
    ink.fillRect(gutter + x, base - bar, 1, bar);
  });
  ink.fillStyle = colours.muted;
  ink.font = "11px system-ui, sans-serif";
  ink.textBaseline = "middle";
  ink.textAlign = "left";
  ink.fillText("At once", 14, high / 2 - 7);
  ink.fillText("≤ " + steps.most, 14, high / 2 + 8);
  const left = gutter + (state.view.from - whole.from) * pixels, right = gutter + (state.view.to - whole.from) * pixels;
  ink.fillStyle = colours.panel;
  ink.globalAlpha = 0.66;
  ink.fillRect(gutter, 0, left - gutter, high);
  ink.fillRect(right, 0, wide - right, high);
  ink.globalAlpha = 1;
  if (right - left < wide - gutter - 10) {
    ink.strokeStyle = colours.accent;
    ink.lineWidth = 1.5;
    ink.strokeRect(left, 1, Math.max(right - left, 2), high - 2);
  }
}
