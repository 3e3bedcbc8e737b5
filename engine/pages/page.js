"use strict";
const figures = JSON.parse(document.getElementById("figures").textContent);
const dark = matchMedia("(prefers-color-scheme: dark)");
const boxes = [...document.querySelectorAll(".plot")];

// The figures bring their lines; the page brings ink and grid for its light.
function draw(box) {
  if (box.clientWidth === 0) return; // folded away: drawn when it is opened
  const { data, layout: made } = figures[box.dataset.figure];
  const css = getComputedStyle(document.documentElement);
  const color = (name) => css.getPropertyValue(name).trim();
  const layout = structuredClone(made);
  const narrow = box.clientWidth < 560;
  layout.font = { ...layout.font, color: color("--soft"), size: narrow ? 11 : 13 };
  for (const key of Object.keys(layout)) {
    if (/^[xy]axis/.test(key)) {
      layout[key].gridcolor = color("--line");
      layout[key].linecolor = color("--line");
    }
  }
  layout.hoverlabel = { bgcolor: color("--panel"), bordercolor: color("--line"),
    font: { color: color("--ink"), size: 12 } };
  if (narrow) {
    layout.margin = { ...layout.margin, l: Math.min(layout.margin.l ?? 54, 54), r: 6 };
    layout.xaxis = { ...layout.xaxis, nticks: 5 };
  }
  scale(box, layout);
  Plotly.react(box, data, layout, { responsive: true, displayModeBar: false });
}

// A box to tick for a log scale: the figure's own until the reader has chosen.
function scale(box, layout) {
  const log = box.closest("figure").querySelector("input");
  if (!log) return;
  if (log.dataset.chosen) {
    layout.yaxis.type = log.checked ? "log" : "linear";
    if (!log.checked) delete layout.yaxis.dtick;
  }
  log.checked = layout.yaxis.type === "log";
}

const drawAll = () => boxes.forEach(draw);
drawAll();
dark.addEventListener("change", drawAll);
matchMedia("(max-width: 620px)").addEventListener("change", drawAll); // it was turned

for (const figure of document.querySelectorAll("figure")) {
  const box = figure.querySelector(".plot");
  const log = figure.querySelector("input");
  const choice = figure.querySelector("select");
  if (log) log.addEventListener("change", () => { log.dataset.chosen = "yes"; draw(box); });
  if (choice) {
    choice.addEventListener("change", () => {
      box.dataset.figure = choice.value;
      if (log) delete log.dataset.chosen;
      figure.querySelector("figcaption").textContent = figures[choice.value].caption;
      draw(box);
    });
  }
}
for (const folded of document.querySelectorAll("details")) {
  folded.addEventListener("toggle", () => folded.querySelectorAll(".plot").forEach(draw));
}

// Paper is white.
function setPaper(on) {
  document.documentElement.classList.toggle("paper", on);
  drawAll();
}
addEventListener("beforeprint", () => setPaper(true));
addEventListener("afterprint", () => setPaper(false));
