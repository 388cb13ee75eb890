/** One module of the patient, before the seed has had its say. */
export interface Part {
  readonly name: string;
  /** Declarations, separated by blank lines. Imports and local helpers are added by what they mention. */
  readonly code: string;
  /** Tests, separated by blank lines. */
  readonly tests: string;
  /** Functions that `index.ts` does not export. Nobody uses them: they are dead. */
  readonly dead?: readonly string[];
  /** Functions whose tests no seed leaves out. */
  readonly tested?: readonly string[];
}
