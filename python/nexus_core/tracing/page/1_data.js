// What the page was given: columns of numbers, and what they refer to by position.

const about = JSON.parse(document.getElementById("about").textContent);

function column(name, type) {
  const text = document.getElementById("column-" + name).textContent.trim();
  const letters = atob(text);
  const bytes = new Uint8Array(letters.length);
  for (let i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i);
  return new type(bytes.buffer);
}

const events = {
  run: column("run", Uint32Array),
  node: column("node", Uint32Array),
  thread: column("thread", Uint32Array),
  status: column("status", Uint8Array),
  error: column("error", Uint32Array),
  critical: column("critical", Uint8Array),
  start: column("start", Float64Array),
  end: column("end", Float64Array),
  queued: column("queued", Float32Array), // NaN where it is unknown
  lock: column("lock", Float32Array),
  slack: column("slack", Float32Array),
};
const count = events.start.length;
const SKIPPED = about.statuses.indexOf("skipped");
const FAILED = about.statuses.indexOf("failed");
const CACHED = about.statuses.indexOf("cached");
const CANCELLED = about.statuses.indexOf("cancelled");

const workflowOf = (i) => about.workflows[about.runs[events.run[i]].workflow];
const nodeOf = (i) => workflowOf(i).nodes[events.node[i]];
const nameOf = (i) => nodeOf(i)[0];

// Positions of all executions by their start.
const byStart = new Uint32Array(count);
for (let i = 0; i < count; i++) byStart[i] = i;
byStart.sort((a, b) => events.start[a] - events.start[b] || events.end[a] - events.end[b] || a - b);

const began = Math.min(...[...extremes(about.runs, "began"), count ? events.start[byStart[0]] : Infinity]);
const ended = Math.max(...[...extremes(about.runs, "ended"), lastEnd()]);
const whole = Number.isFinite(began) && ended > began ? { from: began, to: ended } : { from: 0, to: 1e-3 };

function* extremes(runs, what) {
  let least = Infinity, most = -Infinity;
  for (const run of runs) { least = Math.min(least, run[what]); most = Math.max(most, run[what]); }
  if (runs.length) yield* [least, most];
}

function lastEnd() {
  let last = -Infinity;
  for (let i = 0; i < count; i++) last = Math.max(last, events.end[i]);
  return last;
}

// The executions of each run, by their start.
const ofRun = grouped(about.runs.length, (i) => events.run[i]);

// Positions in groups, each in order of start: `at` from `first[g]` to `first[g + 1]`.
function grouped(groups, groupOf) {
  const first = new Uint32Array(groups + 1);
  for (let i = 0; i < count; i++) first[groupOf(i) + 1]++;
  for (let g = 0; g < groups; g++) first[g + 1] += first[g];
  const at = new Uint32Array(count);
  const free = first.slice();
  for (const i of byStart) at[free[groupOf(i)]++] = i;
  return { first, at };
}

// How many run at each time: a step at each change.
const steps = (() => {
  const starts = Float64Array.from(byStart, (i) => events.start[i]);
  const ends = Float64Array.from(events.end).sort();
  const times = new Float64Array(2 * count);
  const counts = new Uint32Array(2 * count);
  let s = 0, e = 0, n = 0, most = 0;
  while (e < count) {
    const time = s < count && starts[s] < ends[e] ? starts[s] : ends[e];
    while (e < count && ends[e] <= time && e < s) e++;
    while (s < count && starts[s] <= time) s++;
    while (e < count && ends[e] <= time) e++;
    times[n] = time;
    counts[n] = s - e;
    most = Math.max(most, counts[n++]);
  }
  return { times: times.subarray(0, n), counts: counts.subarray(0, n), most };
})();

// The first position from which `value` is at least what is looked for.
function firstAtLeast(low, high, value, wanted) {
  while (low < high) {
    const middle = (low + high) >> 1;
    if (value(middle) < wanted) low = middle + 1; else high = middle;
  }
  return low;
}

function readable(seconds) {
  if (Number.isNaN(seconds)) return "unknown";
  const size = Math.abs(seconds);
  if (size === 0) return "0";
  const [unit, name] = size >= 1 ? [1, "s"] : size >= 1e-3 ? [1e-3, "ms"] : size >= 1e-6 ? [1e-6, "µs"] : [1e-9, "ns"];
  const value = seconds / unit;
  return (Math.abs(value) >= 1000 ? Math.round(value).toLocaleString("en") : Number(value.toPrecision(3)).toString()) + " " + name;
}

// What a node waited for: its predecessors' executions in its run, and what waited for it.
function neighbours(i) {
  const run = events.run[i], workflow = workflowOf(i), node = events.node[i];
  workflow.before ??= adjacency(workflow, 1, 0);
  workflow.after ??= adjacency(workflow, 0, 1);
  const before = new Map(), after = new Map();
  for (let k = ofRun.first[run]; k < ofRun.first[run + 1]; k++) {
    const other = ofRun.at[k];
    // Of a node that ran several times, the last one before and the first one after.
    if (workflow.before[node]?.has(events.node[other]) && other !== i && events.start[other] <= events.start[i]) before.set(events.node[other], other);
    if (workflow.after[node]?.has(events.node[other]) && other !== i && events.start[other] >= events.start[i] && !after.has(events.node[other])) after.set(events.node[other], other);
  }
  return { before: [...before.values()], after: [...after.values()] };
}

function adjacency(workflow, from, to) {
  const found = [];
  for (const edge of workflow.edges) (found[edge[from]] ??= new Set()).add(edge[to]);
  return found;
}
