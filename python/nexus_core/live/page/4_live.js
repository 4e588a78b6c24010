// Asks for what is new as often as there is something new, and less often while the app does not answer.
let seen = 0, paused = false, timer = 0, failures = 0, asking = false;

function state(text, kind) {
  const chip = element("state");
  if (chip.textContent !== text) chip.textContent = text;
  chip.className = `chip ${kind}`;
}

function take(answer) {
  if (answer.restarted) samples.length = 0;
  samples.push(...answer.samples);
  while (samples.length > SPAN) samples.shift();
  seen = answer.number;
  const last = samples[samples.length - 1];
  element("about").textContent = `· nexus-core ${answer.version} · ${answer.runtime}` + (answer.now.process.uptime ? ` · up ${spell(answer.now.process.uptime)}` : "");
  element("note").textContent = `Rates and latencies of the charts are of ${units.seconds(last ? last.seconds : answer.interval)} each, those of the tables of the last ${units.seconds(answer.now.seconds)}; rows in grey have not run in that time. "Ever" is since the start. A sample is taken while somebody looks, for all who look.`;
  showFigures(last, answer.now);
  showTables(answer.now);
  drawAll();
}

function spell(seconds) {
  const parts = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]].map(([size, unit]) => { const count = Math.floor(seconds / size); seconds -= count * size; return [count, unit]; });
  const first = parts.findIndex(([count]) => count > 0);
  return first < 0 ? "0 s" : parts.slice(first, first + 2).map(([count, unit]) => `${count} ${unit}`).join(" ");
}

async function ask() {
  clearTimeout(timer);
  if (asking || paused || document.hidden) return;
  asking = true;
  let pause = 1;
  try {
    const answer = await fetch(`data?after=${seen}`, { credentials: "same-origin", signal: AbortSignal.timeout(10000) });
    if (answer.status === 401 || answer.status === 403) throw new Error("not allowed: the app asks for credentials");
    if (!answer.ok) throw new Error(`the app answers ${answer.status}`);
    const found = await answer.json();
    take(found);
    pause = found.interval;
    failures = 0;
    state("live", "live");
  } catch (error) {
    failures++;
    pause = Math.min(2 ** failures, 15);
    state(`${error.name === "TypeError" || error.name === "TimeoutError" ? "no connection" : error.message}, trying again`, "lost");
  } finally {
    asking = false;
  }
  if (!paused) timer = setTimeout(ask, pause * 1000);
}

element("pause").addEventListener("click", () => {
  paused = !paused;
  element("pause").setAttribute("aria-pressed", String(paused));
  element("pause").textContent = paused ? "Paused" : "Pause";
  if (paused) { clearTimeout(timer); state("paused", ""); } else ask();
});
document.addEventListener("visibilitychange", () => { if (!document.hidden) ask(); });

const dark = matchMedia("(prefers-color-scheme: dark)");
let chosen = null;
function dress() {
  document.documentElement.dataset.theme = chosen ?? (dark.matches ? "dark" : "light");
  drawAll();
}
dark.addEventListener("change", () => { chosen = null; dress(); });
element("theme").addEventListener("click", () => { chosen = document.documentElement.dataset.theme === "dark" ? "light" : "dark"; dress(); });
new ResizeObserver(drawAll).observe(element("charts"));
dress();
ask();
