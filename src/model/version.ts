// The version of the whole program, as a constant, so that `mem0ctl --version` reads no file. A test
// holds it equal to package.json.

export const VERSION = "0.1.0";
