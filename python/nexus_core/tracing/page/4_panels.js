// What stands around the timeline: figures, details, tables. Text goes in as text, never as markup.

function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

function facts(i) {
  const run = about.runs[events.run[i]];
  const found = [
    ["Took", readable(events.end[i] - events.start[i])],
    ["Started", readable(events.start[i] - run.began) + " after the run began"],
    ["Thread", about.threads[events.thread[i]][0]],
    ["Queued", readable(events.queued[i])],
    ["Interpreter lock", events.lock[i] ? "waited " + readable(events.lock[i]) : "no wait seen"],
  ];
  if (events.status[i] !== SKIPPED) found.push(["Slack", events.critical[i] ? "none: on the critical path" : readable(events.slack[i])]);
  if (about.runs.length > 1) found.push(["Run", run.label]);
  const status = about.statuses[events.status[i]];
  if (status !== "completed") found.push(["Ended", status + (events.error[i] ? ": " + about.errors[events.error[i]] : "")]);
  return found;
}

function described(i, into) {
  into.replaceChildren(element("strong", nameOf(i)), element("span", nodeOf(i)[1], "kind"));
  const list = element("dl");
  for (const [name, value] of facts(i)) {
    const pair = element("div");
    pair.append(element("dt", name), element("dd", value));
    if (into.classList.contains("tip")) list.append(...pair.childNodes); else list.append(pair);
  }
  into.append(list);
}

function showTip(i, x, y) {
  const tip = $("tip");
  tip.hidden = i < 0;
  if (i < 0) return;
  described(i, tip);
  const area = tip.parentElement.getBoundingClientRect();
  const left = x + 16 + tip.offsetWidth > area.width ? x - tip.offsetWidth - 12 : x + 16;
  const below = y + 18 + tip.offsetHeight + area.top > window.innerHeight ? y - tip.offsetHeight - 10 : y + 18;
  tip.style.left = Math.max(left, 4) + "px";
  tip.style.top = below + "px";
}

function showDetail() {
  const detail = $("detail");
  if (state.selected < 0) {
    detail.replaceChildren(element("p", count ? "Click a node, or press Enter, to see its details and what it waited for." : "No node was executed while the trace was taken."));
    return;
  }
  described(state.selected, detail);
  const { before, after } = neighbours(state.selected);
  const names = (list) => list.length ? list.slice(0, 12).map(nameOf).join(", ") + (list.length > 12 ? ", …" : "") : "nothing";
  for (const [name, list] of [["Waited for", before], ["Awaited by", after]]) {
    const pair = element("div");
    pair.append(element("dt", name), element("dd", names(list)));
    detail.querySelector("dl").append(pair);
  }
  $("said").textContent = nameOf(state.selected) + ". " + facts(state.selected).map((fact) => fact.join(" ")).join(". ");
}

const PARTS = [["nodes", "nodes at work"], ["lock", "waiting for the interpreter lock"], ["workers", "waiting for a worker"], ["queueing", "queueing"], ["runtime", "outside of nodes"]];

const percent = (share) => (share > 0 && share < 0.005 ? "< 1" : Math.round(share * 100)) + " %";

function showSummary() {
  const shown = about.summaries[state.run >= 0 ? String(state.run) : "all"];
  const figures = $("figures");
  figures.replaceChildren();
  for (const [name, value, remark] of shown.figures) {
    const figure = element("div", undefined, "figure"), definition = element("dd", value);
    if (remark) definition.append(element("small", remark));
    figure.append(element("dt", name), definition);
    figures.append(figure);
  }
  $("bound").replaceChildren(element("strong", shown.bound[0]), document.createTextNode(shown.bound[1]));
  const share = $("share"), legend = $("shares"), total = shown.parts.reduce((sum, each) => sum + each, 0);
  share.replaceChildren();
  legend.replaceChildren();
  PARTS.forEach(([key, words], k) => {
    if (!(shown.parts[k] > 0)) return;
    const part = element("span", undefined, "of-" + key);
    part.style.flexGrow = String(shown.parts[k] / total);
    share.append(part);
    const entry = element("span");
    entry.append(element("i", undefined, "key of-" + key), document.createTextNode(`${words} ${readable(shown.parts[k])} (${percent(shown.parts[k] / total)})`));
    legend.append(entry);
  });
  const path = $("path");
  path.replaceChildren();
  if (shown.path.length) {
    path.append(document.createTextNode("Critical path: "));
    const names = shown.path.length > 14 ? [...shown.path.slice(0, 7), `(${shown.path.length - 13} more)`, ...shown.path.slice(-6)] : shown.path;
    names.forEach((name, k) => path.append(document.createTextNode(k ? " → " : ""), element("b", name)));
  }
  const answers = $("answers");
  answers.replaceChildren();
  const longest = Math.max(shown.simulated, ...shown.what_if.map((each) => each[1]), 1e-12);
  for (const [words, seconds] of [["as it ran", shown.simulated], ...shown.what_if]) {
    const row = element("tr"), bar = element("span", undefined, "bar"), fill = element("i"), cell = element("td");
    fill.style.width = (seconds / longest) * 100 + "%";
    bar.append(fill);
    cell.append(bar, element("span", readable(seconds), "amount"));
    row.append(element("td", words), cell);
    answers.append(row);
  }
  $("what-if").hidden = !shown.what_if.length;
  $("simulated-note").textContent = shown.note;
}

function showThreads() {
  for (const [name, executions, busy, share] of about.utilisation) {
    const row = element("tr"), bar = element("span", undefined, "bar"), fill = element("i"), cell = element("td");
    fill.style.width = share * 100 + "%";
    bar.append(fill);
    cell.append(bar, element("span", percent(share), "amount"));
    row.append(element("td", name), element("td", executions.toLocaleString("en")), element("td", readable(busy)), cell);
    $("threads").append(row);
  }
}

let order = { column: -1, down: true };

function showNodes() {
  const body = $("nodes"), list = [...about.nodes];
  if (order.column >= 0) list.sort((a, b) => {
    const [x, y] = [a.cells[order.column], b.cells[order.column]];
    const by = typeof x === "number" ? x - y : String(x).localeCompare(String(y));
    return order.down ? -by : by;
  });
  body.replaceChildren();
  for (const { workflow, node, cells } of list) {
    const row = element("tr"), name = element("td"), button = element("button", cells[0], cells[9] > 0 ? "on-path" : "");
    button.type = "button";
    button.title = cells[0];
    button.addEventListener("click", () => goTo(longestOf(workflow, node)));
    name.append(button);
    row.append(name, element("td", cells[1], "text"), element("td", cells[2].toLocaleString("en")), element("td", cells[3].toLocaleString("en")));
    for (const k of [4, 5, 6, 7, 8]) row.append(element("td", cells[k] === 0 && k > 5 ? "–" : readable(cells[k])));
    row.append(element("td", percent(cells[9])));
    body.append(row);
  }
  document.querySelectorAll("#nodes-head th").forEach((head, k) => {
    if (k === order.column) head.setAttribute("aria-sort", order.down ? "descending" : "ascending"); else head.removeAttribute("aria-sort");
  });
}

function longestOf(workflow, node) {
  let found = -1;
  for (let i = 0; i < count; i++) {
    if (events.node[i] !== node || about.runs[events.run[i]].workflow !== workflow || (state.run >= 0 && events.run[i] !== state.run)) continue;
    if (found < 0 || events.end[i] - events.start[i] > events.end[found] - events.start[found]) found = i;
  }
  return found;
}
