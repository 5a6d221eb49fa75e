// Shows tags on the server's page; serving/page/page.js says what such a module exports.
const NAMED = 3;

export const texts = {
  en: { none: "no tags", "figure.mAP": ({ value, set, images }) => `mean average precision ${value} % on ${images} ${set} images` },
  ko: { none: "태그 없음", "figure.mAP": ({ value, set, images }) => `${set} 이미지 ${images}장에서 mAP ${value} %` },
};
export const columns = ["tags", "probabilities"];
export const cells = ({ tags }) => [tags.map(({ label }) => label).join(";"), tags.map(({ probability }) => probability).join(";")];
export const said = ({ headline }) => headline;
export const unsure = ({ tags }) => tags.length === 0;

export function headline({ tags }, { element, translated }) {
  if (!tags.length) return [translated("span", "none", "tag")];
  const more = tags.length > NAMED ? ` + ${tags.length - NAMED}` : "";
  return [element("strong", tags.slice(0, NAMED).map(({ label }) => label).join(", ") + more, "said")];
}

export function details({ tags }, { element, percent }) {
  return tags.map(({ label, probability }) => {
    const line = element("div", undefined, "class");
    const bar = element("meter");
    bar.value = probability;
    bar.setAttribute("aria-label", label);
    line.append(element("span", label), bar, element("span", percent(probability)));
    return line;
  });
}
