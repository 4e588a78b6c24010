// Tables are filled with text only: a name is never markup.
const COLUMNS = {
  workflows: [
    ["Workflow", (row) => row.name, "text"], ["Runs/s", (row) => units.rate(row.throughput)], ["p50", (row) => units.seconds(row.p50)],
    ["p99", (row) => units.seconds(row.p99)], ["Errors", (row) => units.share(row.error_rate), (row) => (row.error_rate ? "bad" : "")],
    ["Runs", (row) => units.count(row.runs)], ["Failed", (row) => units.count(row.failed)], ["Delegated", (row) => units.count(row.delegated)],
    ["From cache", (row) => units.count(row.cached)],
  ],
  nodes: [
    ["Node", (row) => row.node, "text"], ["Workflow", (row) => row.workflow, "text"], ["Mean", (row) => units.seconds(row.mean)],
    ["p50 ever", (row) => units.seconds(row.p50)], ["p99 ever", (row) => units.seconds(row.p99)], ["Runs/s", (row) => units.rate(row.per_second)],
    ["Busy at once", (row) => units.count(row.busy)], ["Failed", (row) => units.count(row.failed), (row) => (row.failed ? "bad" : "")],
    ["Mean, to the slowest", (row, rows) => meter(row.mean / Math.max(...rows.map((each) => each.mean), 1e-12), units.seconds(row.mean))],
  ],
  pools: [
    ["Pool", (row) => row.name, "text"], ["Of", (row) => row.kind, "text"], ["Busy", (row) => units.count(row.busy)], ["Size", (row) => units.count(row.size)],
    ["Limit", (row) => units.count(row.limit)], ["Waiting", (row) => units.count(row.waiting), (row) => (row.waiting ? "bad" : "")],
    ["Served", (row) => units.count(row.served)], ["Errors", (row) => units.count(row.errors)], ["Wait p99 ever", (row) => units.seconds(row.wait_p99)],
    ["In use", (row) => meter(row.busy / ((row.limit ?? row.size) || 1), units.share(row.busy / ((row.limit ?? row.size) || 1)))],
  ],
};

function meter(share, label) {
  const outer = document.createElement("span"), inner = document.createElement("i");
  outer.className = "meter";
  outer.setAttribute("role", "img");
  outer.setAttribute("aria-label", label);
  inner.style.setProperty("width", `${Math.max(0, Math.min(100, share * 100))}%`);
  outer.append(inner);
  return outer;
}

function fill(id, rows, nothing) {
  const table = element(id), columns = COLUMNS[id];
  const head = document.createElement("thead"), body = document.createElement("tbody"), names = head.insertRow();
  for (const [title, , kind] of columns) {
    const cell = document.createElement("th");
    cell.scope = "col";
    cell.textContent = title;
    if (kind === "text") cell.className = "text";
    names.append(cell);
  }
  for (const row of rows) {
    const line = body.insertRow();
    if (row.recent === false) line.className = "old";
    for (const [, value, kind] of columns) {
      const cell = line.insertCell(), found = value(row, rows);
      cell.append(found);
      cell.className = typeof kind === "function" ? kind(row) : kind ?? "";
      if (kind === "text") cell.title = found;
    }
  }
  if (!rows.length) {
    const cell = body.insertRow().insertCell();
    cell.colSpan = columns.length;
    cell.className = "empty";
    cell.textContent = nothing;
  }
  table.replaceChildren(head, body);
}

function tell(id, value, note) {
  element(`f-${id}`).textContent = value;
  if (note !== undefined) element(`n-${id}`).textContent = note;
}

function showFigures(last, now) {
  const process = now.process;
  tell("throughput", units.rate(last?.throughput), `${units.count(now.runs)} runs so far` + (now.cached ? `, ${units.count(now.cached)} more from the cache` : ""));
  tell("p50", units.seconds(last?.p50), "half of the runs");
  tell("p99", units.seconds(last?.p99), "99 of 100 runs");
  tell("errors", last?.error_rate === null && last ? "0 %" : units.share(last?.error_rate), `${units.rate(last?.failures)} failed`);
  tell("active", units.count(last?.active), now.places === null ? "" : `${units.count(last?.places_taken)} of ${now.places} places`);
  tell("cpu", last?.cpu === null ? "–" : units.share(last?.cpu), process.cpus ? `of ${units.count(process.cpus * 100)} %, ${units.count(process.threads)} threads` : "");
  tell("memory", units.bytes(last?.memory), process.memory_limit ? `of ${units.bytes(process.memory_limit)}` : "no limit");
}

function showTables(now) {
  fill("workflows", now.workflows, "No workflow has run yet.");
  fill("nodes", now.nodes, "No node has run yet.");
  element("pools-panel").hidden = !now.pools.length;
  if (now.pools.length) fill("pools", now.pools, "");
  const more = (count, shown) => (count > shown ? `the first ${shown} of ${count.toLocaleString("en")}` : "");
  element("more-workflows").textContent = more(now.workflow_count, now.workflows.length);
  element("more-nodes").textContent = more(now.node_count, now.nodes.length);
  element("chart-cache").hidden = now.cache === null;
  const alerts = element("alerts");
  alerts.hidden = !now.alerts.length;
  alerts.replaceChildren(...now.alerts.map((alert) => {
    const row = document.createElement("div"), severity = document.createElement("strong"), message = document.createElement("span"), time = document.createElement("time");
    row.className = "alert";
    if (/^[a-z]+$/.test(alert.severity)) row.classList.add(alert.severity);
    severity.textContent = alert.severity || "alert";
    message.textContent = alert.message;
    time.textContent = alert.timestamp ? new Date(alert.timestamp * 1000).toLocaleTimeString() : "";
    row.append(severity, message, time);
    return row;
  }));
}
