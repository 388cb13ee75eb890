import { expect, test } from "vitest";
import { createSubjects } from "./subjects.ts";

test("subjects are those of the wire contract", () => {
  const subjects = createSubjects("plexus");
  expect(subjects.mesh).toBe("plexus");
  expect(subjects.rpc("analyst", "score")).toBe("plexus.rpc.analyst.score");
  expect(subjects.rpcInstance("analyst", "score", "01A")).toBe("plexus.rpc.analyst.score.i.01A");
  expect(subjects.event("bars.AAPL")).toBe("plexus.evt.bars.AAPL");
  expect(subjects.control("01A")).toBe("plexus.ctl.01A");
  expect(subjects.inbox("01C")).toBe("_INBOX.plexus.01C");
});

test.each(["", "a.b", "*", ">", "a b", "_INBOX", "$SYS", "x".repeat(64)])(
  "%j is no name for a mesh",
  (name) => {
    expect(() => createSubjects(name)).toThrow(
      expect.objectContaining({ code: "INVALID_CONTRACT" }) as Error,
    );
  },
);
