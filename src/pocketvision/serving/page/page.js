"use strict";
// One page, no build, no library: images in, answers out. Everything that came from outside is shown as text, never as HTML.
const ms = (value) => `${value.toFixed(1)} ms`;
// What is not nothing is never shown as nothing, and what is not sure never as sure.
const percent = (share) => {
  if (share < 0.0005) return "< 0.1 %";
  return share > 0.9995 ? "> 99.9 %" : `${(share * 100).toFixed(1)} %`;
};
const tenths = (share) => (share * 100).toFixed(1);
const TEXTS = {
  en: {
    language: "Language", images: "Images", drop: "Drop images here, paste them, or choose them.", camera: "Use the camera",
    stop: "Stop the camera", answers: "Answers", save: "Save as CSV", model: "Model", choose: "Served model",
    top: "Classes to show", key: "Key", version: "Version", architecture: "Architecture", size: "Input", classes: "Classes",
    working: "Working …", done: "Done", nocamera: "The camera can not be used: ", lost: "The server can not be reached.",
    switches: "What answers", map: "Show where it looks", all: "All of them", again: "Look again at each object", network: "network", decoding: "decoding",
    total: (value) => `Timings · ${ms(value)}`,
    files: "Choose images", measured: "Measured", timings: "Timings", locked: "This server wants a key.",
    counted: (labels) => `${labels} classes`, nopicture: (name) => `${name} is no picture.`,
    before: "before compression", figure: ({ name, value, set, images }) => `${name} ${value} % on ${images} ${set} images`,
    times: (t) => `queue ${ms(t.queue_ms)} · decode ${ms(t.decode_ms)} · inference ${ms(t.inference_ms)} · batch ${t.batch}`,
  },
  ko: {
    language: "언어", images: "이미지", drop: "이미지를 끌어다 놓거나, 붙여 넣거나, 선택하세요.", camera: "카메라 사용",
    stop: "카메라 멈춤", answers: "결과", save: "CSV로 저장", model: "모델", choose: "제공 중인 모델", top: "표시할 클래스 수",
    key: "키", version: "버전", architecture: "구조", size: "입력", classes: "클래스", working: "처리 중 …", done: "완료",
    nocamera: "카메라를 사용할 수 없습니다: ", lost: "서버에 연결할 수 없습니다.",
    switches: "대답할 작업", map: "보는 곳 표시", all: "모두", again: "물체마다 다시 보기", network: "신경망", decoding: "디코딩",
    total: (value) => `처리 시간 · ${ms(value)}`,
    files: "이미지 선택", measured: "측정값", timings: "처리 시간", locked: "이 서버는 키가 필요합니다.",
    counted: (labels) => `클래스 ${labels}개`, nopicture: (name) => `${name}: 그림 파일이 아닙니다.`,
    before: "압축 전", test: "테스트", selection: "선택용",
    figure: ({ name, value, set, images }) => `${set} 이미지 ${images}장에서 ${name} ${value} %`,
    times: (t) => `대기 ${ms(t.queue_ms)} · 디코딩 ${ms(t.decode_ms)} · 추론 ${ms(t.inference_ms)} · 배치 ${t.batch}`,
  },
};
// What shows the answers of a kind of task: the module that its task brings (page/tasks/KIND.js). It exports
//   texts                  its words, by language; figure.NAME says a figure of that name: { name, value, set, images } to a sentence
//   columns, cells(answer) what stands in the file of answers; columns may be a function of a task or an answer
//   said(answer)           what is read out when it changes
//   unsure(answer)         whether it looks like a guess
//   headline(answer, page) elements that stand on the picture
//   details(answer, page)  elements that stand below it
//   controls(page)         where there is something to choose for all answers of the kind: elements that stand beside the pictures
//   over(answer, page)     where there is something to show in a place: shapes over the picture, in pixels of the upright image
// page: { element(tag, words, class), translated(tag, name of a text, class), percent(share), shape(SVG tag, attributes, words),
// labels (the task's, in index order), and for over() width and height of the image and size, that of its letters }.
// An answer whose kind has no module is shown by its headline.
const PLAIN = {
  columns: ["answer"], cells: ({ headline }) => [headline], said: ({ headline }) => headline, unsure: () => false,
  headline: ({ headline }, { element }) => [element("strong", headline, "said")], details: () => [],
};
const modules = {};
const LONGEST_HISTORY = 200;
const LETTERS = 13; // pixels of the screen, of what is written over a picture
const at = (id) => document.getElementById(id);
const rows = [];
let language = navigator.language.startsWith("ko") ? "ko" : "en";
let models = [];
let camera = null; // camera.js

const text = (name) => TEXTS[language][name];
const say = (words, wrong = false) => {
  at("status").textContent = words;
  // A camera's answer stands on its picture; here it is only read out.
  at("status").className = wrong ? "wrong" : camera ? "unseen" : "";
};

function element(tag, words, name) {
  const made = document.createElement(tag);
  if (words !== undefined) made.textContent = words;
  if (name) made.className = name;
  return made;
}

function translate() {
  document.documentElement.lang = language;
  at("language").value = language;
  for (const each of document.querySelectorAll("[data-text]")) each.textContent = text(each.dataset.text);
  if (camera) at("camera").textContent = text("stop");
  for (const each of at("models").options) if (each.value === ALL) each.textContent = text("all");
  showCard();
}

// An element whose words change with the language.
function translated(tag, name, className) {
  const made = element(tag, text(name), className);
  made.dataset.text = name;
  return made;
}

function shape(tag, attributes, words) {
  const made = document.createElementNS(at("over").namespaceURI, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (words !== undefined) made.textContent = words;
  return made;
}

// Puts an answer's shapes onto a layer over what is seen, an image or a video. Both are scaled alike.
function cover(layer, seen, { answers, maps }) {
  const [width, height] = [seen.videoWidth || seen.naturalWidth || seen.width, seen.videoHeight || seen.naturalHeight || seen.height];
  const size = LETTERS / Math.min(seen.clientWidth / width, seen.clientHeight / height);
  layer.setAttribute("viewBox", `0 0 ${width} ${height}`);
  layer.setAttribute("font-size", size);
  const shapes = Object.entries(answers).flatMap(([task, answer]) =>
    moduleOf(answer).over?.(answer, { ...pageOf(task, answer), width, height, size }) ?? []);
  const isImage = ({ tagName }) => tagName === "image"; // masks lie below boxes and their names
  layer.replaceChildren(...Object.values(maps ?? {}).map(heat), ...shapes.filter(isImage), ...shapes.filter((each) => !isImage(each)));
}

// From what does not matter to what matters most, as explain/heat_map.py has them.
const HEAT = [[20, 11, 52], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]];

// Where a class is seen: a small grid of numbers from 0 to 1, drawn as an image that the browser makes larger.
function heat({ box: [left, top, right, bottom], values }) {
  const canvas = element("canvas");
  Object.assign(canvas, { width: values[0].length, height: values.length });
  const pixels = new ImageData(canvas.width, canvas.height);
  values.flat().forEach((value, place) => {
    const low = Math.min(Math.floor(value * 4), 3);
    const colour = HEAT[low].map((one, band) => one + (HEAT[low + 1][band] - one) * (value * 4 - low));
    pixels.data.set([...colour, 166 * Math.sqrt(value)], 4 * place);
  });
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  return shape("image", {
    x: left, y: top, width: right - left, height: bottom - top, preserveAspectRatio: "none", href: canvas.toDataURL(), class: "heat",
  });
}

const places = ({ answers, maps }) => maps || Object.values(answers).some((answer) => moduleOf(answer).over);
const moduleOf = ({ kind }) => modules[kind] ?? PLAIN;
const pageOf = (task, { kind }) => ({
  element, percent, shape, translated: (tag, name, className) => translated(tag, `${kind}.${name}`, className),
  labels: askedTasks()[task]?.labels ?? [],
});

async function loadModules() {
  const wanted = Object.fromEntries(models.flatMap(({ tasks }) => Object.values(tasks)).map(({ kind, page }) => [kind, page]));
  await Promise.all(Object.entries(wanted).map(async ([kind, page]) => {
    if (!page || modules[kind]) return;
    const module = await import(new URL(page, document.baseURI)).catch(() => PLAIN);
    for (const [name, words] of Object.entries(module.texts ?? {})) {
      for (const [key, value] of Object.entries(words)) if (TEXTS[name]) TEXTS[name][`${kind}.${key}`] = value;
    }
    modules[kind] = module;
    at("controls").append(...(module.controls?.({ element, translated: (tag, name) => translated(tag, `${kind}.${name}`) }) ?? []));
  }));
}

async function ask(path, options = {}) {
  const headers = { ...options.headers };
  if (at("key").value) headers.Authorization = `Bearer ${at("key").value}`;
  let answer;
  try {
    answer = await fetch(path, { ...options, headers });
  } catch {
    throw new Error(text("lost"));
  }
  const told = await answer.json().catch(() => ({ detail: `${answer.status} ${answer.statusText}` }));
  if (!answer.ok) {
    throw Object.assign(new Error(answer.status === 401 ? text("locked") : told.detail), { status: answer.status });
  }
  return told;
}

async function loadModels() {
  try {
    models = (await ask("models")).models;
    await loadModules();
    const all = newest().length > 1 ? [new Option(text("all"), ALL)] : [];
    at("models").replaceChildren(...all, ...models.map((model, place) => new Option(`${model.name} (${model.version})`, place)));
    showCard();
    showSwitches();
    say("");
  } catch (error) {
    say(error.message, true);
  }
}

function showCard() {
  const asked = askedModels();
  if (!asked.length) return;
  at("facts").textContent = asked.length > 1 ? asked.map(({ name }) => name).join(" · ") : asked.map(brief).join("");
  at("card").replaceChildren(...asked.flatMap((model) =>
    Object.entries({ ...(asked.length > 1 ? { model: model.name } : {}), ...facts(model) })
      .flatMap(([name, value]) => [element("dt", text(name)), element("dd", value)])));
}

const sizeOf = ({ width, height }) => `${width} × ${height}`;
const figuresOf = ({ figures, tasks }) => (figures ?? []).map((figure) => measured(figure, Object.values(tasks)));
const brief = (model) =>
  [model.name, figuresOf(model)[0], sizeOf(model), model.labels.length && text("counted")(model.labels.length), bytes(model.bytes)]
    .filter(Boolean).join(" · ");

function facts(model) {
  const { version, architecture, labels } = model;
  return {
    version, architecture, size: sizeOf(model),
    ...(figuresOf(model).length ? { measured: figuresOf(model).join("\n") } : {}),
    ...(labels.length ? { classes: `${labels.length}: ${labels.join(", ")}` } : {}),
  };
}

function measured({ name, set, value, interval, images, before_compression }, tasks) {
  const own = tasks.map(({ kind }) => text(`${kind}.figure.${name}`)).find(Boolean) ?? text("figure");
  const sentence = own({ name, value: tenths(value), set: text(set) ?? set, images });
  return `${sentence}${interval ? ` (${interval.map(tenths).join("–")})` : ""}${before_compression ? `, ${text("before")}` : ""}`;
}

function bytes(count) {
  if (!count) return "";
  return count < 1e6 ? `${Math.ceil(count / 1e3)} kB` : `${(count / 1e6).toFixed(1)} MB`;
}

const isUnsure = ({ answers }) => Object.values(answers).some((answer) => moduleOf(answer).unsure(answer));

const headline = ({ answers }) => Object.entries(answers).flatMap(([task, answer]) => moduleOf(answer).headline(answer, pageOf(task, answer)));

// Of several tasks each has its name above it.
function details({ answers }) {
  const several = Object.keys(answers).length > 1;
  return Object.entries(answers).flatMap(([task, answer]) => {
    const parts = moduleOf(answer).details(answer, pageOf(task, answer));
    return several && parts.length ? [element("p", task, "name"), ...parts] : parts;
  });
}

const said = ({ answers }) => Object.values(answers).map((answer) => moduleOf(answer).said(answer)).join(", ");

// The columns of the file of answers, of tasks or their answers, and an image's cells by them.
const columnsFor = (each) => {
  const { columns } = moduleOf(each);
  return typeof columns === "function" ? columns(each) : columns;
};

function columnsOf(tasks) {
  const several = Object.keys(tasks).length > 1;
  return Object.entries(tasks).flatMap(([task, each]) =>
    columnsFor(each).map((column) => (several ? `${task}.${column}` : column)));
}

function cellsOf(answers) {
  // As many as the answer has columns: a module may know of more than this answer says.
  const values = Object.values(answers).flatMap((answer) => moduleOf(answer).cells(answer).slice(0, columnsFor(answer).length));
  return Object.fromEntries(columnsOf(answers).map((column, place) => [column, values[place]]));
}

function timings({ timings: told }) {
  const toggle = element("details", undefined, "times");
  const summary = told.total_ms === undefined ? translated("summary", "timings") : element("summary", text("total")(told.total_ms));
  toggle.append(summary, element("p", text("times")(told)), ...partRows(told));
  return toggle;
}

// Of tasks that have no answer, why.
const problems = ({ problems: told }) => Object.entries(told ?? {}).map(([name, { detail }]) => {
  const line = element("p", `${name}: ${detail}`, "lacking");
  line.setAttribute("role", "alert");
  return line;
});

function show(name, picture, prediction) {
  const item = element("li", undefined, "answer card");
  const told = element("div", undefined, "told");
  if (prediction.problem) {
    item.classList.add("wrong");
    const problem = element("p", prediction.problem.detail);
    problem.setAttribute("role", "alert");
    told.append(problem);
  } else {
    item.classList.toggle("unsure", isUnsure(prediction));
    const shot = element("figure", undefined, "shot");
    const image = element("img");
    const caption = element("figcaption");
    image.src = picture;
    image.alt = name;
    caption.append(...headline(prediction));
    const layer = at("over").cloneNode(false);
    layer.removeAttribute("id");
    // Letters have the same size on the screen however large the picture is shown.
    image.onload = () => new ResizeObserver(() => cover(layer, image, prediction)).observe(image);
    const view = element("div", undefined, "view");
    view.append(image, layer);
    shot.append(view, caption);
    shot.classList.toggle("placed", places(prediction));
    item.append(shot);
    told.append(...details(prediction), ...problems(prediction));
  }
  if (!prediction.problem?.detail.includes(name)) told.append(element("p", name, "name"));
  if (!prediction.problem) told.append(timings(prediction));
  item.append(told);
  at("answers").prepend(item);
  document.querySelector("main").classList.remove("empty");
  const problem = prediction.problem?.detail ?? "";
  rows.push({ time: new Date().toISOString(), image: name, cells: cellsOf(prediction.answers ?? {}), problem });
  while (at("answers").children.length > LONGEST_HISTORY) {
    const last = at("answers").lastElementChild;
    const old = last.querySelector("img");
    if (old) URL.revokeObjectURL(old.src);
    last.remove();
    rows.shift();
  }
  at("save").disabled = false;
}

// Whether a file can be a picture: its type, where it has one, and that it can be read (a folder can not).
async function isPicture(file) {
  if (file.type && !file.type.startsWith("image/")) return false;
  return file.slice(0, 1).arrayBuffer().then(() => true, () => false);
}

async function classify(files) {
  say(text("working"));
  for (const file of [...files]) {
    const name = file.name || "image";
    if (!(await isPicture(file))) {
      show(name, null, { problem: { detail: text("nopicture")(name) } });
      continue;
    }
    const form = new FormData();
    form.append("file", file);
    try {
      const answer = await ask(`predict?${query()}`, { method: "POST", body: form });
      show(name, URL.createObjectURL(file), answer.predictions[0]);
    } catch (error) {
      // What is wrong with one file is told beside its name; what stops them all is told once.
      if (![400, 413, 415, 422].includes(error.status)) return say(error.message, true);
      show(name, null, { problem: { detail: error.message } });
    }
  }
  say(text("done"));
}

function save() {
  const quoted = (value) => {
    const words = String(value);
    // A spreadsheet would run what begins like a formula.
    return `"${(/^[=+\-@\t\r]/.test(words) && Number.isNaN(Number(words)) ? "'" + words : words).replaceAll('"', '""')}"`;
  };
  // A picture that could not be answered has no columns; those of the model's tasks stand there all the same.
  const expected = columnsOf(askedTasks());
  const columns = [...new Set([...expected, ...rows.flatMap(({ cells }) => Object.keys(cells))])];
  const table = rows.map(({ time, image, cells, problem }) => [time, image, ...columns.map((each) => cells[each] ?? ""), problem]);
  const lines = [["time", "image", ...columns, "problem"], ...table].map((row) => row.map(quoted).join(","));
  const link = element("a");
  link.href = URL.createObjectURL(new Blob(["\ufeff" + lines.join("\r\n") + "\r\n"], { type: "text/csv" }));
  link.download = "answers.csv";
  link.click();
  URL.revokeObjectURL(link.href);
}

at("language").onchange = (event) => { language = event.target.value; translate(); };
at("files").onchange = (event) => classify(event.target.files);
at("models").onchange = () => { showCard(); showSwitches(); };
at("key").onchange = loadModels;
at("keys").onsubmit = (event) => event.preventDefault(); // Enter: the field has changed, and says so itself
at("save").onclick = save;
at("camera").onclick = () => {
  if (!camera) return startCamera();
  stopCamera();
  say("");
};
document.addEventListener("paste", (event) => classify(event.clipboardData.files));
document.addEventListener("dragover", (event) => { event.preventDefault(); at("drop").classList.add("over"); });
document.addEventListener("dragleave", () => at("drop").classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  at("drop").classList.remove("over");
  classify(event.dataTransfer.files);
});
at("keys").hidden = document.body.dataset.keys !== "required";
translate();
loadModels();
