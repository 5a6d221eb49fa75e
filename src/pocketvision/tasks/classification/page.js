// Shows a classification on the server's page; serving/page/page.js says what such a module exports.
// Less sure than this is shown as a guess, where the bundle itself does not say which answers it is unsure of.
const UNSURE = 0.6;

export const texts = {
  en: { unsure: "not sure", none: "none of these", or: "or", "figure.accuracy": ({ value, set, images }) => `${value} % of ${images} ${set} images right` },
  ko: { unsure: "확실하지 않음", none: "해당 없음", or: "또는", "figure.accuracy": ({ value, set, images }) => `${set} 이미지 ${images}장 가운데 ${value} % 정답` },
};
const DECIDING = ["thresholds", "abstain_below", "conformal", "novel_from", "unsure"];
const SETS = ["conformal", "prediction_set"];
const NONE = ["novel_from", "none_of_these"];
const has = (each, names) => names.some((name) => name in each);
export const columns = (each) => ["label", "probability", ...(has(each, DECIDING) ? ["unsure"] : []), ...(has(each, SETS) ? ["prediction_set"] : []), ...(has(each, NONE) ? ["none_of_these"] : [])];
export const cells = ({ label, probability, unsure: told, prediction_set: set, none_of_these: none }) =>
  [label, probability, told, ...(set ? [set.join("; ")] : []), ...(none === undefined ? [] : [none])];
export const said = ({ label }) => label;
export const unsure = ({ probability, unsure: told }) => told ?? probability < UNSURE;

// In large letters, to stand on its picture; an unsure one looks unsure.
export function headline(answer, { element, percent, translated }) {
  const { label, probability } = answer;
  const parts = [element("strong", unsure(answer) ? `${label}?` : label, "said"), element("span", percent(probability), "share")];
  const others = answer.prediction_set?.filter((name) => name !== label) ?? [];
  if (answer.none_of_these) return [...parts, translated("span", "none", "tag")];
  if (others.length) return [...parts, translated("span", "or", "tag"), element("span", others.join(", "), "share")];
  return unsure(answer) ? [...parts, translated("span", "unsure", "tag")] : parts;
}

export function details({ top }, { element, percent }) {
  return top.map(({ label, probability }) => {
    const line = element("div", undefined, "class");
    const bar = element("meter");
    bar.value = probability;
    bar.setAttribute("aria-label", label);
    line.append(element("span", label), bar, element("span", percent(probability)));
    return line;
  });
}
