"use strict";
// One page, no build, no library: images in, answers out. Everything that came from outside is shown as text, never as HTML.
const ms = (value) => `${value.toFixed(1)} ms`;
const TEXTS = {
  en: {
    language: "Language", images: "Images", drop: "Drop images here, paste them, or choose them.", camera: "Use the camera",
    stop: "Stop the camera", answers: "Answers", save: "Save as CSV", model: "Model", choose: "Served model",
    top: "Classes to show", key: "Key", version: "Version", architecture: "Architecture", size: "Input", classes: "Classes",
    working: "Working …", done: "Done", nocamera: "The camera can not be used: ", lost: "The server can not be reached.",
    files: "Choose images", measured: "Measured",
    figures: { set: "on", images: "images", accuracy: "accuracy", balanced_accuracy: "balanced accuracy", macro_f1: "macro F1",
      top5_accuracy: "top-5 accuracy" },
    times: (t) => `queue ${ms(t.queue_ms)} · decode ${ms(t.decode_ms)} · inference ${ms(t.inference_ms)} · batch ${t.batch}`,
  },
  ko: {
    language: "언어", images: "이미지", drop: "이미지를 끌어다 놓거나, 붙여 넣거나, 선택하세요.", camera: "카메라 사용",
    stop: "카메라 멈춤", answers: "결과", save: "CSV로 저장", model: "모델", choose: "제공 중인 모델", top: "표시할 클래스 수",
    key: "키", version: "버전", architecture: "구조", size: "입력", classes: "클래스", working: "처리 중 …", done: "완료",
    nocamera: "카메라를 사용할 수 없습니다: ", lost: "서버에 연결할 수 없습니다.",
    files: "이미지 선택", measured: "측정값",
    figures: { set: "데이터", images: "이미지 수", accuracy: "정확도", balanced_accuracy: "균형 정확도", macro_f1: "매크로 F1",
      top5_accuracy: "상위 5개 정확도" },
    times: (t) => `대기 ${ms(t.queue_ms)} · 디코딩 ${ms(t.decode_ms)} · 추론 ${ms(t.inference_ms)} · 배치 ${t.batch}`,
  },
};
const LONGEST_HISTORY = 200;
const at = (id) => document.getElementById(id);
const rows = [];
let language = navigator.language.startsWith("ko") ? "ko" : "en";
let models = [];
let camera = null;
let starting = false;

const text = (name) => TEXTS[language][name];
const say = (words, wrong = false) => { at("status").textContent = words; at("status").className = wrong ? "wrong" : ""; };

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
  showCard();
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
  const document = await answer.json();
  if (!answer.ok) throw new Error(document.detail);
  return document;
}

async function loadModels() {
  try {
    models = (await ask("/models")).models;
    at("models").replaceChildren(...models.map((model, place) => new Option(`${model.name} (${model.version})`, place)));
    showCard();
    say("");
  } catch (error) {
    say(error.message, true);
  }
}

function showCard() {
  const model = models[at("models").value];
  if (!model) return;
  const facts = {
    version: model.version, architecture: model.architecture, size: `${model.width} × ${model.height}`,
    classes: `${model.labels.length}: ${model.labels.join(", ")}`,
  };
  const figures = Object.entries(model.metrics).map(([name, value]) => {
    const share = typeof value === "number" && name !== "images";
    return `${text("figures")[name]} ${share ? `${(value * 100).toFixed(1)} %` : value}`;
  });
  if (figures.length) facts.measured = figures.join(" · ");
  at("card").replaceChildren(
    ...Object.entries(facts).flatMap(([name, value]) => [element("dt", text(name)), element("dd", value)]),
  );
}

function question() {
  const model = models[at("models").value];
  const chosen = model ? { model: model.name, version: model.version } : {};
  return { top_k: Math.min(20, Math.max(1, Math.trunc(Number(at("top").value)) || 3)), ...chosen };
}

function bars(prediction) {
  return prediction.top.map(({ label, probability }) => {
    const line = element("div", undefined, "class");
    const bar = element("meter");
    bar.value = probability;
    bar.setAttribute("aria-label", label);
    line.append(element("span", label), bar, element("span", `${(probability * 100).toFixed(1)} %`));
    return line;
  });
}

function show(name, picture, prediction) {
  const item = element("li");
  if (picture) {
    const image = element("img");
    image.src = picture;
    image.alt = name;
    item.append(image);
  }
  const told = element("div");
  told.append(element("strong", name));
  if (prediction.problem) told.append(element("p", prediction.problem.detail, "wrong"));
  else told.append(...bars(prediction), element("p", text("times")(prediction.timings), "times"));
  item.append(told);
  at("answers").prepend(item);
  rows.push([new Date().toISOString(), name, prediction.label ?? "", prediction.probability ?? "", prediction.problem?.detail ?? ""]);
  while (at("answers").children.length > LONGEST_HISTORY) {
    const last = at("answers").lastElementChild;
    const old = last.querySelector("img");
    if (old) URL.revokeObjectURL(old.src);
    last.remove();
    rows.shift();
  }
  at("save").disabled = false;
}

async function classify(files) {
  const images = [...files].filter((file) => file.type.startsWith("image/") || file.type === "");
  for (const file of images) {
    say(text("working"));
    const form = new FormData();
    form.append("file", file);
    try {
      const answer = await ask(`/predict?${new URLSearchParams(question())}`, { method: "POST", body: form });
      show(file.name || "image", URL.createObjectURL(file), answer.predictions[0]);
      say(text("done"));
    } catch (error) {
      show(file.name || "image", null, { problem: { detail: error.message } });
      say(error.message, true);
    }
  }
}

function save() {
  const quoted = (value) => {
    const words = String(value);
    // A spreadsheet would run what begins like a formula.
    return `"${(/^[=+\-@\t\r]/.test(words) && Number.isNaN(Number(words)) ? "'" + words : words).replaceAll('"', '""')}"`;
  };
  const lines = [["time", "image", "label", "probability", "problem"], ...rows].map((row) => row.map(quoted).join(","));
  const link = element("a");
  link.href = URL.createObjectURL(new Blob(["\ufeff" + lines.join("\r\n") + "\r\n"], { type: "text/csv" }));
  link.download = "answers.csv";
  link.click();
  URL.revokeObjectURL(link.href);
}

async function startCamera() {
  if (starting) return;
  starting = true;
  try {
    const stream = await navigator.mediaDevices.getUserMedia({ video: { width: 640 } });
    const video = at("video");
    video.srcObject = stream;
    video.hidden = false;
    await video.play();
    camera = { stream, socket: null };
    at("camera").setAttribute("aria-pressed", "true");
    at("camera").textContent = text("stop");
    analyse(video);
  } catch (error) {
    say(text("nocamera") + error.message, true);
    stopCamera();
  } finally {
    starting = false;
  }
}

function frameOf(video) {
  const canvas = element("canvas");
  canvas.width = video.videoWidth;
  canvas.height = video.videoHeight;
  canvas.getContext("2d").drawImage(video, 0, 0);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.85));
}

function live(prediction) {
  at("seen").replaceChildren(...bars(prediction));
  // Bars change with every frame; only another label is worth to be read out.
  if (at("status").textContent !== prediction.label) say(prediction.label);
}

function analyse(video) {
  const socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}/ws`);
  camera.socket = socket;
  const next = async () => {
    if (!camera || socket.readyState !== WebSocket.OPEN) return;
    const frame = await frameOf(video);
    if (!camera || socket.readyState !== WebSocket.OPEN) return;
    socket.send(JSON.stringify({ type: "image_analysis", request_id: "camera", ...question() }));
    socket.send(frame);
  };
  // A browser sends no header with a WebSocket: the key is the first message, and its answer begins the rest.
  socket.onopen = () => (at("key").value ? socket.send(JSON.stringify({ type: "authenticate", key: at("key").value })) : next());
  let wrong = "";
  socket.onmessage = (message) => {
    const answer = JSON.parse(message.data);
    wrong = answer.type === "error" ? answer.detail : "";
    if (wrong) say(wrong, true);
    else if (answer.type === "analysis_result") live(answer.predictions[0]);
    setTimeout(next, wrong ? 1000 : 0);
  };
  socket.onclose = () => { if (camera?.socket === socket) { stopCamera(); say(wrong || text("lost"), true); } };
}

function stopCamera() {
  const stopped = camera;
  camera = null;
  stopped?.socket?.close();
  for (const track of stopped?.stream.getTracks() ?? []) track.stop();
  at("video").hidden = true;
  at("seen").replaceChildren();
  at("camera").setAttribute("aria-pressed", "false");
  at("camera").textContent = text("camera");
}

at("language").onchange = (event) => { language = event.target.value; translate(); };
at("files").onchange = (event) => classify(event.target.files);
at("models").onchange = showCard;
at("key").onchange = loadModels;
at("save").onclick = save;
at("camera").onclick = () => (camera ? stopCamera() : startCamera());
document.addEventListener("paste", (event) => classify(event.clipboardData.files));
document.addEventListener("dragover", (event) => { event.preventDefault(); at("drop").classList.add("over"); });
document.addEventListener("dragleave", () => at("drop").classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  at("drop").classList.remove("over");
  classify(event.dataTransfer.files);
});
translate();
loadModels();
