import { afinn165FinancialMarketNews as lexicon } from "afinn-165-financialmarketnews";
import { InOrder } from "./in-order.ts";
import type { HeadlineDigest } from "./macro.ts";
import type { SentimentView } from "./sentiment-view.ts";

/** What somebody made of the headlines of a month. */
export type Reading = Pick<SentimentView, "mode" | "score" | "reason">;

export interface Sentiment {
  /**
   * Views that this digest completed, in month order.
   * @param reading default: that of the word list
   */
  update(digest: HeadlineDigest, reading?: Reading): SentimentView[];
}

export function createSentiment(): Sentiment {
  const months = new InOrder<{ digest: HeadlineDigest; reading: Reading }>();
  let level = 0;
  return {
    update(digest, reading = lexiconReading(digest)) {
      return months.push(digest.seq, { digest, reading }).map((month) => {
        const { seq, month: asOf, headlines } = month.digest;
        const { score } = month.reading;
        level = headlines.length === 0 ? level * 0.8 : (level + score) / 2;
        return Object.assign({ seq, asOf, headlines: headlines.length, level }, month.reading);
      });
    },
  };
}

/** Reads headlines with the word list. */
export function lexiconReading({ headlines }: Pick<HeadlineDigest, "headlines">): Reading {
  return { mode: "lexicon", score: mean(headlines.map(({ text }) => lexiconScore(text))) };
}

/** The mean of a month's scores; 0 without any. */
export function mean(scores: readonly number[]): number {
  return scores.reduce((sum, score) => sum + score, 0) / Math.max(1, scores.length);
}

/**
 * Sum of the AFINN valences of the words (Nielsen 2011, as extended for market news), squashed into -1 … 1 by
 * s / sqrt(s² + 15), the normalisation of VADER (Hutto and Gilbert 2014). Multi-word entries are not matched.
 *
 * @example lexiconScore("panic and losses") // -0.84…
 */
export function lexiconScore(text: string): number {
  let sum = 0;
  for (const [word] of text.toLowerCase().matchAll(/[a-z]+(?:['-][a-z]+)*/g)) {
    if (Object.hasOwn(lexicon, word)) sum += lexicon[word] ?? 0;
  }
  return sum / Math.sqrt(sum * sum + 15);
}
