"use strict";
// The camera: frame by frame over a WebSocket, each asked for once the one before it is answered. Runs beside page.js, whose names
// it uses.
let starting = false;

async function startCamera() {
  if (starting) return;
  starting = true;
  try {
    const stream = await navigator.mediaDevices.getUserMedia({ video: { width: 640 } });
    const video = at("video");
    video.srcObject = stream;
    at("stage").hidden = false;
    await video.play();
    camera = { stream, socket: null };
    document.querySelector("main").classList.add("camera");
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
  return new Promise((resolve) => canvas.toBlob((content) => resolve({ canvas, content }), "image/jpeg", 0.85));
}

function live(prediction, frame) {
  const times = element("p", undefined, "times");
  const { total_ms, inference_ms } = prediction.timings;
  times.append(element("b", ms(total_ms ?? inference_ms)), ...partRows(prediction.timings));
  at("seen").replaceChildren(...details(prediction), ...problems(prediction), times);
  at("live-answer").replaceChildren(...headline(prediction));
  const shot = at("over").closest(".shot");
  shot.classList.toggle("placed", places(prediction));
  // Boxes stand on the frame that they are of: the camera has gone on since.
  shot.querySelector("canvas")?.remove();
  if (places(prediction)) at("over").before(frame);
  cover(at("over"), frame, prediction);
  at("stage").classList.toggle("unsure", isUnsure(prediction));
  // Details change with every frame; only another answer is worth to be read out.
  if (at("status").textContent !== said(prediction)) say(said(prediction));
}

function analyse(video) {
  const socket = new WebSocket(new URL("ws", document.baseURI).href.replace(/^http/, "ws"));
  camera.socket = socket;
  let asked = null;
  const next = async () => {
    if (!camera || socket.readyState !== WebSocket.OPEN) return;
    const frame = await frameOf(video);
    if (!camera || socket.readyState !== WebSocket.OPEN) return;
    socket.send(JSON.stringify({ type: "image_analysis", request_id: "camera", ...question() }));
    asked = frame.canvas;
    socket.send(frame.content);
  };
  // A browser sends no header with a WebSocket: the key is the first message, and its answer begins the rest.
  socket.onopen = () => (at("key").value ? socket.send(JSON.stringify({ type: "authenticate", key: at("key").value })) : next());
  let wrong = "";
  socket.onmessage = (message) => {
    const answer = JSON.parse(message.data);
    wrong = answer.type === "error" ? answer.detail : "";
    if (wrong) say(wrong, true);
    else if (answer.type === "analysis_result") live(answer.predictions[0], asked);
    setTimeout(next, wrong ? 1000 : 0);
  };
  socket.onclose = () => { if (camera?.socket === socket) { stopCamera(); say(wrong || text("lost"), true); } };
}

function stopCamera() {
  const stopped = camera;
  camera = null;
  stopped?.socket?.close();
  for (const track of stopped?.stream.getTracks() ?? []) track.stop();
  at("stage").hidden = true;
  at("stage").classList.remove("unsure");
  at("seen").replaceChildren();
  at("live-answer").replaceChildren();
  at("over").replaceChildren();
  at("over").closest(".shot").querySelector("canvas")?.remove();
  document.querySelector("main").classList.remove("camera");
  at("camera").setAttribute("aria-pressed", "false");
  at("camera").textContent = text("camera");
}
