// node run.mjs MODULE: calls `run` until there is no further test, in two rounds. The second, when the tables have grown
// and the statics have their values, must give back all the memory it took.
import { readFileSync } from "node:fs";

const module = new WebAssembly.Module(readFileSync(process.argv[2]));
let text = "";
const instance = new WebAssembly.Instance(module, {
    env: { print: (at, length) => (text += Buffer.from(exports.memory.buffer, at, length)) },
});
const exports = instance.exports;

let passed = 0;
let failure = "";
try {
    for (let i = 0; exports.run(i, 0); i++) passed++;
    const before = exports.live();
    for (let i = 0; exports.run(i, 1); i++);
    const leaked = exports.live() - before;
    text += `${before} blocks of memory live after the first round, ${leaked} more after the second\n`;
    if (leaked !== 0) failure = "memory leaked";
} catch (error) {
    failure = `${error}`;
}
console.log(text);
if (failure || passed === 0) {
    console.log(`${failure}\ntest result: FAILED. ${passed} passed; 1 failed`);
    process.exit(1);
}
console.log(`test result: ok. ${passed} passed; 0 failed`);
