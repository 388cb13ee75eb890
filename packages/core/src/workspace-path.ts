import { MeshError, quote } from "./errors.ts";

/** Bytes of UTF-8 that a path may have, and one of its names: what common file systems take. */
const MAX_PATH = 1_024;
const MAX_NAME = 255;
// oxlint-disable-next-line no-control-regex -- they are what must not be in a path
const FORBIDDEN = /[\u0000-\u001F\u007F\\]/;

/** Where a checkout writes down what it has written; no file of a workspace is in it. */
export const CHECKOUT_FOLDER = ".plexus";

/**
 * The path of a file in a workspace, in Unicode's normal form C: names of 1 to 255 bytes, joined by `/`, 1,024 bytes in all.
 * Throws `INVALID_INPUT` for anything that a checkout could not write, or would write elsewhere: absolute paths, `.` and `..`,
 * `.git` in any case, {@link CHECKOUT_FOLDER}, control characters, backslashes.
 */
export function demandPath(path: string): string {
  const refuse = (why: string): never => {
    throw new MeshError("INVALID_INPUT", `${quote(path)} is no path of a workspace: ${why}.`);
  };
  if (typeof path !== "string" || path === "") return refuse("it is empty");
  if (!path.isWellFormed()) return refuse("it holds half of a surrogate pair");
  if (path.length > MAX_PATH) return refuse(`it is longer than ${MAX_PATH} bytes`);
  const normal = path.normalize("NFC");
  if (Buffer.byteLength(normal) > MAX_PATH) return refuse(`it is longer than ${MAX_PATH} bytes`);
  if (FORBIDDEN.test(normal)) return refuse("it holds a control character or a backslash");
  if (foldPath(normal.split("/", 1)[0]!) === CHECKOUT_FOLDER) {
    return refuse(`what is in ${CHECKOUT_FOLDER} is a checkout's own`);
  }
  for (const name of normal.split("/")) {
    if (name === "") return refuse("it is absolute, or a name in it is empty");
    if (name === "." || name === "..") return refuse(`"${name}" is no name`);
    if (foldPath(name) === ".git") return refuse("what is in .git is git's own");
    if (Buffer.byteLength(name) > MAX_NAME)
      return refuse(`a name is longer than ${MAX_NAME} bytes`);
  }
  return normal;
}

/** Equal for paths that a file system which ignores case takes for one. */
export function foldPath(path: string): string {
  return path.toUpperCase().toLowerCase().normalize("NFC");
}

/** The directories that a path lies in, the outermost first. */
export function directoriesOf(path: string): string[] {
  const found: string[] = [];
  for (let at = path.indexOf("/"); at >= 0; at = path.indexOf("/", at + 1)) {
    found.push(path.slice(0, at));
  }
  return found;
}

/**
 * Whether a path matches a glob: `*` stands for anything within one name, `**` for any number of names, `?` for one
 * character; a glob without `/` is about the last name alone.
 */
export function matchesGlob(path: string, glob: string): boolean {
  const subject = glob.includes("/") ? path.split("/") : [path.slice(path.lastIndexOf("/") + 1)];
  return matchNames(subject, glob.split("/"));
}

/** Greedy, with one place to come back to: linear in practice, and never exponential. */
function matchNames(names: readonly string[], globs: readonly string[]): boolean {
  let [name, glob, star, resume] = [0, 0, -1, 0];
  while (name < names.length) {
    if (globs[glob] === "**") {
      star = glob++;
      resume = name;
    } else if (glob < globs.length && matchName(names[name]!, globs[glob]!)) {
      name++;
      glob++;
    } else if (star >= 0) {
      name = ++resume;
      glob = star + 1;
    } else {
      return false;
    }
  }
  while (globs[glob] === "**") glob++;
  return glob === globs.length;
}

function matchName(text: string, glob: string): boolean {
  let [at, mark, star, resume] = [0, 0, -1, 0];
  while (at < text.length) {
    if (glob[mark] === "*") {
      star = mark++;
      resume = at;
    } else if (glob[mark] === "?" || (mark < glob.length && glob[mark] === text[at])) {
      at++;
      mark++;
    } else if (star >= 0) {
      at = ++resume;
      mark = star + 1;
    } else {
      return false;
    }
  }
  while (glob[mark] === "*") mark++;
  return mark === glob.length;
}
