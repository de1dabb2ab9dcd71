// The map: Plotly draws the points, zooms and moves them; over them lie photos as buttons, as many as fit. What #map-state says
// (its data-map and data-query) is followed. `element` is the gr.HTML, `trigger` sends its events.
const map = element.querySelector(".rc-map");
const [bar, field, plot, list, tip, wait, legend] = ["colours", "field", "plot", "photos", "name", "wait", "legend"].map((name) =>
  map.querySelector(`.rc-map-${name}`),
);
// Told apart by eyes that miss a colour too: at least 10 in OKLab x 100 between any two for each kind (Machado, 2009).
const LIGHT = ["#0039db", "#ff1c1e", "#009254", "#ad3295", "#ff9500", "#39a6f8", "#0f1b6b", "#673f45", "#b5aca5"];
const DARK = ["#4f87d4", "#e58924", "#00bf85", "#b7a3f6", "#d5d654", "#a7ebff", "#7242f5", "#d62c03", "#857b74"];
const MOST = 140; // photos at a time
const GAP = 5; // pixels between them
const STRETCH = 2.2; // at most, of the map to the field's shape: its directions and distances far apart mean nothing
const NEAR = 10; // pixels from a point at which it is meant
const PAUSE_MS = 120; // after a movement, before other photos are chosen
const KIND = document.createElement("canvas").getContext("webgl") ? "scattergl" : "scatter";

let points = null;
let query = null; // a photo's number
let colouring = 0;
let asked = ""; // the stamp of the map that is shown or on its way
let side = 0; // of a photo, pixels
let photos = new Map(); // a point's number -> its button
let view = null; // { x, y: what lies in the middle; scale: the map's measure for each pixel }
let box = [0, 0]; // the field's width and height, pixels
let later = null;
let script = null;

const make = (tag, properties, ...inside) => {
  const one = Object.assign(document.createElement(tag), properties);
  one.append(...inside);
  return one;
};
const plotly = () =>
  (script ??= new Promise((resolve, reject) => {
    const onerror = () => reject(new Error("its script could not be loaded"));
    document.head.append(make("script", { src: map.dataset.plotly, onload: resolve, onerror }));
  }));
// Kept, since to ask while photos are being placed would make the browser lay out the page for each of them.
const measure = () => (box = [field.clientWidth, field.clientHeight]);
const at = (index) => {
  const [width, height] = box;
  return [(points.x[index] - view.x) / view.scale + width / 2, height / 2 - (points.y[index] - view.y) / view.scale];
};
const ranges = () => {
  const [width, height] = box.map((pixels) => (pixels / 2) * view.scale);
  return { "xaxis.range": [view.x - width, view.x + width], "yaxis.range": [view.y - height, view.y + height] };
};
const least = () => (box[0] < 600 ? 38 : 48); // pixels of a photo where there are many; twice that where there are few
const room = () => box.map((pixels) => pixels - (points.x.length < 200 ? 2 : 1) * least() - 4 * GAP);
const extent = () => [points.x, points.y].map((all) => all.reduce((most, one) => Math.max(most, one), 0));
const whole = () => {
  const [width, height] = room();
  const [right, top] = extent();
  return { x: right / 2, y: top / 2, scale: Math.max(right / width, top / height) || 1 };
};
const stretched = (found) => {
  points = found;
  measure();
  const [width, height] = room();
  const [right, top] = extent();
  const ratio = right && top ? ((width / height) * top) / right : 1;
  const times = Math.min(STRETCH, Math.max(1 / STRETCH, ratio));
  points.x = points.x.map((one) => one * times);
};

// The photos over the points

const put = () => {
  for (const [index, button] of photos) {
    const [x, y] = at(index);
    button.style.transform = `translate(${x - side / 2}px, ${y - side / 2}px)`;
  }
};

// The points come in an order as good as random: the first that fit are well spread, and mostly the same ones a step later.
const choose = () => {
  const [width, height] = box;
  const seen = [];
  for (let index = 0; index < points.x.length; index++) {
    const [x, y] = at(index);
    if (x >= 0 && y >= 0 && x <= width && y <= height) seen.push({ index, x, y });
  }
  side = Math.round(Math.min(2 * least(), Math.max(least(), Math.sqrt((0.3 * width * height) / (seen.length || 1)))));
  const isInside = ({ x, y }) => Math.min(x, y, width - x, height - y) >= side / 2;
  const isApart = (one, other) => Math.max(Math.abs(one.x - other.x), Math.abs(one.y - other.y)) >= side + GAP;
  const first = seen.filter(({ index }) => points.photos[index] === query);
  const chosen = [];
  for (const one of [...first, ...seen]) {
    if (chosen.length === MOST) break;
    if (isInside(one) && chosen.every((other) => isApart(one, other))) chosen.push(one);
  }
  return chosen.map(({ index }) => index);
};

const button = (index) => {
  const [id, name] = [points.photos[index], points.names[index]];
  const picture = make("img", { src: `/photos/${id}/thumbnail`, alt: name, decoding: "async" });
  const one = make("button", { type: "button", ariaLabel: `Search with ${name}` }, picture);
  Object.assign(one.dataset, { event: "choose", photo: id, cell: "" });
  return one;
};

const cover = () => {
  const chosen = choose();
  const kept = new Map(chosen.map((index) => [index, photos.get(index) ?? button(index)]));
  const hadFocus = list.contains(document.activeElement);
  for (const [index, one] of photos) if (!kept.has(index)) one.parentElement.remove();
  for (const one of kept.values()) if (!one.parentElement) list.append(make("li", {}, one));
  photos = kept;
  list.style.setProperty("--side", `${side}px`);
  put();
  const buttons = [...photos.values()];
  for (const [index, one] of photos) {
    one.classList.toggle("rc-map-query", points.photos[index] === query);
    one.tabIndex = -1; // one stop for Tab, arrows from there: keys.js
  }
  if (hadFocus && !list.contains(document.activeElement)) plot.focus();
  const stop = list.contains(document.activeElement) ? document.activeElement : buttons[0];
  if (stop) stop.tabIndex = 0;
};

const soon = () => {
  clearTimeout(later);
  later = setTimeout(cover, PAUSE_MS);
};

// The points

const traces = () => {
  const { groups = [], of = [] } = points.colourings[colouring] ?? {};
  const palette = document.body.classList.contains("dark") ? DARK : LIGHT;
  const members = Array.from({ length: groups.length + 1 }, () => []);
  points.x.forEach((_, index) => members[of[index] ?? groups.length].push(index));
  const dot = points.x.length > 5000 ? 5 : points.x.length > 500 ? 7 : 10;
  const trace = (indices, group) => ({
    type: KIND,
    mode: "markers",
    x: indices.map((index) => points.x[index]),
    y: indices.map((index) => points.y[index]),
    hoverinfo: "skip",
    marker: { size: dot, color: palette[group === groups.length ? palette.length - 1 : group], opacity: 0.85 },
  });
  const rest = members.pop();
  const entries = [...groups.map((name, group) => [name, palette[group]]), ...(rest.length && groups.length ? [["others", palette.at(-1)]] : [])];
  legend.replaceChildren(
    ...entries.map(([name, colour]) => {
      const item = make("li", {}, name);
      item.style.setProperty("--colour", colour);
      return item;
    }),
  );
  return [trace(rest, groups.length), ...members.map(trace)]; // the others below
};

const choices = () => {
  bar.replaceChildren(
    ...points.colourings.map(({ name }, index) => {
      const onclick = () => {
        colouring = index;
        choices();
        paint();
      };
      return make("button", { type: "button", ariaPressed: index === colouring, onclick }, name);
    }),
  );
};

const axis = (range) => ({ range, visible: false, fixedrange: false });
const paint = () => {
  const [width, height] = box;
  const { "xaxis.range": x, "yaxis.range": y } = ranges();
  const layout = {
    width, height, xaxis: axis(x), yaxis: axis(y), dragmode: "pan", hovermode: false, showlegend: false,
    margin: { l: 0, r: 0, t: 0, b: 0 }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
  };
  return Plotly.react(plot, traces(), layout, { scrollZoom: true, displayModeBar: false, doubleClick: false });
};

const go = (next) => {
  view = { ...view, ...next };
  Plotly.relayout(plot, ranges());
  put();
  soon();
};
const zoom = (factor) => go({ scale: view.scale / factor });
const all = () => go(whole());
const move = (right, up) => {
  const [width, height] = box;
  go({ x: view.x + 0.2 * right * width * view.scale, y: view.y + 0.2 * up * height * view.scale });
};

// While Plotly moves the points, the photos go with them.
const moved = () => {
  const [[left, right], [low, high]] = [plot.layout.xaxis.range, plot.layout.yaxis.range];
  view = { x: (left + right) / 2, y: (low + high) / 2, scale: (right - left) / box[0] };
  tip.hidden = true;
  put();
  soon();
};

const show = async () => {
  colouring = Math.min(colouring, Math.max(points.colourings.length - 1, 0));
  for (const one of photos.values()) one.parentElement.remove();
  photos = new Map();
  view = whole();
  choices();
  const isFirst = !plot.layout;
  await paint();
  if (isFirst) {
    plot.on("plotly_relayouting", moved);
    plot.on("plotly_relayout", moved);
    plot.on("plotly_doubleclick", all);
  }
  cover();
};

const state = document.getElementById("map-state");
const follow = async () => {
  const facts = state.querySelector("[data-map]")?.dataset;
  if (!facts) return;
  const isOther = query !== (query = Number(facts.query) || null);
  map.hidden = !facts.map;
  if (!facts.map || !field.clientWidth) return; // or another tab is shown
  if (facts.map === asked) {
    if (isOther && photos.size) cover();
    return;
  }
  asked = facts.map;
  wait.textContent = "Loading the map …";
  try {
    const [answer] = await Promise.all([fetch("/api/map/points"), plotly()]);
    const found = await answer.json();
    if (!answer.ok) throw new Error(found.error);
    stretched(found);
    await show();
    wait.textContent = "";
  } catch (error) {
    asked = "";
    wait.textContent = `The map could not be shown: ${error.message}. Open the tab again.`;
  }
};
new MutationObserver(follow).observe(state, { childList: true, subtree: true, attributes: true });
new ResizeObserver(() => {
  if (!field.clientWidth) return;
  follow();
  const [width, height] = measure();
  if (!plot.layout || (width === plot.layout.width && height === plot.layout.height)) return;
  Plotly.relayout(plot, { width, height, ...ranges() }).then(cover);
}).observe(field);

// Mouse and fingers: what is under them is a photo, else the nearest point. The photos let them through, so that Plotly can zoom
// and move wherever they are.

const under = (event) => {
  const { left: fromLeft, top: fromTop } = field.getBoundingClientRect();
  const [x, y] = [event.clientX - fromLeft, event.clientY - fromTop];
  let best = { far: NEAR ** 2, index: null };
  for (let index = 0; index < points.x.length; index++) {
    const [left, top] = at(index);
    if (photos.has(index) && Math.max(Math.abs(left - x), Math.abs(top - y)) <= side / 2) return index;
    const far = (left - x) ** 2 + (top - y) ** 2;
    if (far < best.far) best = { far, index };
  }
  return best.index;
};

let pressed = null;
field.addEventListener("pointerdown", (event) => (pressed = event), true);
window.addEventListener("pointerup", (event) => {
  const from = pressed;
  pressed = null;
  if (!from || !points || from.button || Math.hypot(event.clientX - from.clientX, event.clientY - from.clientY) > 4) return;
  const index = under(event);
  if (index !== null) trigger("choose", { photo: String(points.photos[index]) });
}, true);
field.addEventListener("pointermove", (event) => {
  const index = !points || event.buttons || event.pointerType === "touch" ? null : under(event);
  tip.hidden = index === null;
  plot.classList.toggle("rc-map-over", index !== null);
  if (index === null) return;
  const [x, y] = at(index);
  const half = photos.has(index) ? side / 2 : 6;
  const isLow = y + half + 34 > box[1];
  tip.textContent = points.names[index];
  tip.style.left = `${Math.min(Math.max(x, tip.offsetWidth / 2 + 4), box[0] - tip.offsetWidth / 2 - 4)}px`;
  tip.style.top = `${isLow ? y - half - 30 : y + half + 4}px`;
});
field.addEventListener("pointerleave", () => (tip.hidden = true));

const keys = {
  ArrowLeft: () => move(-1, 0), ArrowRight: () => move(1, 0), ArrowUp: () => move(0, 1), ArrowDown: () => move(0, -1),
  "+": () => zoom(1.5), "=": () => zoom(1.5), "-": () => zoom(1 / 1.5), 0: all,
};
field.addEventListener("keydown", (event) => {
  const isArrow = event.key.startsWith("Arrow");
  if (!view || !keys[event.key] || event.ctrlKey || event.metaKey || event.altKey || (isArrow && event.target !== plot)) return;
  event.preventDefault();
  keys[event.key]();
});
map.querySelector(".rc-map-zoom").addEventListener("click", (event) => {
  const how = event.target.closest("button")?.dataset.zoom;
  if (view && how) ({ in: () => zoom(1.5), out: () => zoom(1 / 1.5), all })[how]();
});
follow();
