// Shows objects on the server's page; serving/page/page.js says what such a module exports.
const NAMED = 3;

export const texts = { en: { none: "no objects" }, ko: { none: "객체 없음" } };
export const columns = ["objects", "scores", "boxes"];
export const cells = ({ objects }) => [
  objects.map(({ label }) => label).join(";"),
  objects.map(({ score }) => score).join(";"),
  objects.map(({ box }) => box.map((side) => side.toFixed(1)).join(" ")).join(";"),
];
export const said = ({ headline }) => headline;
export const unsure = ({ objects }) => objects.length === 0;

const counted = (objects) => {
  const counts = new Map();
  for (const { label } of objects) counts.set(label, (counts.get(label) ?? 0) + 1);
  return [...counts].sort(([, one], [, other]) => other - one);
};

export function headline({ objects }, { element, translated }) {
  if (!objects.length) return [translated("span", "none", "tag")];
  const counts = counted(objects);
  const more = counts.length > NAMED ? ` + ${counts.length - NAMED}` : "";
  return [element("strong", counts.slice(0, NAMED).map(([label, count]) => `${count} × ${label}`).join(", ") + more, "said")];
}

// A class has the same colour on every picture.
const colourOf = (label) => {
  let number = 0;
  for (const sign of label) number = (number * 31 + sign.codePointAt(0)) % 9973;
  return `hsl(${Math.round(number * 137.5) % 360} 85% 58%)`;
};

export function over({ objects }, { shape, percent }) {
  return [...objects].reverse().flatMap(({ label, score, track, box: [left, top, right, bottom] }) => {
    const colour = colourOf(label);
    const place = { x: left, y: top, width: right - left, height: bottom - top };
    const line = { fill: "none", stroke: colour, "stroke-width": 2, "vector-effect": "non-scaling-stroke" };
    const words = `${track ? `#${track} ` : ""}${label} ${percent(score)}`;
    return [shape("rect", { ...place, ...line }), shape("text", { x: left, y: Math.max(top, 0), dy: top > 20 ? "-.3em" : "1em", fill: colour }, words)];
  });
}

export function details({ objects }, { element, percent }) {
  return objects.map(({ label, score }) => {
    const line = element("div", undefined, "class");
    const bar = element("meter");
    bar.value = score;
    bar.setAttribute("aria-label", label);
    line.append(element("span", label), bar, element("span", percent(score)));
    return line;
  });
}
