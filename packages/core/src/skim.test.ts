import { decode as plainDecode, encode as plainEncode } from "@msgpack/msgpack";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodePayload, encodePayload } from "./codec.ts";
import { KINDS, readFrame, type Envelope } from "./envelope.ts";
import { MeshError } from "./errors.ts";
import { FrameWriter } from "./frame-writer.ts";
import { skim } from "./skim.ts";

const skimAll = (bytes: Uint8Array): number => skim(bytes, 0, bytes.length);

const levels = (count: number): Uint8Array =>
  Uint8Array.from([...Array.from({ length: count }, () => 0x91), 1]);

function readAll(bytes: Uint8Array): unknown[] {
  const seen: unknown[] = [];
  readFrame(bytes, (envelope: Envelope) => {
    const { kind, id, sender, recipient, name, sentAt, deadline } = envelope;
    const { parents, trace, contentType, payload, seq, load } = envelope;
    seen.push([kind, id, sender, recipient, name, sentAt, deadline, parents, trace, contentType]);
    seen.push([payload.length, seq, load]);
  });
  return seen;
}

/** What becomes of reading the bytes. Anything but "read" and "BAD_MESSAGE" is a defect. */
function outcome(read: (bytes: Uint8Array) => unknown, bytes: Uint8Array): string {
  try {
    read(bytes);
    return "read";
  } catch (error) {
    return error instanceof MeshError ? error.code : `a crash: ${String(error)}`;
  }
}

const READ_OR_REFUSED = /^(read|BAD_MESSAGE)$/;

const READERS = { skim: skimAll, decodePayload, readFrame: readAll };

function sampleFrame(payload: Uint8Array): Uint8Array {
  const writer = new FrameWriter();
  for (const name of ["score", "naïve"]) {
    writer.write({
      kind: KINDS.request,
      id: "01ARZ3NDEKTSV4RRFFQ69G5FAV",
      sender: "01ARZ3NDEKTSV4RRFFQ69G5FAX",
      recipient: "analyst",
      name,
      sentAt: 1_730_000_000_000_000,
      deadline: 1_730_000_030_000_000,
      parents: ["01ARZ3NDEKTSV4RRFFQ69G5FAW"],
      trace: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
      payload,
      seq: 300,
    });
  }
  return Uint8Array.from(writer.take());
}

const samplePayload = Uint8Array.from(
  encodePayload({
    list: [1, -1, 1.5, 2 ** 40, null, true, "x".repeat(40), "é".repeat(300)],
    map: new Map<unknown, unknown>([["a", new Set([1n, new Date(5), new Uint8Array(300)])]]),
    deep: { a: { b: { c: [[[]]] } } },
  }),
);
const samples = [samplePayload, sampleFrame(samplePayload), sampleFrame(new Uint8Array())];

describe("skim and the decoder", () => {
  test("agree on where every valid value ends", () => {
    fc.assert(
      fc.property(
        fc.anything({ withBigInt: false, withDate: true }),
        fc.uint8Array(),
        (value, rest) => {
          const bytes = plainEncode(value, { maxDepth: 50 });
          expect(skim(Buffer.concat([bytes, rest]), 0, bytes.length + rest.length)).toBe(
            bytes.length,
          );
          expect(skim(Buffer.concat([rest, bytes]), rest.length, rest.length + bytes.length)).toBe(
            rest.length + bytes.length,
          );
        },
      ),
      { numRuns: 1_000 },
    );
  });

  test("agree on random bytes: what the decoder reads, skim walks to the same end", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 64 }), (bytes) => {
        let readable = true;
        try {
          plainDecode(bytes);
        } catch {
          readable = false;
        }
        expect(readable ? skimAll(bytes) : bytes.length).toBe(bytes.length);
      }),
      { numRuns: 10_000 },
    );
  });

  test("agree on every head byte", () => {
    for (let head = 0; head < 256; head++) {
      const bytes = new Uint8Array(64).fill(0);
      bytes[0] = head;
      const expected = head === 0xc1 ? "BAD_MESSAGE" : "read";
      expect(outcome(skimAll, bytes), `0x${head.toString(16)}`).toBe(expected);
    }
  });
});

describe("hostile bytes", () => {
  test.each(Object.entries(READERS))(
    "%s throws nothing but BAD_MESSAGE on 20,000 random messages",
    (_, read) => {
      fc.assert(
        fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
          expect(outcome(read, bytes)).toMatch(READ_OR_REFUSED);
        }),
        { numRuns: 20_000 },
      );
    },
  );

  test.each(Object.entries(READERS))("%s survives every truncation", (_, read) => {
    for (const sample of samples) {
      for (let length = 0; length < sample.length; length++) {
        expect(outcome(read, sample.subarray(0, length))).toMatch(READ_OR_REFUSED);
      }
    }
  });

  test("a truncated payload is always refused, a truncated frame up to its last whole envelope", () => {
    for (let length = 1; length < samplePayload.length; length++) {
      expect(outcome(decodePayload, samplePayload.subarray(0, length))).toBe("BAD_MESSAGE");
    }
    const frame = sampleFrame(samplePayload);
    const whole = skim(frame, 0, frame.length);
    for (let length = 0; length < frame.length; length++) {
      const expected = length === whole ? "read" : "BAD_MESSAGE";
      expect(outcome(readAll, frame.subarray(0, length))).toBe(expected);
    }
  });

  test.each(Object.entries(READERS))("%s survives every single flipped bit", (_, read) => {
    for (const sample of samples) {
      const bytes = Uint8Array.from(sample);
      for (let bit = 0; bit < bytes.length * 8; bit++) {
        bytes[bit >> 3]! ^= 1 << (bit & 7);
        expect(outcome(read, bytes)).toMatch(READ_OR_REFUSED);
        bytes[bit >> 3]! ^= 1 << (bit & 7);
      }
    }
  });

  test.each(Object.entries(READERS))(
    "%s survives 10,000 spliced and overwritten messages",
    (_, read) => {
      fc.assert(
        fc.property(
          fc.constantFrom(...samples),
          fc.array(fc.tuple(fc.nat(2_000), fc.nat(255)), { minLength: 1, maxLength: 20 }),
          fc.uint8Array({ maxLength: 20 }),
          fc.nat(2_000),
          (sample, overwrites, splice, at) => {
            const bytes = Uint8Array.from(sample);
            for (const [where, byte] of overwrites) bytes[where % bytes.length] = byte;
            const cut = at % bytes.length;
            const spliced = Buffer.concat([bytes.subarray(0, cut), splice, bytes.subarray(cut)]);
            expect(outcome(read, spliced)).toMatch(READ_OR_REFUSED);
          },
        ),
        { numRuns: 10_000 },
      );
    },
  );

  const array32 = [0xdd, 0xff, 0xff, 0xff, 0xff];
  const map32 = [0xdf, 0xff, 0xff, 0xff, 0xff];

  test.each<[string, number[]]>([
    ["an array of four billion", array32],
    ["nested arrays of four billion", Array.from({ length: 90 }, () => array32).flat()],
    ["nested maps of four billion", Array.from({ length: 90 }, () => map32).flat()],
    [
      "an array of 65,535 in each of 90 levels",
      Array.from({ length: 90 }, () => [0xdc, 0xff, 0xff]).flat(),
    ],
    ["a text of four billion", [0xdb, 0xff, 0xff, 0xff, 0xff, 1]],
    ["bytes of four billion", [0xc6, 0xff, 0xff, 0xff, 0xff, 1]],
    ["an extension of four billion", [0xc9, 0xff, 0xff, 0xff, 0xff, 1, 1]],
    ["a thousand arrays within each other", Array.from({ length: 1_000 }, () => 0x91)],
    ["a thousand maps within each other", Array.from({ length: 1_000 }, () => [0x81, 1]).flat()],
  ])("%s is refused without being allocated", (_, bytes) => {
    const padding = Array.from({ length: 1_000 }, () => 0xc0);
    for (const message of [bytes, [...bytes, ...padding], [0x9f, 1, 1, ...bytes, ...padding]]) {
      const before = process.memoryUsage().rss;
      for (const read of [skimAll, decodePayload, readAll]) {
        expect(outcome(read, Uint8Array.from(message))).toBe("BAD_MESSAGE");
      }
      expect(process.memoryUsage().rss - before).toBeLessThan(256 << 20);
    }
  });

  test("time stays linear: a megabyte of the worst takes a moment", () => {
    const size = 1 << 20;
    const worst = [
      new Uint8Array(size).fill(0x91),
      new Uint8Array(size).fill(0x90),
      new Uint8Array(size).fill(0xdd),
      new Uint8Array(size).fill(0xd4),
      Uint8Array.from({ length: size }, (_, i) => [0xdc, 0x00, 0x02][i % 3]!),
      Buffer.concat([Uint8Array.of(0xdd, 0x00, 0x0f, 0xff, 0x00), new Uint8Array(size - 256)]),
    ];
    const started = performance.now();
    for (const bytes of worst) {
      for (const read of Object.values(READERS)) {
        expect(outcome(read, bytes)).toMatch(READ_OR_REFUSED);
      }
    }
    expect(performance.now() - started).toBeLessThan(10_000);
  });

  test("100 levels are read, 101 are not", () => {
    expect(skimAll(levels(100))).toBe(101);
    expect(outcome(skimAll, levels(101))).toBe("BAD_MESSAGE");
  });
});
