"use strict";
// Which models and tasks answer, and what looks again at what they found. page.js asks; nothing here speaks to the server.
const ALL = "all";
const off = new Set(); // names of answers that nobody wants

// The last version of each name, which answers where no version is named.
const newest = () => [...new Map(models.map((model) => [model.name, model])).values()];
const askedModels = () =>
  at("models").value === ALL ? newest() : [models[at("models").value]].filter(Boolean);

// The tasks that are asked, by the names of their answers: MODEL.TASK where several of the models have a task of that name.
function askedTasks() {
  const tasks = askedModels().flatMap((model) => Object.entries(model.tasks).map(([task, state]) => ({ model: model.name, task, state })));
  const count = (name) => tasks.filter(({ task }) => task === name).length;
  return Object.fromEntries(tasks.map(({ model, task, state }) => [count(task) > 1 ? `${model}.${task}` : task, { ...state, model }]));
}

// What stands beside an image in a request.
function question() {
  const asked = askedModels();
  const tasks = askedTasks();
  const names = Object.keys(tasks);
  const on = names.filter((name) => !off.has(name));
  const [model] = asked;
  return {
    top_k: Math.min(20, Math.max(1, Math.trunc(Number(at("top").value)) || 3)),
    ...(at("models").value === ALL ? { models: asked.map(({ name }) => name) } : model ? { model: model.name, version: model.version } : {}),
    ...(on.length && on.length < names.length ? { tasks: on } : {}),
    ...(at("map").checked && !at("mapped").hidden ? { map: true } : {}),
    ...(at("then").value && on.some((name) => tasks[name].finds) ? { then: at("then").value } : {}),
  };
}

const query = () =>
  new URLSearchParams(Object.entries(question()).map(([name, value]) => [name, Array.isArray(value) ? JSON.stringify(value) : value]));

// A switch for each task, where there are several; the last one that is on stays on.
function showSwitches() {
  const tasks = askedTasks();
  const several = askedModels().length > 1;
  at("switches").hidden = Object.keys(tasks).length < 2;
  at("tasks").replaceChildren(...Object.entries(tasks).map(([name, { model }]) => {
    const label = element("label", undefined, "switch");
    const box = element("input");
    Object.assign(box, { type: "checkbox", checked: !off.has(name), name });
    box.onchange = () => {
      if (box.checked) off.delete(name);
      else if (Object.keys(tasks).filter((each) => !off.has(each)).length > 1) off.add(name);
      box.checked = !off.has(name);
    };
    label.append(box, element("span", several && !name.startsWith(`${model}.`) ? `${model} · ${name}` : name));
    return label;
  }));
  const looking = newest().filter((model) => Object.values(model.tasks).every((task) => !task.in_pixels));
  const before = at("then").value;
  at("then").replaceChildren(new Option("–", ""), ...looking.map(({ name }) => new Option(name, name)));
  at("then").value = looking.some(({ name }) => name === before) ? before : "";
  at("mapped").hidden = !Object.values(tasks).some((task) => task.maps);
  at("again").hidden = !looking.length || !Object.values(tasks).some((task) => task.finds);
}

// Milliseconds by part, each with its name: decoding, every model (of an only one its tasks), and what looked again.
function partsOf({ decode_ms, inference_ms, answer_ms, parts, then }) {
  const alone = Object.entries(answer_ms ?? {});
  const each = parts
    ? Object.entries(parts).map(([name, part]) => [name, part.decode_ms + part.inference_ms])
    : [[text("network"), inference_ms - alone.reduce((sum, [, one]) => sum + one, 0)], ...alone];
  return [[text("decoding"), decode_ms], ...each, ...(then ? [[`${text("again")} (${then.things})`, then.decode_ms + then.inference_ms]] : [])];
}

function partRows(timings) {
  return partsOf(timings).map(([name, value]) => {
    const row = element("span", undefined, "part");
    row.append(element("span", name), element("b", ms(value)));
    return row;
  });
}
