// Numbers as people read them.
const element = (id) => document.getElementById(id);

function digits(value) {
  const size = Math.abs(value);
  return size >= 100 ? Math.round(value).toLocaleString("en") : size >= 10 ? value.toFixed(1) : size >= 0.995 || size === 0 ? value.toFixed(size === 0 ? 0 : 2) : value.toPrecision(2);
}

const units = {
  seconds(value) {
    if (value === null || value === undefined) return "–";
    if (value >= 1 || value === 0) return `${digits(value)} s`;
    return value >= 1e-3 ? `${digits(value * 1e3)} ms` : `${digits(value * 1e6)} µs`;
  },
  rate: (value) => (value === null || value === undefined ? "–" : `${digits(value)}/s`),
  share: (value) => (value === null || value === undefined ? "–" : `${digits(value * 100)} %`),
  count: (value) => (value === null || value === undefined ? "–" : Number.isInteger(value) ? value.toLocaleString("en") : digits(value)),
  bytes(value) {
    if (value === null || value === undefined) return "–";
    const steps = ["B", "KiB", "MiB", "GiB", "TiB"];
    let step = 0;
    while (value >= 1024 && step < steps.length - 1) { value /= 1024; step++; }
    return `${digits(value)} ${steps[step]}`;
  },
};
