/** How a campaign is run. */
export interface CampaignOptions {
  /** What is drawn is drawn from it; only the moments at which processes get their turn are not. */
  readonly seed: number;
  /** Part of the full size, 0 to 1. */
  readonly scale: number;
  readonly log: (line: string) => void;
}

/** What came of it. */
export interface CampaignOutcome {
  /** Every promise held. */
  readonly ok: boolean;
  /** For a person: what was done, what came of it. */
  readonly lines: readonly string[];
  /** The same for a program. */
  readonly figures: Readonly<Record<string, unknown>>;
}

/** Breaks things on purpose and counts what became of the work. */
export interface Campaign {
  readonly summary: string;
  run(options: CampaignOptions): Promise<CampaignOutcome>;
}
