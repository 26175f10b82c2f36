// What an explorer does in a browser, both in JupyterLab (`render`) and in a saved page (`showPage`): hovering, arrow keys,
// picking. The drawing comes from Python; here only attributes of its elements change. `paint` computes the same numbers and
// colors as `paint` in Python (a test compares the two); names and sentences come with the data.

const PATCHES = -1;
const LEVELS = 65535;
const SIDES = ["#b35900", "#0072B2"];
const ORANGE = SIDES[0];
const LINE = "#c8c8c8";

// --- numbers -----------------------------------------------------------------------------------------------------------

export function unpack(pack) {
  const text = atob(pack.levels);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  const view = new DataView(bytes.buffer);
  const [blocks, heads, count] = pack.shape;
  const levels = new Uint16Array(blocks * heads * count * count);
  for (let i = 0; i < levels.length; i++) levels[i] = view.getUint16(2 * i, true);
  return { levels, blocks, heads, count, low: pack.low, high: pack.high, rows: new Map() };
}

function headRow(w, block, head, token, first) {
  const out = new Float64Array(w.count);
  const low = w.low[block][head];
  const span = w.high[block][head] - low;
  const base = (block * w.heads + head) * w.count;
  const from = token === PATCHES ? 0 : token;
  const to = token === PATCHES ? first : token + 1;
  for (let q = from; q < to; q++) {
    const start = (base + q) * w.count;
    for (let k = 0; k < w.count; k++) out[k] += low + (w.levels[start + k] * span) / LEVELS;
  }
  for (let k = 0; k < w.count; k++) out[k] /= to - from;
  return out;
}

export function oneRow(record, w, side) {
  const key = side.block + "," + side.head + "," + side.token;
  if (w.rows.has(key)) return w.rows.get(key);
  let row;
  if (side.head === 0) {
    row = new Float64Array(w.count);
    for (let h = 0; h < w.heads; h++) {
      const one = headRow(w, side.block, h, side.token, record.first);
      for (let k = 0; k < w.count; k++) row[k] += one[k];
    }
    for (let k = 0; k < w.count; k++) row[k] /= w.heads;
  } else {
    row = headRow(w, side.block, side.head - 1, side.token, record.first);
  }
  if (w.rows.size > 400) w.rows.clear();
  w.rows.set(key, row);
  return row;
}

const largest = (row, from, to) => {
  let most = 0;
  for (let i = from; i < to; i++) most = Math.max(most, Math.abs(row[i]));
  return most;
};
const sum = (row, from, to) => {
  let total = 0;
  for (let i = from; i < to; i++) total += row[i];
  return total;
};

export function number(value, signed) {
  if (!signed) return (Math.floor(value * 1000 + 0.5) / 10).toFixed(1) + "%";
  return (value < 0 ? "\u2212" : "+") + (Math.floor(Math.abs(value) * 100 + 0.5) / 100).toFixed(2);
}

export function color(data, value, reach, signed) {
  const share = reach > 0 ? value / reach : 0;
  const level = signed ? Math.floor(127.5 + 127.5 * share + 0.5) : Math.floor(255 * share + 0.5);
  return data.palettes[signed ? 1 : 0][Math.min(Math.max(level, 0), 255)];
}

// --- sentences -----------------------------------------------------------------------------------------------------------

// A sentence of `data.texts` with its {gaps} filled.
export function fill(text, values) {
  return text.replace(/\{(\w+)\}/g, (_, name) => values[name]);
}

function names(data, side) {
  const record = data.records[side.record];
  return { token: record.names.at(side.token), head: data.head_names[side.head], operation: record.operations[side.block] };
}

function readout(data, row, side) {
  const { first, signed } = data.records[side.record];
  const image = number(sum(row, 0, first), false);
  const words = number(sum(row, first, row.length), false);
  return fill(data.texts[signed ? "scores" : "shares"], { ...names(data, side), image, words });
}

function strongest(data, record, row) {
  let most = 0;
  for (let i = 1; i < record.first; i++) if (Math.abs(row[i]) > Math.abs(row[most])) most = i;
  return fill(data.texts.most, { token: record.names[most], number: number(row[most], record.signed) });
}

function looksAt(record, row, side) {
  const cover = record.referents[String(side.token)];
  if (!cover || record.signed) return null;
  const grid = record.grids[0];
  let inside = 0, outside = 0, covered = 0, rest = 0;
  for (let i = 0; i < grid.side * grid.side; i++) {
    inside += row[grid.start + i] * cover[i];
    outside += row[grid.start + i] * (1 - cover[i]);
    covered += cover[i];
    rest += 1 - cover[i];
  }
  return outside > 0 ? inside / covered / (outside / rest) : null;
}

function referent(data, record, row, side) {
  const share = looksAt(record, row, side);
  if (share === null) return "";
  const ratio = (Math.floor(share * 100 + 0.5) / 100).toFixed(2);
  return fill(data.texts[share < 1 ? "looks past" : "looks at"], { token: record.names.at(side.token), ratio });
}

// --- what a selection shows --------------------------------------------------------------------------------------------

export function paint(data, weights, selection) {
  const { texts } = data;
  const made = {};
  selection.sides.forEach((side, s) => {
    const shown = s === 0 || selection.compare !== "off";
    const record = data.records[side.record];
    const row = oneRow(record, weights[side.record], side);
    const { first, signed } = record;
    const reach = largest(row, 0, first);
    data.grids.forEach((grid, g) => {
      const there = record.grids.find((x) => x.name === grid.name);
      for (let i = 0; i < grid.side * grid.side; i++) {
        const value = there ? row[there.start + i] : 0;
        made[`c${s}-${g}-${i}`] = {
          fill: there ? color(data, value, reach, signed) : LINE,
          "aria-label": fill(texts[there ? "cell" : "no cell"], { cell: grid.cells[i], number: number(value, signed) }),
        };
      }
      made[`p${s}-${g}`] = { text: fill(texts.panel, { ...names(data, side), grid: grid.name }) };
    });
    made[`l${s}`] = { text: number(signed ? -reach : 0, signed) };
    made[`m${s}`] = { text: number(reach, signed) };
    made[`d${s}`] = { display: signed ? "none" : "inline" };
    made[`e${s}`] = { display: signed ? "inline" : "none" };
    made[`r${s}`] = { text: shown ? readout(data, row, side) : "" };
    made[`t${s}`] = { text: shown ? strongest(data, record, row) : "" };
    made[`q${s}`] = { text: shown ? referent(data, record, row, side) : "" };
    made[`a${s}`] = { "stroke-width": selection.active === s && shown ? "3" : "0" };
  });
  paintActive(data, weights, selection, made);
  return made;
}

function paintActive(data, weights, selection, made) {
  const { texts } = data;
  const side = selection.sides[selection.active];
  const record = data.records[side.record];
  const w = weights[side.record];
  const row = oneRow(record, w, side);
  const { first, signed } = record;
  const own = SIDES[selection.active];
  const reachWords = largest(row, first, row.length);
  const picks = selection.sides.slice(0, selection.compare === "off" ? 1 : 2).map((x) => x.token);
  for (let i = -1; i < record.words.length; i++) {
    const token = i === -1 ? PATCHES : first + i;
    const s = picks.indexOf(token);
    made[`w${i}`] = { stroke: s < 0 ? LINE : SIDES[s], "stroke-width": s < 0 ? "1" : "3" };
    made[`g${i}`] = { "aria-checked": String(side.token === token) };
    if (i >= 0) {
      made[`b${i}`] = { fill: color(data, row[token], reachWords, signed) };
      made[`n${i}`] = { text: number(row[token], signed) };
      made[`g${i}`]["aria-label"] = fill(texts.word, { word: record.words[i], number: number(row[token], signed) });
    }
  }
  const thumbs = record.grids[0];
  const token = selection.thumbs === "token" ? side.token : PATCHES;
  const size = thumbs.side * thumbs.side;
  const rows = [];
  for (let h = 0; h <= w.heads; h++) rows.push(oneRow(record, w, { block: side.block, head: h, token }));
  for (let h = 0; h <= data.heads; h++) {
    const on = side.head === h;
    made[`h${h}`] = { display: h <= w.heads ? "inline" : "none", "aria-checked": String(on) };
    made[`o${h}`] = { stroke: on ? own : LINE, "stroke-width": on ? "4" : "1" };
    if (h > w.heads) continue;
    const reach = largest(rows[h], thumbs.start, thumbs.start + size);
    made[`y${h}`] = { text: signed ? (Math.floor(reach * 100 + 0.5) / 100).toFixed(2) : number(reach, false) };
    for (let i = 0; i < size; i++) made[`h${h}-${i}`] = { fill: color(data, rows[h][thumbs.start + i], reach, signed) };
    if (h) made[`x${h}`] = { text: record.off ? record.off[side.block][h - 1] : "" };
  }
  made.hm = { text: texts["head's largest"] };
  made.hl = { text: texts[signed ? "least score" : "least share"] };
  made.hd = { display: signed ? "none" : "inline" };
  made.he = { display: signed ? "inline" : "none" };
  made.ht = { text: fill(texts.heads, { token: record.names.at(token), grid: thumbs.name }) };
  for (let b = 0; b < data.blocks; b++) {
    const on = side.block === b;
    made[`k${b}`] = { display: b < w.blocks ? "inline" : "none", "aria-checked": String(on) };
    made[`kr${b}`] = { stroke: on ? own : LINE, "stroke-width": on ? "3" : "1" };
    if (b < w.blocks) made[`kt${b}`] = { text: record.operations[b] };
  }
  const mark = (name, on) => {
    made[name] = { "aria-checked": String(on) };
    made[`${name}-r`] = { stroke: on ? ORANGE : LINE, "stroke-width": on ? "3" : "1" };
  };
  for (const kind of data.compares) mark(`v-${kind}`, selection.compare === kind);
  for (const kind of ["patches", "token"]) mark(`u-${kind}`, selection.thumbs === kind);
}

// --- picking -----------------------------------------------------------------------------------------------------------

export function picked(data, selection, what, value) {
  const next = JSON.parse(JSON.stringify(selection));
  const side = next.sides[next.active];
  const record = () => data.records[next.sides[next.active].record];
  const limit = (one) => {
    const of = data.records[one.record];
    one.block = Math.min(one.block, of.weights.shape[0] - 1);
    one.head = Math.min(one.head, of.weights.shape[1]);
  };
  if (what === "token") side.token = value;
  else if (what === "head" || what === "block") side[what] = value;
  else if (what === "active") next.active = value;
  else if (what === "thumbs") next.thumbs = value;
  else if (what === "compare") {
    next.compare = value;
    next.active = value === "off" ? 0 : 1;
    const one = next.sides[0];
    const two = { ...one };
    const of = data.records[one.record];
    if (value === "word" && of.words.length) {
      const at = one.token - of.first;
      two.token = of.first + (at > 0 ? at - 1 : Math.min(1, of.words.length - 1));
    }
    if (value === "head") two.head = one.head < of.weights.shape[1] ? one.head + 1 : 1;
    if (value === "model") two.record = 1 - one.record;
    if (two.record !== one.record) two.token = sameToken(of, data.records[two.record], one.token);
    limit(two);
    next.sides = [one, two];
  }
  if (what === "token" && value !== PATCHES && value >= record().weights.shape[2]) return selection;
  return next;
}

// The corresponding token of another model: the word with the same number, the patch that holds the same point.
function sameToken(from, to, token) {
  if (token === PATCHES) return PATCHES;
  if (token >= from.first) return Math.min(to.first + token - from.first, to.first + to.words.length - 1);
  const grid = from.grids.find((g) => token < g.start + g.side * g.side);
  const at = to.grids.find((g) => g.name === grid.name) || to.grids[0];
  const i = token - grid.start;
  const row = Math.floor(((Math.floor(i / grid.side) + 0.5) / grid.side) * at.side);
  const column = Math.floor((((i % grid.side) + 0.5) / grid.side) * at.side);
  return at.start + row * at.side + column;
}

function attention(root, content, tell) {
  const { data } = content;
  const weights = data.records.map((record) => unpack(record.weights));
  const element = new Map();
  root.querySelectorAll("[id]").forEach((e) => element.set(e.id, e));
  let selection = content.selection;
  let shown = null;

  const show = (what) => {
    const text = JSON.stringify(what);
    if (text === shown) return;
    shown = text;
    for (const [id, attributes] of Object.entries(paint(data, weights, what))) {
      const e = element.get(id);
      if (!e) continue;
      for (const [name, value] of Object.entries(attributes)) {
        if (name === "text") {
          if (e.textContent !== value) e.textContent = value;
        } else if (e.getAttribute(name) !== value) e.setAttribute(name, value);
      }
    }
  };
  const pick = (what, value) => {
    const was = selection.compare;
    selection = picked(data, selection, what, value);
    if (was !== selection.compare) return tell({ act: "select", selection }, true);
    show(selection);
    tell({ act: "select", selection });
  };
  const tokenOf = (e) => {
    if (e.dataset.token !== undefined) return [selection.active, e.dataset.token === "patches" ? PATCHES : +e.dataset.token];
    const [s, g, i] = e.dataset.cell.split(",").map(Number);
    const record = data.records[selection.sides[s].record];
    const grid = record.grids.find((x) => x.name === data.grids[g].name);
    return [s, grid ? grid.start + i : PATCHES];
  };
  const peek = (e) => {
    const [s, token] = tokenOf(e);
    show(picked(data, { ...selection, active: selection.compare === "off" ? 0 : s }, "token", token));
  };
  const choose = (e) => {
    if (e.dataset.set) {
      const raw = e.dataset.value;
      return pick(e.dataset.set, /^\d+$/.test(raw) ? +raw : raw);
    }
    const [s, token] = tokenOf(e);
    if (selection.compare !== "off" && s !== selection.active) selection = { ...selection, active: s };
    pick("token", token);
  };
  root.addEventListener("pointerover", (event) => {
    const e = event.target.closest("[data-token],[data-cell]");
    if (e) peek(e);
  });
  root.addEventListener("pointerout", (event) => {
    if (event.target.closest("[data-token],[data-cell]")) show(selection);
  });
  root.addEventListener("click", (event) => {
    const e = event.target.closest("[data-token],[data-cell],[data-set]");
    if (e) choose(e);
  });
  keys(root, (e, enter) => {
    if (e.dataset.cell !== undefined && !enter) return peek(e); // arrows preview a patch, Enter picks it
    if (e.dataset.token !== undefined || e.dataset.set !== undefined || e.dataset.cell !== undefined) choose(e);
  });
  root.addEventListener("focusout", () => show(selection));
  show(selection);
  return { paint: (what) => paint(data, weights, what), selection: () => selection };
}

// --- keyboard ----------------------------------------------------------------------------------------------------------

// Tab goes from group to group, arrows move within one, Enter and space pick. Radio buttons are picked as soon as the arrows
// reach them, except those that need the kernel (data-act): these are picked by Enter.
function keys(root, reached) {
  root.addEventListener("keydown", (event) => {
    const e = event.target.closest("[tabindex]");
    if (!e || e.closest("input,textarea")) return;
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      event.stopPropagation();
      return reached(e, true);
    }
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: "down", ArrowUp: "up", Home: "home", End: "end" }[event.key];
    if (step === undefined) return;
    const group = e.dataset.cell !== undefined ? [...e.parentNode.querySelectorAll("[data-cell]")]
      : [...root.querySelectorAll(`[data-group="${CSS.escape(e.dataset.group || "")}"]`)]
        .filter((x) => x.getAttribute("display") !== "none");
    if (group.length < 2) return;
    const columns = +(e.dataset.columns || e.parentNode.dataset.columns || 1);
    const at = group.indexOf(e);
    const to = step === "home" ? 0 : step === "end" ? group.length - 1
      : at + (step === "down" ? columns : step === "up" ? -columns : step);
    event.preventDefault();
    event.stopPropagation();
    if (to < 0 || to >= group.length) return;
    if (e.dataset.cell !== undefined) {
      e.setAttribute("tabindex", "-1");
      group[to].setAttribute("tabindex", "0");
    }
    group[to].focus();
    reached(group[to], false);
  });
}

// --- putting a drawing in place ------------------------------------------------------------------------------------------

// content: {svg, data, selection, frames}. tell(message, redraw): sends what was picked to the kernel; in a page there is none.
// frames: "act:value" -> svg, in a page: what the kernel would draw when an element with that {act, value} is pressed.
function mount(root, content, tell) {
  const focused = root.contains(document.activeElement) ? nameOf(document.activeElement) : null;
  const fresh = document.createElement("div");
  fresh.className = "maaf-drawing";
  fresh.innerHTML = content.svg;
  root.replaceChildren(fresh);
  let handle = null;
  if (content.data && content.data.kind === "attention") handle = attention(fresh, content, tell);
  const press = (e) => {
    const name = `${e.dataset.act}:${e.dataset.value}`;
    if (content.frames && content.frames[name]) return mount(root, { ...content, svg: content.frames[name] }, tell);
    tell({ act: e.dataset.act, value: e.dataset.value });
  };
  fresh.addEventListener("click", (event) => {
    const e = event.target.closest("[data-act]");
    if (e) press(e);
  });
  if (!handle) keys(fresh, (e, enter) => enter && e.dataset.act && press(e));
  else fresh.addEventListener("keydown", (event) => {
    const e = event.target.closest("[data-act]");
    if (e && (event.key === "Enter" || event.key === " ")) press(e);
  });
  if (focused) {
    const again = [...fresh.querySelectorAll("[tabindex]")].find((e) => nameOf(e) === focused);
    if (again) again.focus();
  }
  return handle;
}

const NAMES = ["id", "data-act", "data-value", "data-set", "data-cell", "data-token"];
const nameOf = (e) => NAMES.map((name) => e.getAttribute(name)).join("|");

// --- in JupyterLab, and in a saved page --------------------------------------------------------------------------------

// Called by anywidget for `Drawing`; the kernel raises `drawn` whenever there is something new to show.
function render({ model, el }) {
  el.classList.add("maaf");
  const root = document.createElement("div");
  el.append(root);
  let text = null;
  let data = null;
  const tell = (message) => {
    if (message.act !== "select") return model.send(message);
    model.set("selection", message.selection);
    model.save_changes();
  };
  const draw = () => {
    if (model.get("data") !== text) {
      text = model.get("data");
      data = text ? JSON.parse(text) : null;
    }
    mount(root, { svg: model.get("svg"), data, selection: model.get("selection") }, tell);
    root.dataset.drawn = model.get("drawn");
  };
  model.on("change:drawn", draw);
  draw();
  return () => model.off("change:drawn", draw);
}

// Called by a saved page: its first drawing is in the page already, with its data as JSON beside it.
export function showPage() {
  const root = document.getElementById("explorer");
  const content = { ...JSON.parse(document.getElementById("content").textContent), svg: root.innerHTML };
  const tell = (message, redraw) => {
    const svg = redraw && content.frames["compare:" + message.selection.compare];
    if (svg) window.maaf = mount(root, { ...content, svg, selection: message.selection }, tell);
  };
  window.maaf = mount(root, content, tell);
}

export default { render };
