// The explorers' page half without a browser: what a selection shows, on numbers that can be followed by hand. Run by pytest.

import assert from "node:assert/strict";
import { test } from "node:test";

import { color, fill, number, oneRow, paint, picked, unpack } from "../../maaf_lab/explorers/page/explorer.js";

const PALETTES = ["sequential", "diverging"].map((name) => Array.from({ length: 256 }, (_, level) => `${name} ${level}`));

// One block, two heads, a 2x2 grid and two words: head 1 looks at the first patch alone, head 2 at all six tokens alike.
function made({ signed = false } = {}) {
  const levels = new DataView(new ArrayBuffer(2 * 6 * 6 * 2));
  for (let q = 0; q < 6; q++) {
    levels.setUint16(2 * 6 * q, 65535, true);
    for (let k = 0; k < 6; k++) levels.setUint16(2 * (36 + 6 * q + k), 32768, true);
  }
  const weights = {
    shape: [1, 2, 6, 6],
    low: [[0, 0]],
    high: [[1, 65535 / 32768 / 6]],
    levels: Buffer.from(levels.buffer).toString("base64"),
  };
  const record = {
    name: "made", first: 4, signed, weights,
    grids: [{ name: "2x2", start: 0, side: 2 }],
    words: ["red", "cube"],
    names: ["a", "b", "c", "d", "the word red", "the word cube", "every patch"],
    operations: ["the block"],
    off: [["off: one", "off: two"]],
    referents: { 4: [1, 0, 0, 0] },
  };
  return {
    kind: "attention", records: [record], heads: 2, blocks: 1,
    grids: [{ name: "2x2", side: 2, cells: ["first", "second", "third", "fourth"] }],
    head_names: ["their mean", "head one", "head two"],
    compares: ["off", "word", "head"],
    palettes: PALETTES,
    texts: {
      cell: "{cell} has {number}", "no cell": "{cell} has nothing", panel: "{token}/{head}/{grid}", word: "{word} {number}",
      shares: "{token}, {head}, {operation}: {image} and {words}", scores: "{token} scores", most: "{token} {number}",
      "looks at": "{token} at {ratio}", "looks past": "{token} past {ratio}", heads: "{token} on {grid}",
      "head's largest": "largest", "least share": "none", "least score": "less",
    },
  };
}

const side = (more = {}) => ({ record: 0, block: 0, head: 1, token: 4, ...more });
const selection = (more = {}) => ({ compare: "off", active: 0, thumbs: "patches", sides: [side(), side()], ...more });
const painted = (data, what) => paint(data, data.records.map((record) => unpack(record.weights)), what);

test("numbers for people", () => {
  assert.deepEqual([0, 0.0123, 0.5, 0.12345].map((v) => number(v, false)), ["0.0%", "1.2%", "50.0%", "12.3%"]);
  assert.deepEqual([0, 0.126, -2].map((v) => number(v, true)), ["+0.00", "+0.13", "\u22122.00"]);
});

test("a color is looked up on the palette of its scale, and nothing falls off its ends", () => {
  const data = { palettes: PALETTES };
  const shares = [0, 0.5, 1, 9].map((v) => color(data, v, 1, false));
  assert.deepEqual(shares, ["sequential 0", "sequential 128", "sequential 255", "sequential 255"]);
  assert.deepEqual([-1, 0, 1].map((v) => color(data, v, 1, true)), ["diverging 0", "diverging 128", "diverging 255"]);
  assert.equal(color(data, 0, 0, true), "diverging 128");
});

test("a sentence's gaps are filled once: what fills them is not read again", () => {
  assert.equal(fill("{token}: {number} of {token}", { token: "{number}", number: "1%" }), "{number}: 1% of {number}");
});

test("16-bit numbers become the weights that Python packed", () => {
  const w = unpack(made().records[0].weights);
  assert.deepEqual([w.blocks, w.heads, w.count], [1, 2, 6]);
  const record = made().records[0];
  assert.deepEqual([...oneRow(record, w, side())], [1, 0, 0, 0, 0, 0]);
  assert.ok(oneRow(record, w, side({ head: 2 })).every((v) => Math.abs(v - 1 / 6) < 1e-9));
  assert.ok(Math.abs(oneRow(record, w, side({ head: 0 }))[0] - (1 + 1 / 6) / 2) < 1e-9, "0 is the mean over heads");
  assert.deepEqual([...oneRow(record, w, side({ token: -1 }))], [1, 0, 0, 0, 0, 0], "-1 is the mean over patches");
});

test("what a word shows", () => {
  const shown = painted(made(), selection());
  assert.deepEqual(shown["c0-0-0"], { fill: "sequential 255", "aria-label": "first has 100.0%" });
  assert.deepEqual(shown["c0-0-3"], { fill: "sequential 0", "aria-label": "fourth has 0.0%" });
  assert.equal(shown["p0-0"].text, "the word red/head one/2x2");
  assert.equal(shown.r0.text, "the word red, head one, the block: 100.0% and 0.0%");
  assert.equal(shown.t0.text, "a 100.0%");
  assert.equal(shown.q0.text, "", "nothing outside what it names: no ratio");
  assert.equal(shown.r1.text, "", "a side that is not shown says nothing");
  assert.deepEqual([shown.g0["aria-checked"], shown.g1["aria-checked"]], ["true", "false"]);
  assert.equal(shown.g1["aria-label"], "cube 0.0%");
  assert.deepEqual([shown.x1.text, shown.x2.text], ["off: one", "off: two"]);
  assert.deepEqual([shown.ht.text, shown.hl.text], ["every patch on 2x2", "none"]);
  assert.equal(painted(made(), selection({ sides: [side({ head: 2 }), side()] })).q0.text, "the word red at 1.00");
});

test("signed scores stand on the diverging scale, and are no shares", () => {
  const shown = painted(made({ signed: true }), selection());
  assert.equal(shown["c0-0-0"].fill, "diverging 255");
  assert.equal(shown.r0.text, "the word red scores");
  assert.deepEqual([shown.l0.text, shown.m0.text, shown.hl.text], ["\u22121.00", "+1.00", "less"]);
  assert.deepEqual([shown.d0.display, shown.e0.display], ["none", "inline"]);
});

test("a comparison takes a second word or head, and one side is changed at a time", () => {
  const data = made();
  const words = picked(data, selection(), "compare", "word");
  assert.deepEqual([words.active, words.sides.map((s) => s.token)], [1, [4, 5]]);
  assert.deepEqual(picked(data, words, "token", 2).sides.map((s) => s.token), [4, 2]);
  assert.deepEqual(picked(data, selection(), "compare", "head").sides.map((s) => s.head), [1, 2]);
  assert.equal(picked(data, words, "compare", "off").active, 0);
  assert.deepEqual(picked(data, selection(), "token", 99), selection(), "a token that is not there is not picked");
});
