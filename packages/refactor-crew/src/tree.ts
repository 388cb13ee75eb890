/** A project at one moment: text by path, such as `src/cart.ts`. */
export type Tree = ReadonlyMap<string, string>;

/** What becomes of some files: their new text, or null for one that goes. */
export type Changes = ReadonlyMap<string, string | null>;

/** A tree with some changes made. */
export function changed(tree: Tree, changes: Changes): Tree {
  const next = new Map(tree);
  for (const [path, text] of changes) {
    if (text === null) next.delete(path);
    else next.set(path, text);
  }
  return next;
}

/** The module that another one, by its path, means when it imports `./x.ts`. */
export function resolveImport(from: string, specifier: string): string {
  const folders = from.split("/").slice(0, -1);
  for (const step of specifier.split("/")) {
    if (step === "..") folders.pop();
    else if (step !== ".") folders.push(step);
  }
  return folders.join("/");
}

/** How a module, by its path, imports another one: `../src/x.ts`. */
export function importPath(from: string, to: string): string {
  const [fromFolder, toFolder] = [folderOf(from), folderOf(to)];
  const name = to.slice(toFolder.length + 1);
  return fromFolder === toFolder ? `./${name}` : `../${toFolder}/${name}`;
}

function folderOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf("/")));
}
