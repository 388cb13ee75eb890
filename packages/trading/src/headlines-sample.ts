import * as z from "zod";
import { IsoDate } from "./calendar.ts";

/** A dated headline. `provenance` travels with it, so that sample text can never be taken for news. */
export const Headline = z.object({
  date: IsoDate,
  text: z.string().min(1).max(500),
  provenance: z.string().min(1),
});
export type Headline = z.infer<typeof Headline>;

const PROVENANCE = "hand-written sample data, not real news";

/**
 * HAND-WRITTEN SAMPLE DATA, NOT REAL NEWS. Generic market headlines invented for this example, quoting nobody and
 * naming no company, person or institution. They were written with hindsight of the index they accompany: whatever a
 * strategy earns on them demonstrates the plumbing and is no evidence of skill.
 */
export const sampleHeadlines: readonly Headline[] = [
  sample("2000-01-14", "Technology shares rally to record high on growth optimism"),
  sample("2000-03-28", "Investors worried as internet stocks suffer sharp losses"),
  sample("2000-10-12", "Profit warning triggers panic selling in computer makers"),
  sample("2001-01-09", "Surprise rate cut brings relief to weak market"),
  sample("2001-03-15", "Recession fears deepen as factories announce layoffs"),
  sample("2001-09-20", "Markets plunge amid fear and uncertainty, airlines face bankruptcy"),
  sample("2001-11-16", "Stocks rebound as hopes for recovery grow"),
  sample("2002-02-05", "Accounting fraud scandal hurts confidence in company reports"),
  sample("2002-07-23", "Shares crash to new low as scandal and losses shake investors"),
  sample("2002-10-28", "Bargain hunters lift stocks from weak levels"),
  sample("2003-03-25", "Investors nervous as war worries weigh on markets"),
  sample("2003-06-17", "Strong earnings support steady gains"),
  sample("2003-12-11", "Economy shows strong growth, optimism returns"),
  sample("2004-05-12", "Oil worries limit gains"),
  sample("2004-11-10", "Stocks rally on improved hiring and solid profit"),
  sample("2005-04-19", "Inflation concern hurts shares"),
  sample("2005-11-22", "Markets enjoy solid gains on healthy spending"),
  sample("2006-05-24", "Inflation fears trouble investors"),
  sample("2006-10-26", "Index climbs to best level in years on strong profit growth"),
  sample("2007-02-27", "Overseas sell-off triggers sudden losses"),
  sample("2007-08-10", "Credit worries grow as mortgage losses alarm lenders"),
  sample("2007-10-09", "Stocks reach record as investors ignore mortgage worries"),
  sample("2008-01-21", "Fear of recession drags shares down"),
  sample("2008-03-17", "Bank rescue fails to calm investors, credit crisis deepens"),
  sample("2008-09-16", "Markets crash as bankruptcy of large lender spreads panic"),
  sample("2008-10-10", "Worst week in decades: panic, losses and fear grip exchanges"),
  sample("2008-12-05", "Severe recession: employers cut jobs at alarming pace"),
  sample("2009-03-10", "Stocks rebound from terrible losses on hopes of bank recovery"),
  sample("2009-07-23", "Earnings better-than-expected, shares rally"),
  sample("2009-12-09", "Recovery gains strength as confidence improves"),
  sample("2010-05-07", "Sudden crash shocks traders, debt crisis fears spread"),
  sample("2010-11-05", "Central bank support lifts stocks, optimism grows"),
  sample("2011-02-16", "Strong growth and solid profit support rally"),
  sample("2011-08-09", "Debt downgrade and crisis fears cause panic selling"),
  sample("2011-10-27", "Rescue agreement brings relief rally"),
  sample("2012-06-05", "Debt crisis worries hurt confidence"),
  sample("2012-09-14", "New support from central bank boosts shares"),
  sample("2013-05-15", "Index at record high as confidence improves"),
  sample("2013-06-21", "Investors nervous over end of support"),
  sample("2014-02-26", "Healthy profit growth supports gains"),
  sample("2014-10-16", "Growth fears cause sharp losses"),
  sample("2015-08-25", "Overseas market crash spreads fear"),
  sample("2015-11-03", "Stocks recover losses on strong earnings"),
  sample("2016-01-20", "Oil slump and weak growth alarm investors"),
  sample("2016-11-15", "Shares rally on growth hopes"),
  sample("2017-06-14", "Calm markets reach another record on strong profit"),
  sample("2017-12-19", "Tax relief hopes boost optimism"),
  sample("2018-02-06", "Volatility shock brings sudden losses"),
  sample("2018-09-20", "Strong economy drives index to record"),
  sample("2018-12-21", "Worst December in decades as trade fears hurt shares"),
  sample("2019-07-12", "Record high on hopes of lower rates"),
  sample("2019-12-13", "Trade agreement brings relief and optimism"),
  sample("2020-02-27", "Virus fears trigger sharp losses"),
  sample("2020-03-16", "Crash: panic selling as economies shut down in health crisis"),
  sample("2020-04-09", "Rescue package brings relief, stocks rebound"),
];

function sample(date: string, text: string): Headline {
  return { date, text, provenance: PROVENANCE };
}
