// Checks and transpiles TypeScript, program after program. A request and an answer are each a length of four bytes
// and JSON: {"source"} and {"errors", "code"}. Libraries are parsed once.
"use strict";
const fs = require("fs");
const path = require("path");
const ts = require("typescript");

const types = (process.env.NODE_PATH || "").split(":").map((folder) => path.join(folder, "@types"));
const typeRoots = types.filter((folder) => fs.existsSync(path.join(folder, "node")));
const options = {
  target: ts.ScriptTarget.ES2022,
  module: ts.ModuleKind.CommonJS,
  moduleResolution: ts.ModuleResolutionKind.Node10,
  lib: ["lib.es2022.d.ts", ...(typeRoots.length ? [] : ["lib.dom.d.ts"])],
  types: typeRoots.length ? ["node"] : [],
  typeRoots,
  esModuleInterop: true,
  skipLibCheck: true,
  strict: false,
};
const host = ts.createCompilerHost(options);
const { getSourceFile } = host;
const libraries = new Map();
let previous;

function check(source) {
  const emitted = [];
  host.getSourceFile = (name, ...rest) => {
    if (name === "solution.ts") return ts.createSourceFile(name, source, options.target, true);
    if (!libraries.has(name)) libraries.set(name, getSourceFile.call(host, name, ...rest));
    return libraries.get(name);
  };
  host.writeFile = (name, text) => emitted.push(text);
  const program = ts.createProgram(["solution.ts"], options, host, previous);
  previous = program;
  const file = program.getSourceFile("solution.ts");
  const found = [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)];
  const errors = found
    .filter(({ category }) => category === ts.DiagnosticCategory.Error)
    .map(({ code, messageText, start }) => {
      const { line } = file.getLineAndCharacterOfPosition(start || 0);
      return `solution.ts(${line + 1}): error TS${code}: ${ts.flattenDiagnosticMessageText(messageText, " ")}`;
    });
  if (!errors.length) program.emit(file);
  return { errors: errors.slice(0, 20), code: emitted.join("") };
}

function read(size) {
  const buffer = Buffer.alloc(size);
  for (let at = 0, got; at < size; at += got) {
    got = fs.readSync(0, buffer, at, size - at);
    if (!got) process.exit(0);
  }
  return buffer;
}

check("");
for (;;) {
  const request = JSON.parse(read(read(4).readUInt32BE()).toString("utf8"));
  const answer = Buffer.from(JSON.stringify(check(request.source)));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(answer.length);
  const whole = Buffer.concat([length, answer]);
  for (let at = 0; at < whole.length; ) at += fs.writeSync(1, whole, at);
}
