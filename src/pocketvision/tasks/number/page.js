// Shows a number on the server's page; serving/page/page.js says what such a module exports.
export const texts = {
  en: { "figure.R2": ({ value, set, images }) => `${value} % of the variance of ${images} ${set} images explained` },
  ko: { "figure.R2": ({ value, set, images }) => `${set} 이미지 ${images}장에서 분산의 ${value} % 설명` },
};
export const columns = ["value", "low", "high", "unit"];
export const cells = ({ value, interval, unit }) => [value, interval?.low ?? "", interval?.high ?? "", unit];
export const said = ({ headline }) => headline;
export const unsure = () => false;

const short = (value) => Number(value.toPrecision(4)).toLocaleString();

export function headline({ value, unit }, { element }) {
  return [element("strong", unit ? `${short(value)} ${unit}` : short(value), "said")];
}

export function details({ interval }, { element, percent }) {
  if (!interval) return [];
  return [element("p", `${short(interval.low)} – ${short(interval.high)} (${percent(interval.coverage)})`)];
}
