import { afinn165FinancialMarketNews as lexicon } from "afinn-165-financialmarketnews";
import { InOrder } from "./in-order.ts";
import type { HeadlineDigest } from "./macro.ts";
import type { SentimentView } from "./sentiment-view.ts";

export interface Sentiment {
  /** Views that this digest completed, in month order. */
  update(digest: HeadlineDigest): SentimentView[];
}

/** Scores one headline, -1 (bad) … 1 (good). */
export type HeadlineScorer = (text: string) => number;

export function createSentiment(
  scorer: HeadlineScorer = lexiconScore,
  mode: SentimentView["mode"] = "lexicon",
): Sentiment {
  const digests = new InOrder<HeadlineDigest>();
  let level = 0;
  return {
    update(digest) {
      return digests.push(digest.seq, digest).map(({ seq, month, headlines }) => {
        const total = headlines.reduce((sum, headline) => sum + scorer(headline.text), 0);
        const score = headlines.length === 0 ? 0 : total / headlines.length;
        level = headlines.length === 0 ? level * 0.8 : (level + score) / 2;
        return { seq, asOf: month, mode, headlines: headlines.length, score, level };
      });
    },
  };
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
