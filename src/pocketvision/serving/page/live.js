"use strict";
// Live streams, in a section of its own that is there only while there are any. With a key the pictures are fetched, because an
// <img> sends no key; without one an <img> shows the stream by itself.
(() => {
  const WORDS = { en: "Live", ko: "실시간" };
  const PERIOD = 2000;
  // A browser opens six connections to a server: one has to be left for everything else.
  const AT_ONCE = 4;
  const shown = new Map();
  let refused = null;
  const section = document.createElement("section");
  const heading = document.createElement("h2");
  section.id = "live";
  section.setAttribute("aria-labelledby", "live-heading");
  heading.id = "live-heading";
  section.append(heading);

  const headers = () => {
    const key = document.getElementById("key")?.value;
    return key ? { Authorization: `Bearer ${key}` } : {};
  };

  function add({ name, since }) {
    const figure = document.createElement("figure");
    const image = document.createElement("img");
    const caption = document.createElement("figcaption");
    const stop = new AbortController();
    figure.className = "card";
    image.alt = caption.textContent = name;
    figure.append(image, caption);
    section.append(figure);
    shown.set(name, { figure, image, caption, stop, since });
    const path = `live/${encodeURIComponent(name)}.mjpeg`;
    const sent = headers();
    if (!sent.Authorization) {
      image.onerror = () => remove(name);
      image.src = path;
      ask(name, null, stop.signal, ({ answers }) => showSwitches(name, Object.keys(answers ?? {})));
    } else {
      fetched(image, path, sent, stop.signal).catch(() => {}).then(() => remove(name));
    }
  }

  function remove(name) {
    const each = shown.get(name);
    if (!each) return;
    shown.delete(name);
    each.stop.abort();
    each.image.onerror = null;
    if (each.image.src.startsWith("blob:")) URL.revokeObjectURL(each.image.src);
    each.image.removeAttribute("src");
    each.figure.remove();
  }

  // A switch for each of a stream's tasks, where it has several: what is switched off costs its computer nothing, for all who
  // watch. The last one that is on stays on. A browser sends no key with a WebSocket: with one there are no switches.
  function showSwitches(name, tasks) {
    const stream = shown.get(name);
    if (!stream || tasks.length < 2) return;
    const row = document.createElement("div");
    row.className = "switches";
    const boxes = tasks.map((task) => {
      const label = document.createElement("label");
      const box = document.createElement("input");
      label.className = "switch";
      Object.assign(box, { type: "checkbox", checked: true, name: task });
      box.onchange = () => {
        const on = boxes.filter((each) => each.checked).map((each) => each.name);
        if (on.length) ask(name, on.length < tasks.length ? on : undefined, stream.stop.signal, () => {});
        else box.checked = true;
      };
      label.append(box, task);
      row.append(label);
      return box;
    });
    stream.figure.append(row);
  }

  // The stream's next answer, over a WebSocket that is closed then; `tasks` that it is to have from then on, undefined for all,
  // null to change nothing.
  function ask(name, tasks, signal, done) {
    const socket = new WebSocket(new URL(`live/${encodeURIComponent(name)}`, document.baseURI).href.replace(/^http/, "ws"));
    signal.addEventListener("abort", () => socket.close());
    socket.onopen = () => { if (tasks !== null) socket.send(JSON.stringify({ type: "options", tasks })); };
    socket.onmessage = ({ data }) => {
      if (typeof data !== "string") return;
      socket.close();
      done(JSON.parse(data));
    };
  }

  async function fetched(image, path, sent, signal) {
    const answer = await fetch(path, { headers: sent, signal });
    if (!answer.ok) return;
    const reader = answer.body.getReader();
    let waiting = new Uint8Array();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const joined = new Uint8Array(waiting.length + value.length);
      joined.set(waiting);
      joined.set(value, waiting.length);
      waiting = show(image, joined);
    }
  }

  // Shows the newest whole picture of what has come; returns what is left.
  function show(image, bytes) {
    let newest = null;
    for (;;) {
      // The headers are ASCII, and short; a picture's bytes are never searched.
      const head = new TextDecoder("latin1").decode(bytes.subarray(0, 512));
      const size = /Content-Length: (\d+)\r\n(?:[^\r\n]+\r\n)*\r\n/.exec(head);
      if (!size) break;
      const start = size.index + size[0].length;
      const end = start + Number(size[1]);
      if (bytes.length < end) break;
      newest = bytes.slice(start, end);
      bytes = bytes.subarray(end);
    }
    if (newest) {
      const before = image.src;
      image.src = URL.createObjectURL(new Blob([newest], { type: "image/jpeg" }));
      if (before.startsWith("blob:")) URL.revokeObjectURL(before);
    }
    return bytes.slice();
  }

  // The streams there are, null where there will be none. A key that was refused is not tried again.
  async function listed() {
    const sent = headers();
    if (refused === JSON.stringify(sent)) return [];
    try {
      const answer = await fetch("live", { headers: sent });
      refused = answer.status === 401 ? JSON.stringify(sent) : null;
      if (!answer.ok) return [];
      const told = await answer.json();
      return told.enabled ? told.streams.slice(0, AT_ONCE) : null;
    } catch {
      return []; // the server can not be reached; page.js says so
    }
  }

  async function look() {
    const streams = await listed();
    if (streams === null) return;
    const names = new Set(streams.map(({ name }) => name));
    for (const name of [...shown.keys()]) if (!names.has(name)) remove(name);
    for (const stream of streams) {
      // Another stream of this name, such as on a server that was restarted: the old one's connection is over.
      if (shown.has(stream.name) && shown.get(stream.name).since !== stream.since) remove(stream.name);
      if (!shown.has(stream.name)) add(stream);
      shown.get(stream.name).caption.textContent = `${stream.name} · ${stream.fps} fps`;
    }
    heading.textContent = WORDS[document.documentElement.lang] ?? WORDS.en;
    if (shown.size && !section.isConnected) document.querySelector("main").append(section);
    if (!shown.size) section.remove();
    setTimeout(look, PERIOD);
  }

  new MutationObserver(() => { heading.textContent = WORDS[document.documentElement.lang] ?? WORDS.en; })
    .observe(document.documentElement, { attributeFilter: ["lang"] });
  look();
})();
