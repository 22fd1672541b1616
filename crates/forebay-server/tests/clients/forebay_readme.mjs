// The `js` blocks of our own client's README, each run as a module by itself; what a line logs is what the comment behind it says.
//
// `FOREBAY_HTTP` is the server's address; its keyspace is `shop`.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { format } from "node:util";

const folder = new URL("../../../../clients/js/", import.meta.url);
const page = readFileSync(new URL("README.md", folder), "utf8");
const blocks = [...page.matchAll(/^```js\n(.*?)^```$/gms)].map(([, code]) => code);

/** What the block is, where it is run here. */
function here(code) {
  const replaced = [
    ['from "forebay"', `from "${new URL("index.js", folder)}"`],
    ["http://127.0.0.1:8080", `http://${process.env.FOREBAY_HTTP}`],
    ['"stocks"', '"shop"'],
  ];
  return replaced.reduce((code, [from, to]) => {
    assert.ok(code.includes(from), `${from} is in ${code}`);
    return code.replaceAll(from, to);
  }, code);
}

describe("the README", { timeout: 60_000 }, () => {
  for (const [number, code] of blocks.entries()) {
    test(`block ${number + 1}`, async (t) => {
      const said = [];
      t.mock.method(console, "log", (...words) => said.push(format(...words)));
      await import(`data:text/javascript,${encodeURIComponent(here(code))}`);
      const told = [...code.matchAll(/console\.log\(.*\); \/\/ (.*)$/gm)].map(([, words]) => words);
      assert.equal(told.length, code.split("console.log").length - 1, "each line says what it logs");
      assert.deepEqual(said, told);
    });
  }
});
