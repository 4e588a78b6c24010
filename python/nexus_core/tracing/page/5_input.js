// What people do: zoom, pan, hover, search, choose.

const SMALLEST = 1e-8;

function look(from, to) {
  const room = whole.to - whole.from;
  const length = Math.min(Math.max(to - from, SMALLEST), room * 1.04);
  const margin = room * 0.02;
  from = Math.min(Math.max(from, whole.from - margin), whole.to + margin - length);
  state.view = { from, to: from + length };
  redraw();
}

function zoom(factor, around = (state.view.from + state.view.to) / 2) {
  const { from, to } = state.view;
  const length = Math.min(Math.max((to - from) * factor, SMALLEST), (whole.to - whole.from) * 1.04);
  const share = (around - from) / (to - from);
  look(around - share * length, around + (1 - share) * length);
}

function pan(share) {
  const length = state.view.to - state.view.from;
  look(state.view.from + share * length, state.view.to + share * length);
}

function fit() {
  const run = state.run >= 0 ? about.runs[state.run] : null;
  if (run) look(run.began - (run.ended - run.began) * 0.01, run.ended + (run.ended - run.began) * 0.01); else look(whole.from, whole.to);
}

function hit(x, y) {
  if (x < gutter || y < AXIS) return -1;
  const layout = rows(), row = Math.floor((y - AXIS + scroller.scrollTop) / HEIGHT);
  if (row < 0 || row >= layout.list.length) return -1;
  const near = 3 / scale(), time = timeAt(x);
  const [low, high] = visible(layout, row, time - near, time + near);
  let best = -1, least = near;
  for (let k = low; k < high; k++) {
    const i = layout.at[k];
    const away = Math.max(events.start[i] - time, time - events.end[i], 0);
    if (away <= least) { best = i; least = away; }
  }
  return best;
}

function select(i) {
  state.selected = i;
  showDetail();
  redraw();
}

function reveal(i) {
  const y = rows().rowOf[i] * HEIGHT, room = height - AXIS;
  if (y < scroller.scrollTop || y + HEIGHT > scroller.scrollTop + room) scroller.scrollTop = y - room / 2;
}

function goTo(i) {
  if (i < 0) return;
  const length = Math.max(events.end[i] - events.start[i], 1e-7);
  if (length / (state.view.to - state.view.from) < 0.02 || events.start[i] < state.view.from || events.end[i] > state.view.to) look(events.start[i] - 3 * length, events.end[i] + 3 * length);
  reveal(i);
  select(i);
}

// --- the pointer: drag to pan, two fingers to zoom -----------------------------------

const fingers = new Map();
let moved = 0;

function place(event) {
  const area = canvas.getBoundingClientRect();
  return { x: event.clientX - area.left, y: event.clientY - area.top };
}

canvas.addEventListener("pointerdown", (event) => {
  canvas.setPointerCapture(event.pointerId);
  fingers.set(event.pointerId, place(event));
  moved = 0;
  canvas.focus({ preventScroll: true });
});
canvas.addEventListener("pointermove", (event) => {
  const now = place(event), before = fingers.get(event.pointerId);
  if (!before) {
    const over = hit(now.x, now.y);
    if (over !== state.hovered) { state.hovered = over; redraw(); }
    showTip(over, now.x, now.y);
    return;
  }
  const others = [...fingers].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
  if (others.length) {
    const was = Math.abs(before.x - others[0].x), is = Math.abs(now.x - others[0].x);
    if (was > 8 && is > 8) zoom(was / is, timeAt((now.x + others[0].x) / 2));
  }
  const share = others.length ? 0.5 : 1;
  look(state.view.from - ((now.x - before.x) * share) / scale(), state.view.to - ((now.x - before.x) * share) / scale());
  scroller.scrollTop -= (now.y - before.y) * share;
  moved += Math.abs(now.x - before.x) + Math.abs(now.y - before.y);
  if (moved > 4) { scroller.classList.add("dragging"); showTip(-1); }
  fingers.set(event.pointerId, now);
});
function lifted(event) {
  if (fingers.delete(event.pointerId) && event.type === "pointerup" && moved <= 4) {
    const at = place(event);
    select(hit(at.x, at.y));
  }
  if (!fingers.size) scroller.classList.remove("dragging");
}
canvas.addEventListener("pointerup", lifted);
canvas.addEventListener("pointercancel", lifted);
canvas.addEventListener("pointerleave", () => { state.hovered = -1; showTip(-1); redraw(); });
canvas.addEventListener("dblclick", (event) => {
  const at = place(event), i = hit(at.x, at.y);
  if (i >= 0) { const room = (events.end[i] - events.start[i] || 1e-7) * 0.3; look(events.start[i] - room, events.end[i] + room); }
});
canvas.addEventListener("wheel", (event) => {
  const { x } = place(event);
  if (event.altKey || x < gutter) return; // the rows scroll
  event.preventDefault();
  const unit = event.deltaMode === 1 ? 18 : event.deltaMode === 2 ? 400 : 1;
  const [across, along] = [event.deltaX * unit, event.deltaY * unit];
  if (event.shiftKey || Math.abs(across) > Math.abs(along)) pan((across || along) / (width - gutter));
  else zoom(Math.exp(Math.max(Math.min(along, 300), -300) * (event.ctrlKey ? 0.01 : 0.0022)), timeAt(x));
}, { passive: false });

// --- the overview: drag a range ------------------------------------------------------

let dragged = null;
const overviewTime = (event) => {
  const area = overview.getBoundingClientRect();
  return whole.from + ((event.clientX - area.left - gutter) / (area.width - gutter - 8)) * (whole.to - whole.from);
};
overview.addEventListener("pointerdown", (event) => {
  overview.setPointerCapture(event.pointerId);
  const time = overviewTime(event), { from, to } = state.view;
  const moves = time > from && time < to && to - from < (whole.to - whole.from) * 0.98;
  dragged = { time, moves, from, to };
});
overview.addEventListener("pointermove", (event) => {
  if (!dragged) return;
  const time = overviewTime(event);
  if (dragged.moves) look(dragged.from + time - dragged.time, dragged.to + time - dragged.time);
  else if (Math.abs(time - dragged.time) > (whole.to - whole.from) / 400) look(Math.min(time, dragged.time), Math.max(time, dragged.time));
});
overview.addEventListener("pointerup", () => { dragged = null; });
overview.addEventListener("dblclick", fit);

// --- keys ----------------------------------------------------------------------------

function step(by) {
  const layout = rows();
  if (!count) return;
  if (state.selected < 0) {
    const seen = byStart.find((i) => events.end[i] >= state.view.from);
    return goTo(seen ?? byStart[0]);
  }
  const row = layout.rowOf[state.selected];
  const list = layout.at.subarray(layout.first[row], layout.first[row + 1]);
  const next = list.indexOf(state.selected) + by;
  if (next >= 0 && next < list.length) return goTo(list[next]);
  const other = row + by;
  if (other >= 0 && other < layout.list.length) goTo(layout.at[by > 0 ? layout.first[other] : layout.first[other + 1] - 1]);
}

const KEYS = {
  "+": () => zoom(0.7), "=": () => zoom(0.7), w: () => zoom(0.7), "-": () => zoom(1 / 0.7), s: () => zoom(1 / 0.7),
  ArrowLeft: () => pan(-0.12), a: () => pan(-0.12), ArrowRight: () => pan(0.12), d: () => pan(0.12),
  ArrowUp: () => { scroller.scrollTop -= 3 * HEIGHT; }, ArrowDown: () => { scroller.scrollTop += 3 * HEIGHT; },
  0: fit, f: fit, Home: fit, Enter: () => step(1), n: () => step(1), p: () => step(-1),
  Escape: () => { select(-1); showTip(-1); },
};
canvas.addEventListener("keydown", (event) => {
  const action = !event.ctrlKey && !event.metaKey && !event.altKey && KEYS[event.key];
  if (action) { event.preventDefault(); action(); }
});
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && !["INPUT", "SELECT"].includes(document.activeElement.tagName)) { event.preventDefault(); $("search").focus(); }
});

// --- search, rows, runs, theme -------------------------------------------------------

let found = [], at = -1;
function search() {
  const wanted = $("search").value.trim().toLowerCase();
  found = [];
  at = -1;
  state.matches = null;
  if (wanted) {
    state.matches = new Set();
    about.workflows.forEach((workflow, number) => workflow.nodes.forEach(([name, type], node) => {
      if (name.toLowerCase().includes(wanted) || type.toLowerCase().includes(wanted)) state.matches.add(node + ":" + number);
    }));
    found = Array.from(byStart.filter((i) => state.matches.has(events.node[i] + ":" + about.runs[events.run[i]].workflow)));
  }
  $("found").textContent = wanted ? found.length.toLocaleString("en") + " found" : "";
  redraw();
}
$("search").addEventListener("input", search);
$("search").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && found.length) {
    at = (at + (event.shiftKey ? found.length - 1 : 1) + (at < 0 && event.shiftKey ? 1 : 0)) % found.length;
    goTo(found[at]);
    $("found").textContent = `${(at + 1).toLocaleString("en")} of ${found.length.toLocaleString("en")}`;
  } else if (event.key === "Escape") { $("search").value = ""; search(); canvas.focus(); }
});

function arrange(mode) {
  state.mode = mode;
  document.querySelectorAll("[data-mode]").forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.mode === mode)));
  measure();
  scroller.scrollTop = 0;
  if (state.selected >= 0) reveal(state.selected);
  redraw();
}
document.querySelectorAll("[data-mode]").forEach((button) => button.addEventListener("click", () => arrange(button.dataset.mode)));
document.querySelectorAll("[data-shows]").forEach((button) => button.addEventListener("click", () => {
  const what = button.dataset.shows;
  state.shown[what] = !state.shown[what];
  button.setAttribute("aria-pressed", String(state.shown[what]));
  redraw();
}));
$("in").addEventListener("click", () => zoom(0.5));
$("out").addEventListener("click", () => zoom(2));
$("fit").addEventListener("click", fit);

const chooser = $("run");
for (const number of about.choices) {
  const option = element("option", about.runs[number].label + " · " + readable(about.runs[number].ended - about.runs[number].began));
  option.value = String(number);
  chooser.append(option);
}
chooser.hidden = about.runs.length < 2;
chooser.addEventListener("change", () => {
  state.run = Number(chooser.value);
  showSummary();
  fit();
  if (state.run >= 0 && ofRun.first[state.run] < ofRun.first[state.run + 1]) reveal(ofRun.at[ofRun.first[state.run]]);
});
document.querySelector('[data-mode="run"]').hidden = about.runs.length < 2;

function dress(theme) {
  document.documentElement.dataset.theme = theme;
  $("theme").setAttribute("aria-label", theme === "dark" ? "Use light colours" : "Use dark colours");
  $("theme").textContent = theme === "dark" ? "☀" : "☾";
  readColours();
  redraw();
}
const prefers = matchMedia("(prefers-color-scheme: dark)");
$("theme").addEventListener("click", () => dress(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
prefers.addEventListener("change", () => dress(prefers.matches ? "dark" : "light"));
document.querySelectorAll("#nodes-head th button").forEach((button, k) => button.addEventListener("click", () => {
  order = { column: k, down: order.column === k ? !order.down : k > 1 };
  showNodes();
}));
scroller.addEventListener("scroll", redraw);
// Not within the notice itself, which may change the size again.
new ResizeObserver(() => requestAnimationFrame(() => { measure(); draw(); drawOverview(); })).observe(scroller.parentElement);

showSummary();
showThreads();
showNodes();
showDetail();
dress(prefers.matches ? "dark" : "light");
arrange(state.mode);
