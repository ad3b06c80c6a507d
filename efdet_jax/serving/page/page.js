// The page asks each detector once about an image; the threshold only hides boxes.
const SVG = "http://www.w3.org/2000/svg";
const find = (selector, within = document) => within.querySelector(selector);
const slider = find("#threshold");
const input = find("input[type=file]");

let limits = {};
let hues = new Map(); // class name → hue, the same for every detector
let cards = [];
let asking = new AbortController();

function tell(message, isWrong = false, place = find(".status")) {
  place.textContent = message;
  place.classList.toggle("wrong", isWrong);
}

async function ask(path, options) {
  const reply = await fetch(path, options);
  const answer = await reply.json();
  if (!reply.ok) throw new Error(answer.error);
  return answer;
}

function explain(error) {
  // What fetch itself throws: nobody answered.
  return error instanceof TypeError
    ? "No answer: look into the terminal where the server was started."
    : error.message;
}

function makeCard(model) {
  const root = find("template").content.firstElementChild.cloneNode(true);
  const [height, width] = model.image_size;
  find("h2", root).textContent = model.name;
  const kinds = `${model.classes.length} classes`;
  find(".model", root).textContent = `input ${width} × ${height}, ${kinds}`;
  find(".scroll", root).setAttribute("aria-label", `Detections of ${model.name}`);
  find(".results").append(root);
  const card = { model, root, answer: null };
  find("button", root).addEventListener("click", () => save(card));
  return card;
}

function hidePicture(card) {
  card.answer = null;
  find("svg", card.root).replaceChildren();
  find("figure", card.root).hidden = true;
  find(".found-table", card.root).hidden = true;
  tell("", false, find(".found", card.root));
}

async function showPicture(card, url, name) {
  const image = find("img", card.root);
  image.src = url;
  image.alt = name;
  await image.decode();
  const shape = image.naturalWidth / image.naturalHeight;
  const figure = find("figure", card.root);
  figure.style.width = `min(100%, calc(75vh * ${shape}))`;
  figure.hidden = false;
}

async function detect(card, file, signal) {
  const place = find(".found", card.root);
  tell("Detecting …", false, place);
  const words = new URLSearchParams({ model: card.model.id, name: file.name });
  const options = { method: "POST", body: file, signal };
  try {
    card.answer = await ask(`/detect?${words}`, options);
    draw(card);
  } catch (error) {
    if (!signal.aborted) tell(explain(error), true, place);
  }
}

async function open(file) {
  asking.abort();
  asking = new AbortController();
  const { signal } = asking;
  cards.forEach(hidePicture);
  if (file.size > limits.bytes) {
    const most = Math.round(limits.bytes / 2 ** 20);
    tell(`${file.name}: is larger than ${most} MB: choose a smaller image`, true);
    return;
  }
  tell(file.name);
  const url = URL.createObjectURL(file);
  try {
    await Promise.all(cards.map((card) => showPicture(card, url, file.name)));
  } catch {
    if (!signal.aborted) tell(`${file.name}: is no image that this browser shows`, true);
    return;
  } finally {
    URL.revokeObjectURL(url);
  }
  // One after the other: their times are compared.
  for (const card of cards) if (!signal.aborted) await detect(card, file, signal);
}

function shown(card) {
  const least = Number(slider.value);
  return card.answer.detections.filter(({ score }) => score >= least);
}

function draw(card) {
  const { answer, root } = card;
  const detections = shown(card);
  const boxes = detections.map((each) => drawBox(each, answer));
  const rows = detections.map((each, i) => makeRow(each, boxes[i][0]));
  // The best one is drawn last, over the others.
  find("svg", root).replaceChildren(...boxes.toReversed().flat());
  find("tbody", root).replaceChildren(...rows);
  find(".found-table", root).hidden = false;
  find("button", root).disabled = !detections.length;
  const count = `${detections.length} of ${answer.detections.length} detections`;
  const time = `${answer.milliseconds.toFixed(0)} ms`;
  tell(`${count}, ${time}`, false, find(".found", root));
}

function drawBox({ name, score, bbox }, { width, height }) {
  const [x, y, w, h] = bbox;
  const percent = (part, whole) => `${(100 * part) / whole}%`;
  const rect = document.createElementNS(SVG, "rect");
  const text = document.createElementNS(SVG, "text");
  const place = { x: percent(x, width), y: percent(y, height) };
  const size = { width: percent(w, width), height: percent(h, height) };
  for (const [key, value] of Object.entries({ ...place, ...size })) {
    rect.setAttribute(key, value);
  }
  // A label stays inside of the picture.
  const isLeft = x + w / 2 < width / 2;
  text.setAttribute("x", percent(isLeft ? Math.max(x, 0) : Math.min(x + w, width), width));
  text.setAttribute("y", percent(Math.max(y, 0), height));
  text.setAttribute("dx", isLeft ? 4 : -4);
  text.setAttribute("dy", y < 0.06 * height ? 16 : -6);
  text.setAttribute("text-anchor", isLeft ? "start" : "end");
  text.textContent = `${name} ${score.toFixed(2)}`;
  for (const part of [rect, text]) part.style.setProperty("--hue", hues.get(name));
  return [rect, text];
}

function makeRow({ name, score, bbox }, rect) {
  const row = document.createElement("tr");
  row.style.setProperty("--hue", hues.get(name));
  const numbers = bbox.map((number) => number.toFixed(0));
  for (const cell of [name, score.toFixed(3), ...numbers]) {
    row.insertCell().textContent = cell;
  }
  row.addEventListener("pointerenter", () => rect.classList.add("lit"));
  row.addEventListener("pointerleave", () => rect.classList.remove("lit"));
  return row;
}

function save(card) {
  const results = shown(card).map(({ name, ...result }) => result);
  const file = new Blob([JSON.stringify(results, null, 1)], { type: "application/json" });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(file);
  link.download = `${results[0].image_id}.${card.model.name}.json`;
  link.click();
  URL.revokeObjectURL(link.href);
}

function listen() {
  input.addEventListener("change", () => input.files[0] && open(input.files[0]));
  slider.addEventListener("input", () => {
    find("output").textContent = Number(slider.value).toFixed(2);
    for (const card of cards) if (card.answer) draw(card);
  });
  const body = document.body;
  addEventListener("dragover", (event) => {
    event.preventDefault();
    body.classList.add("dragged");
  });
  addEventListener("dragleave", () => body.classList.remove("dragged"));
  addEventListener("drop", (event) => {
    event.preventDefault();
    body.classList.remove("dragged");
    const [file] = event.dataTransfer.files;
    if (file) open(file);
  });
  addEventListener("paste", ({ clipboardData: { files } }) => files[0] && open(files[0]));
}

try {
  const answer = await ask("/models");
  limits = answer.limits;
  const names = new Set(answer.models.flatMap(({ classes }) => classes));
  // The golden angle: neighbours in the list are far apart in colour.
  hues = new Map([...names].map((name, i) => [name, (i * 137.508) % 360]));
  cards = answer.models.map(makeCard);
  listen();
} catch (error) {
  tell(explain(error), true);
}
