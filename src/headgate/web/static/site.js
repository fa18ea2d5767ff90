// Draws each chart from the table below it, so that both say the same; leaves empty fields out of addresses.
"use strict";

const UNITS = [[86400, "d"], [3600, "h"], [60, "m"], [1, "s"]];

function duration(seconds) {
  if (seconds < 10) {
    return `${Number(seconds.toFixed(1))}s`;
  }
  let rest = Math.round(seconds);
  const parts = [];
  for (const [size, unit] of UNITS) {
    const count = Math.floor(rest / size);
    rest %= size;
    if (count > 0 && parts.length < 2) {
      parts.push(`${count}${unit}`);
    }
  }
  return parts.join(" ");
}

function axisText(value, format) {
  if (format === "percentage") {
    return `${Math.round(value * 100)}%`;
  }
  if (format === "duration") {
    return duration(value);
  }
  return value >= 10000 ? `${Number((value / 1000).toFixed(1))}k` : String(Number(value.toFixed(2)));
}

// Distances between lines of a scale of time: what people count seconds in.
const STEPS = {
  duration: [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400, 172800, 604800],
  percentage: [0.05, 0.1, 0.25, 0.5],
  number: Array.from({ length: 10 }, (_, power) => [1, 2, 5].map((first) => first * 10 ** power)).flat(),
};
STEPS.credits = STEPS.number;
const DAYS = [1, 2, 4, 7, 14, 28, 56].map((days) => days * 86400);
const DAY = new Intl.DateTimeFormat("en-GB", { timeZone: "UTC", day: "numeric", month: "short" });

function timeText(seconds) {
  const time = new Date(seconds * 1000);
  return seconds % 86400 === 0 ? DAY.format(time) : time.toISOString().slice(11, 16);
}

function colour(name) {
  // Canvas knows no light-dark(): a probe tells what the style sheet makes of it.
  const probe = document.createElement("i");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

function readTable(figure) {
  const rows = [...figure.querySelectorAll("tbody tr")];
  const times = rows.map((row) => Number(row.querySelector("[data-t]").dataset.t));
  const count = rows.length ? rows[0].querySelectorAll("[data-v]").length : 0;
  const lines = Array.from({ length: count }, (_, line) => rows.map((row) => {
    const text = row.querySelectorAll("[data-v]")[line].dataset.v;
    return text === "" ? null : Number(text);
  }));
  const shown = rows.map((row) => [row.querySelector("th").textContent, ...[...row.querySelectorAll("td")].map((cell) => cell.textContent)]);
  const names = [...figure.querySelectorAll("thead th")].slice(1, count + 1).map((head) => head.textContent);
  return { times, lines, shown, names };
}

function isBars(figure) {
  return figure.dataset.kind === "bars" || figure.dataset.kind === "stacked";
}

// Parts that add up: each is drawn as high as itself and all after it, which are drawn over it.
function stacked(lines) {
  return lines.map((line, at) => line.map((_, step) => lines.slice(at).reduce((sum, part) => sum + (part[step] || 0), 0)));
}

// What values are held against: a colour each.
const LEVELS = { usual: "--hold", before: "--hold", since: "--bad", critical: "--bad", recovers: "--good" };

// As the marks of the legend in page.css.
const LINES = ["--accent", "--hold", "--good", "--warn", "--bad"];

function series(figure, line, name) {
  if (figure.dataset.kind === "evidence") {
    const stroke = colour(line ? LEVELS[name] || "--warn" : "--accent");
    return line
      ? { label: name, stroke, width: 1.5, dash: [6, 4], spanGaps: true, points: { show: false } }
      : { label: name, stroke, width: 1.5, spanGaps: true, points: { show: true, size: 5, fill: stroke } };
  }
  const bars = isBars(figure);
  const single = figure.dataset.chart === "credits";
  if (bars) {
    const fill = colour(line === 1 ? "--bad" : single ? "--accent" : "--accent-soft");
    return { label: name, fill, stroke: fill, width: 0, points: { show: false }, paths: uPlot.paths.bars({ size: [0.66, 40], radius: 0.15 }) };
  }
  const stroke = colour(LINES[line % LINES.length]);
  return { label: name, stroke, width: 2, spanGaps: true, points: { show: true, size: 5, fill: stroke } };
}

function tooltip(shown, names) {
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  return {
    hooks: {
      init: (plot) => plot.over.append(tip),
      setCursor: (plot) => {
        const { idx, left } = plot.cursor;
        tip.hidden = idx === null || idx === undefined || left < 0;
        if (tip.hidden) {
          return;
        }
        const [when, ...values] = shown[idx];
        const head = document.createElement("b");
        head.textContent = when;
        tip.replaceChildren(head, names.map((name, line) => `${name} ${values[line]}`).join(", "));
        const room = plot.over.clientWidth - tip.offsetWidth;
        tip.style.left = `${Math.max(0, Math.min(left + 12, room))}px`;
      },
    },
  };
}

// Upright lines where something happened, with its name.
function marks(figure) {
  const found = [...figure.querySelectorAll("[data-mark]")].map((mark) => [Number(mark.dataset.mark), mark.dataset.name]);
  return {
    hooks: {
      draw: (plot) => {
        const { ctx, bbox } = plot;
        ctx.save();
        ctx.setLineDash([]);
        ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
        found.forEach(([at, name], row) => {
          const left = Math.round(plot.valToPos(at, "x", true));
          if (left < bbox.left || left > bbox.left + bbox.width) {
            return;
          }
          ctx.strokeStyle = ctx.fillStyle = colour(name === "ended" ? "--good" : "--bad");
          ctx.lineWidth = devicePixelRatio;
          ctx.beginPath();
          ctx.moveTo(left, bbox.top);
          ctx.lineTo(left, bbox.top + bbox.height);
          ctx.stroke();
          const right = left > bbox.left + bbox.width * 0.8;
          ctx.textAlign = right ? "right" : "left";
          ctx.fillText(name, left + (right ? -4 : 4) * devicePixelRatio, bbox.top + (11 + 13 * row) * devicePixelRatio);
        });
        ctx.restore();
      },
    },
  };
}

// What is drawn, by its figure: uPlot keeps each plot, and a listener for it, until that is destroyed.
const plots = new Map();

function letGo() {
  for (const [figure, plot] of plots) {
    if (!figure.isConnected) {
      plot.destroy();
      plots.delete(figure);
    }
  }
}

function draw(figure) {
  const place = figure.querySelector(".plot");
  if (!place || typeof uPlot === "undefined") {
    return;
  }
  const { times, lines, shown, names } = readTable(figure);
  const format = figure.dataset.format;
  const bars = isBars(figure);
  const heights = figure.dataset.kind === "stacked" ? stacked(lines) : lines;
  const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "12px system-ui, sans-serif" };
  const highest = Math.max(...heights.flat().filter((value) => value !== null), 0);
  const evidence = figure.dataset.kind === "evidence";
  if (times.length > 2 && !evidence) {
    times[0] = Math.min(times[0], 2 * times[1] - times[2]); // a step that the window cuts is drawn as wide as the others
  }
  const happened = evidence ? [...figure.querySelectorAll("[data-mark]")].map((mark) => Number(mark.dataset.mark)) : [];
  const last = Math.max(times[times.length - 1], ...happened);
  const half = times.length < 2 ? 3600 : evidence ? (last - times[0]) / 60 : (times[1] - times[0]) / 2;
  const options = {
    width: place.clientWidth,
    height: evidence ? 260 : 190,
    padding: [8, 10, 0, 0],
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC"),
    legend: { show: false },
    cursor: { y: false, drag: { x: false, y: false }, points: { show: !bars } },
    scales: {
      x: { range: () => [times[0] - half, last + half] },
      y: { range: () => (format === "percentage" ? [0, 1.02] : [0, highest > 0 ? highest * 1.08 : 1]) },
    },
    axes: [
      { ...axis, size: 30, grid: { show: false }, space: 64, ...(half >= 43200 ? { incrs: DAYS } : {}), values: (_, found) => found.map(timeText) },
      { ...axis, size: 58, space: 26, ...(STEPS[format] ? { incrs: STEPS[format] } : {}), values: (_, found) => found.map((value) => axisText(value, format)) },
    ],
    series: [{}, ...names.map((name, line) => series(figure, line, name))],
    plugins: [tooltip(shown, names), ...(evidence ? [marks(figure)] : [])],
  };
  plots.get(figure)?.destroy();
  place.replaceChildren();
  plots.set(figure, new uPlot(options, [times, ...heights], place));
}

function drawAll() {
  letGo();
  for (const figure of document.querySelectorAll("figure.chart")) {
    draw(figure);
  }
}

let width = window.innerWidth;
window.addEventListener("resize", () => {
  if (window.innerWidth !== width) {
    width = window.innerWidth;
    for (const [figure, plot] of plots) {
      plot.setSize({ width: figure.querySelector(".plot").clientWidth, height: plot.height });
    }
  }
});
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
document.addEventListener("htmx:afterSettle", (event) => {
  if (event.detail.elt.querySelector("figure.chart")) {
    drawAll();
  } else {
    letGo();
  }
});
document.addEventListener("htmx:historyRestore", drawAll);
document.addEventListener("htmx:configRequest", (event) => {
  for (const [name, value] of Object.entries(event.detail.parameters)) {
    if (value === "") {
      delete event.detail.parameters[name];
    }
  }
});
drawAll();
