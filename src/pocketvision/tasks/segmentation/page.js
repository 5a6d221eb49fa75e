// Shows a mask on the server's page; serving/page/page.js says what such a module exports.
const NAMED = 3;
const WORTH_NAMING = 0.005;
const OPACITY = 0.55; // as page.css has it before anybody moves the slider
const NOTHING = 255;

export const texts = {
  en: {
    none: "nothing", opacity: "Opacity of masks",
    "figure.mIoU": ({ value, set, images }) => `mean IoU ${value} % on ${images} ${set} images`,
  },
  ko: {
    none: "없음", opacity: "마스크 불투명도",
    "figure.mIoU": ({ value, set, images }) => `${set} 이미지 ${images}장에서 평균 IoU ${value} %`,
  },
};
export const columns = ["classes", "shares"];
export const cells = ({ classes }) => [
  classes.map(({ label }) => label).join(";"),
  classes.map(({ share }) => share.toFixed(4)).join(";"),
];
export const said = ({ headline }) => headline;
export const unsure = ({ confidence }) => (confidence ?? 1) < 0.6;

// As in tasks/colours.py, so that a class has the same colour here and on pictures from Python.
const hueOf = (value) => (0.02 + value * 0.618034) % 1;
const colourOf = (value) => `hsl(${Math.round(hueOf(value) * 360)} 85% 55%)`;
const bytesOf = (value) => {
  const channel = (turn) => {
    const place = (turn + hueOf(value) * 12) % 12;
    return Math.round(255 * (0.55 - 0.85 * 0.45 * Math.max(-1, Math.min(place - 3, 9 - place, 1))));
  };
  return [channel(0), channel(8), channel(4)];
};

export function headline({ classes }, { element, percent, translated }) {
  const worth = classes.filter(({ share }) => share >= WORTH_NAMING);
  if (!worth.length) return [translated("span", "none", "tag")];
  const more = worth.length > NAMED ? ` + ${worth.length - NAMED}` : "";
  return [element("strong", worth.slice(0, NAMED).map(({ label, share }) => `${label} ${percent(share)}`.replaceAll(" ", "\u00a0")).join(", ") + more, "said")];
}

const painted = ({ width, height, values, lengths }) => {
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const picture = context.createImageData(width, height);
  const colours = new Map();
  let place = 0;
  values.forEach((value, run) => {
    if (!colours.has(value)) colours.set(value, bytesOf(value));
    const [red, green, blue] = colours.get(value);
    for (const end = place + lengths[run]; place < end; place += 1) {
      if (value !== NOTHING) picture.data.set([red, green, blue, 255], place * 4);
    }
  });
  context.putImageData(picture, 0, 0);
  return canvas.toDataURL();
};

// One for all pictures, those to come too.
export function controls({ element, translated }) {
  const label = element("label");
  const range = element("input");
  Object.assign(range, { type: "range", min: 0, max: 1, step: 0.05, value: OPACITY });
  range.oninput = () => document.documentElement.style.setProperty("--mask-opacity", range.value);
  label.append(translated("span", "opacity"), range);
  return [label];
}

export function over({ mask }, { shape }) {
  if (!mask || mask.form !== "rle") return [];
  const { width, height } = mask;
  return [shape("image", { href: painted(mask), x: 0, y: 0, width, height, class: "mask", preserveAspectRatio: "none" })];
}

export function details({ classes }, { element, percent }) {
  return classes.map(({ label, share, value }) => {
    const line = element("div", undefined, "class");
    const bar = element("meter");
    bar.value = share;
    bar.setAttribute("aria-label", label);
    const name = element("span", label);
    name.style.borderLeft = `.6em solid ${colourOf(value)}`;
    name.style.paddingLeft = ".4em";
    line.append(name, bar, element("span", percent(share)));
    return line;
  });
}
