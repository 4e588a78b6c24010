// Rows: a thread, a node or a run each; what overlaps within one is put into lanes below each other.

const state = {
  mode: about.runs.length === 1 && count <= 400 ? "node" : "thread",
  view: { from: whole.from, to: whole.to },
  hovered: -1,
  selected: -1,
  run: -1, // all of them
  matches: null, // positions, as a Set, while something is searched for
  shown: { critical: true, lock: true, queue: true, slack: true, edges: true },
};

const rowsOf = {};

function rows() {
  return (rowsOf[state.mode] ??= laidOut(state.mode));
}

function laidOut(mode) {
  const keys = mode === "thread" ? events.thread : mode === "run" ? events.run : nodeKeys();
  const lanes = new Map(); // by key: when each lane is free again, and the lane's row
  const rowOf = new Uint32Array(count);
  const found = [];
  for (const i of byStart) {
    let own = lanes.get(keys[i]);
    if (!own) lanes.set(keys[i], (own = { free: [], rows: [] }));
    // A thread that waits for the interpreter lock is taken.
    let lane = own.free.findIndex((time) => time <= events.start[i] - events.lock[i] * 0.999999);
    if (lane < 0) {
      lane = own.free.length;
      own.rows.push(found.length);
      found.push({ key: keys[i], lane, label: labelOf(mode, i), size: 0 });
    }
    own.free[lane] = events.end[i];
    rowOf[i] = own.rows[lane];
    found[rowOf[i]].size++;
  }
  // Nodes stay in the order of their first start; lanes go to their first one.
  const firsts = new Map();
  found.forEach((row, position) => { if (!firsts.has(row.key)) firsts.set(row.key, position); });
  const order = found.map((_, position) => position).sort((a, b) => {
    const [left, right] = [found[a], found[b]];
    const byKey = mode === "node" ? firsts.get(left.key) - firsts.get(right.key) : left.key - right.key;
    return byKey || left.lane - right.lane;
  });
  const place = new Uint32Array(found.length);
  order.forEach((old, position) => { place[old] = position; });
  for (let i = 0; i < count; i++) rowOf[i] = place[rowOf[i]];
  return { list: order.map((old) => found[old]), rowOf, ...grouped(found.length, (i) => rowOf[i]) };
}

function nodeKeys() {
  // Nodes of different workflows are different nodes.
  const offsets = [];
  let offset = 0;
  for (const workflow of about.workflows) { offsets.push(offset); offset += workflow.nodes.length; }
  return Uint32Array.from({ length: count }, (_, i) => offsets[about.runs[events.run[i]].workflow] + events.node[i]);
}

function labelOf(mode, i) {
  if (mode === "thread") return about.threads[events.thread[i]][0];
  if (mode === "run") return about.runs[events.run[i]].label;
  return nameOf(i);
}

// The positions, within the row's part of `at`, of what may be seen between two times.
function visible(layout, row, from, to) {
  const { first, at } = layout;
  let low = firstAtLeast(first[row], first[row + 1], (k) => events.start[at[k]], from);
  // Lanes do not overlap, so only the one before can reach in; queue waits and slack reach further, and are cut.
  if (low > first[row]) low--;
  const high = firstAtLeast(low, first[row + 1], (k) => events.start[at[k]], to);
  return [low, Math.min(high + 1, first[row + 1])];
}
