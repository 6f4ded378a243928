// Runs solution.js as a module and writes the mark when it has run to its end. The mark comes by standard
// input before the code under test starts, and lies in this closure, which that code cannot see.
"use strict";
(() => {
  const fs = require("fs");
  const Module = require("module");
  const path = require("path");
  const vm = require("vm");
  const mark = fs.readFileSync(0);
  const { writeSync } = fs;
  const filename = path.resolve("solution.js");
  const source = fs.readFileSync(filename, "utf8");
  try {
    new vm.Script(Module.wrap(source), { filename });
  } catch (error) {
    process.stderr.write(String(error.stack) + "\n");
    process.exit(65);
  }
  // Node's own only prints: a failed assertion would go unnoticed.
  console.assert = (holds, ...said) => {
    if (!holds) throw new Error(["Assertion failed", ...said].join(": "));
  };
  const main = new Module(filename, null);
  main.filename = filename;
  main.paths = Module._nodeModulePaths(path.dirname(filename));
  main._compile(source, filename);
  writeSync(3, mark);
})();
