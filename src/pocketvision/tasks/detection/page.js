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
