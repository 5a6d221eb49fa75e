"use strict";
// Points with pictures: the nearest one to a click, or the next one in an arrow key's direction. Names are shown as text, never as HTML.
const points = JSON.parse(document.getElementById("points").textContent);
const plot = document.getElementById("plot");
const shown = document.getElementById("shown");
const [WIDTH, HEIGHT, EDGE] = [1000, 700, 20];
const COLOURS = 6;
const names = [...new Set(points.map((point) => point[2]))].sort();
const hidden = new Set();
let chosen = -1;

const x = ([across]) => EDGE + across * (WIDTH - 2 * EDGE);
const y = ([, down]) => EDGE + down * (HEIGHT - 2 * EDGE);
const visible = (place) => !hidden.has(points[place][2]);

const circles = points.map((point, place) => {
  const circle = document.createElementNS(plot.namespaceURI, "circle");
  const group = names.indexOf(point[2]);
  for (const [name, value] of Object.entries({ cx: x(point), cy: y(point), r: 5, class: `c${group % COLOURS} s${Math.floor(group / COLOURS) % 3}` })) {
    circle.setAttribute(name, value);
  }
  circle.onclick = () => choose(place);
  plot.append(circle);
  return circle;
});

function choose(place) {
  if (place < 0) return;
  if (chosen >= 0) circles[chosen].classList.remove("chosen");
  chosen = place;
  circles[place].classList.add("chosen");
  plot.append(circles[place]); // above the others
  const [, , name, file, picture] = points[place];
  const image = shown.querySelector("img");
  image.hidden = !picture;
  if (picture) image.src = picture;
  image.alt = file;
  shown.querySelector("figcaption").textContent = name ? `${name}: ${file}` : file;
}

// The nearest visible point for which `ahead` is positive, where what lies aside counts double.
function next(ahead, aside) {
  if (chosen < 0) return points.findIndex((_, place) => visible(place));
  const from = points[chosen];
  let [best, least] = [chosen, Infinity];
  points.forEach((point, place) => {
    const [dx, dy] = [x(point) - x(from), y(point) - y(from)];
    const on = ahead(dx, dy);
    if (place === chosen || on <= 0 || !visible(place)) return;
    const distance = on + 2 * Math.abs(aside(dx, dy));
    if (distance < least) [best, least] = [place, distance];
  });
  return best;
}

const across = (dx) => dx;
const down = (_, dy) => dy;
const KEYS = {
  ArrowRight: () => next((dx) => dx, down), ArrowLeft: () => next((dx) => -dx, down),
  ArrowDown: () => next((_, dy) => dy, across), ArrowUp: () => next((_, dy) => -dy, across),
  Home: () => points.findIndex((_, place) => visible(place)),
};
plot.onkeydown = (event) => {
  if (!KEYS[event.key]) return;
  event.preventDefault();
  choose(KEYS[event.key]());
};

for (const [group, name] of names.entries()) {
  if (names.length < 2) break;
  const label = document.createElement("label");
  const box = Object.assign(document.createElement("input"), { type: "checkbox", checked: true });
  box.onchange = () => {
    if (box.checked) hidden.delete(name);
    else hidden.add(name);
    points.forEach((point, place) => { circles[place].style.display = hidden.has(point[2]) ? "none" : ""; });
  };
  const mark = Object.assign(document.createElement("i"), { className: `c${group % COLOURS} s${Math.floor(group / COLOURS) % 3}` });
  label.append(box, mark, name);
  document.getElementById("classes").append(label);
}
choose(points.length ? 0 : -1);
