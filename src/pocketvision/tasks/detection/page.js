// Shows objects on the server's page; serving/page/page.js says what such a module exports.
const NAMED = 3;

export const texts = {
  en: {
    none: "no objects",
    "figure.AP": ({ value, set, images }) => `average precision ${value} % on ${images} ${set} images`,
  },
  ko: { none: "객체 없음", "figure.AP": ({ value, set, images }) => `${set} 이미지 ${images}장에서 평균 정밀도 ${value} %` },
};
// What a second model said of an object.
const again = ({ then }) => Object.values(then ?? {}).map(({ headline }) => headline).join(", ");
export const columns = ({ objects }) => ["objects", "scores", "boxes", ...(objects?.some(again) ? ["then"] : [])];
export const cells = ({ objects }) => [
  objects.map(({ label }) => label).join(";"),
  objects.map(({ score }) => score).join(";"),
  objects.map(({ box }) => box.map((side) => side.toFixed(1)).join(" ")).join(";"),
  objects.map(again).join(";"),
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

// The colours of tasks/detection/draw.py: a class has the same one on every picture, here and there.
const colourOf = (label, labels) => `hsl(${(((0.02 + labels.indexOf(label) * 0.618034) % 1) * 360).toFixed(1)} 85% 55%)`;
const whole = (score) => `${Math.round(score * 100)} %`;

export function over({ objects }, { shape, labels, width, size }) {
  return [...objects].reverse().flatMap((each) => {
    const { label, score, track, box: [left, top, right, bottom] } = each;
    const colour = colourOf(label, labels);
    const place = { x: left, y: top, width: right - left, height: bottom - top };
    const line = { fill: "none", stroke: colour, "stroke-width": 2, "vector-effect": "non-scaling-stroke" };
    const words = `${track ? `#${track} ` : ""}${label} ${whole(score)}${again(each) ? ` · ${again(each)}` : ""}`;
    // About as long as the words are; a name ends with the picture, and stands in the box where there is no room above it.
    const long = 0.62 * size * words.length;
    const x = Math.max(0, Math.min(left, width - long));
    const y = top > 1.3 * size ? top - 1.3 * size : top;
    const behind = { class: "behind", x, y, width: long, height: 1.3 * size, fill: "rgb(14 16 20 / .78)" };
    const name = { x: x + 0.2 * size, y: y + size, fill: "#fff", textLength: long - 0.4 * size, lengthAdjust: "spacingAndGlyphs" };
    return [shape("rect", { ...place, ...line }), shape("rect", behind), shape("text", name, words)];
  });
}

// A line a class, the most frequent first: how many, and the scores from the lowest to the highest.
// Below them what a second model said of each object.
export function details({ objects }, { element, labels }) {
  const looked = objects.filter(again).map((each) => element("p", `${each.label} ${whole(each.score)} → ${again(each)}`));
  const classes = counted(objects).map(([label, count]) => {
    const scores = objects.filter((each) => each.label === label).map(({ score }) => score);
    const [low, high] = [Math.min(...scores), Math.max(...scores)].map((score) => Math.round(score * 100));
    const line = element("div", undefined, "class");
    const name = element("span");
    const swatch = element("i", undefined, "swatch");
    swatch.style.background = colourOf(label, labels);
    name.append(swatch, `${count} × ${label}`);
    const bar = element("meter");
    bar.value = high / 100;
    bar.setAttribute("aria-label", label);
    line.append(name, bar, element("span", low === high ? `${high} %` : `${low}–${high} %`));
    return line;
  });
  return [...classes, ...looked];
}
