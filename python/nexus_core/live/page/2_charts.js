// Lines over the last five minutes, or as much as there is, on canvases that are drawn again when something has changed.
const SPAN = 300, GAP = 6;
// What there is, in whole minutes.
const span = () => { const first = samples[0], last = samples[samples.length - 1]; return first ? Math.min(SPAN, Math.max(1, Math.ceil((last.at - first.at) / 60)) * 60) : 60; };
const CHARTS = [
  { id: "throughput", title: "Throughput", unit: "rate", lines: [["throughput", "runs", "one", true]] },
  { id: "latency", title: "Latency of runs", unit: "seconds", lines: [["p50", "p50", "one"], ["p90", "p90", "two"], ["p99", "p99", "three"]] },
  { id: "errors", title: "Failed runs", unit: "rate", lines: [["failures", "failed", "three", true]] },
  { id: "concurrency", title: "Concurrency", unit: "count", lines: [["active", "runs", "one", true], ["places_taken", "nodes", "four"], ["waiting", "in line", "two"]] },
  { id: "queue", title: "Waits of nodes, p99", unit: "seconds", lines: [["queue_p99", "queue", "one"], ["gil_p99", "interpreter", "two"]] },
  { id: "lag", title: "Event loop lag", unit: "seconds", lines: [["lag_p99", "p99", "one", true]] },
  { id: "cpu", title: "Processors busy", unit: "count", lines: [["cpu", "cores", "one", true]] },
  { id: "memory", title: "Resident memory", unit: "bytes", lines: [["memory", "bytes", "one", true]] },
  { id: "cache", title: "Cache hit ratio", unit: "share", most: 1, lines: [["hit_ratio", "hits", "four", true]], optional: true },
];
const samples = [];
const charts = CHARTS.map(made);

function made(kind) {
  const panel = document.createElement("section"), heading = document.createElement("h2");
  panel.className = "panel chart";
  panel.id = `chart-${kind.id}`;
  panel.hidden = Boolean(kind.optional);
  heading.append(kind.title);
  const legend = document.createElement("span");
  legend.className = "legend";
  const values = kind.lines.map(([, label, colour]) => {
    const entry = document.createElement("span"), key = document.createElement("i"), value = document.createElement("b");
    key.className = `key ${colour}`;
    entry.append(key, `${label} `, value);
    legend.append(entry);
    return value;
  });
  heading.append(legend);
  const canvas = document.createElement("canvas"), tip = document.createElement("div");
  canvas.setAttribute("role", "img");
  tip.className = "tip";
  tip.hidden = true;
  panel.append(heading, canvas, tip);
  element("charts").append(panel);
  const chart = { ...kind, panel, canvas, values, tip, pointer: null };
  canvas.addEventListener("pointermove", (event) => { chart.pointer = event.offsetX; draw(chart); });
  canvas.addEventListener("pointerleave", () => { chart.pointer = null; draw(chart); });
  return chart;
}

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

// The next of 1, 2, 5 times a power of ten; of bytes, of a power of two.
function rounded(most, unit) {
  if (!(most > 0)) return unit === "seconds" ? 1e-3 : 1;
  if (unit === "bytes") { let top = 1 << 20; while (top < most) top *= 1.5; return top; }
  const power = 10 ** Math.floor(Math.log10(most));
  return [1, 2, 5, 10].map((step) => step * power).find((step) => step >= most * 0.999);
}

function draw(chart) {
  const { canvas } = chart, ratio = window.devicePixelRatio || 1;
  const width = canvas.clientWidth, height = canvas.clientHeight;
  if (!width || !height) return;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  pen.font = "11px system-ui, sans-serif";
  const left = 58, right = width - 4, top = 8, bottom = height - 18;
  const to = samples.length ? samples[samples.length - 1].at : 0, length = span(), from = to - length;
  const shown = samples.filter((each) => each.at >= from);
  let most = 0;
  for (const each of shown) for (const [name] of chart.lines) most = Math.max(most, each[name] ?? 0);
  const limit = chart.most ?? rounded(most, chart.unit);
  const x = (at) => left + ((at - from) / length) * (right - left), y = (value) => bottom - (value / limit) * (bottom - top);
  pen.textBaseline = "middle";
  for (const share of [0, 0.5, 1]) {
    pen.fillStyle = colour(share ? "faint" : "line");
    pen.fillRect(left, Math.round(y(limit * share)), right - left, 1);
    pen.fillStyle = colour("muted");
    pen.textAlign = "right";
    pen.fillText(units[chart.unit](limit * share), left - 6, y(limit * share));
  }
  pen.textBaseline = "alphabetic";
  pen.textAlign = "center";
  for (const minute of new Set([0, Math.floor(length / 120), length / 60])) {
    pen.textAlign = minute === 0 ? "right" : minute * 60 === length ? "left" : "center";
    pen.fillText(minute ? `−${minute} min` : "now", x(to - minute * 60), height - 4);
  }
  for (const [name, , tone, filled] of chart.lines) line(pen, shown, name, colour(tone), filled, x, y, bottom);
  point(chart, pen, shown, x, y, top, bottom, from, left, right);
}

function line(pen, shown, name, tone, filled, x, y, bottom) {
  let part = [], before = null;
  const end = () => {
    if (part.length) {
      const path = new Path2D();
      part.forEach(([px, py], k) => (k ? path.lineTo(px, py) : path.moveTo(px, py)));
      pen.strokeStyle = tone;
      pen.lineWidth = 1.6;
      pen.lineJoin = "round";
      pen.stroke(path);
      if (part.length === 1) { pen.fillStyle = tone; pen.fillRect(part[0][0] - 1.5, part[0][1] - 1.5, 3, 3); }
      if (filled) {
        path.lineTo(part[part.length - 1][0], bottom);
        path.lineTo(part[0][0], bottom);
        pen.globalAlpha = 0.13;
        pen.fillStyle = tone;
        pen.fill(path);
        pen.globalAlpha = 1;
      }
    }
    part = [];
  };
  for (const each of shown) {
    // Nobody looked meanwhile, or nothing ran: no line is drawn over what is not known.
    if (before !== null && each.at - before > GAP) end();
    before = each.at;
    if (each[name] === null || each[name] === undefined) end();
    else part.push([x(each.at), y(each[name])]);
  }
  end();
}

function point(chart, pen, shown, x, y, top, bottom, from, left, right) {
  chart.tip.hidden = true;
  const last = shown[shown.length - 1];
  chart.lines.forEach(([name], k) => { chart.values[k].textContent = last ? units[chart.unit](last[name]) : "–"; });
  chart.canvas.setAttribute("aria-label", `${chart.title} now: ` + chart.lines.map(([name, label]) => `${label} ${last ? units[chart.unit](last[name]) : "unknown"}`).join(", "));
  if (chart.pointer === null || !shown.length || chart.pointer < left) return;
  const at = from + ((chart.pointer - left) / (right - left)) * span();
  const near = shown.reduce((best, each) => (Math.abs(each.at - at) < Math.abs(best.at - at) ? each : best));
  pen.fillStyle = colour("muted");
  pen.fillRect(x(near.at), top, 1, bottom - top);
  for (const [name, , tone] of chart.lines) {
    if (near[name] === null || near[name] === undefined) continue;
    pen.fillStyle = colour(tone);
    pen.beginPath();
    pen.arc(x(near.at), y(near[name]), 3, 0, 7);
    pen.fill();
  }
  const time = new Date(near.at * 1000).toLocaleTimeString();
  chart.tip.textContent = `${time} · ` + chart.lines.map(([name, label]) => `${label} ${units[chart.unit](near[name])}`).join(" · ");
  chart.tip.hidden = false;
  const room = chart.panel.clientWidth - chart.tip.offsetWidth - 8;
  chart.tip.style.setProperty("left", `${Math.max(4, Math.min(x(near.at) + 20, room))}px`);
}

function drawAll() { for (const chart of charts) if (!chart.panel.hidden) draw(chart); }
