import { decode as plainDecode, decodeMulti, encode as plainEncode } from "@msgpack/msgpack";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  Envelope,
  KINDS,
  WIRE_VERSION,
  kindName,
  readFrame,
  type EnvelopeFields,
} from "./envelope.ts";
import { MeshError } from "./errors.ts";
import { FrameWriter } from "./frame-writer.ts";

const NOW = 1_730_000_000_000_000;
const minimal: EnvelopeFields = {
  kind: KINDS.request,
  id: "01ARZ3NDEKTSV4RRFFQ69G5FAV",
  sender: "desk-1",
  name: "score",
  sentAt: NOW,
  payload: Uint8Array.of(1, 2, 3),
};

function write(...envelopes: EnvelopeFields[]): Uint8Array {
  const writer = new FrameWriter();
  for (const fields of envelopes) writer.write(fields);
  return Uint8Array.from(writer.take());
}

function read(bytes: Uint8Array): Envelope[] {
  const envelopes: Envelope[] = [];
  readFrame(bytes, (envelope) => envelopes.push(envelope));
  return envelopes;
}

function fieldsOf(envelope: Envelope): Required<EnvelopeFields> {
  const { kind, id, sender, recipient, name, sentAt, deadline } = envelope;
  const { parents, trace, contentType, payload, seq, load } = envelope;
  return {
    kind,
    id,
    sender,
    recipient,
    name,
    sentAt,
    deadline,
    parents,
    trace,
    contentType,
    payload,
    seq,
    load,
  };
}

function failure(run: () => unknown): MeshError {
  try {
    run();
  } catch (error) {
    if (error instanceof MeshError) return error;
    throw error;
  }
  throw new Error("Nothing was thrown.");
}

function attempt(run: () => void): string {
  try {
    run();
    return "done";
  } catch (error) {
    return error instanceof MeshError ? error.code : String(error);
  }
}

const text = fc.oneof(
  fc.string({ unit: "grapheme" }),
  fc.string({ minLength: 70, maxLength: 90 }),
  fc.string({ minLength: 250, maxLength: 300, unit: "grapheme" }),
);
const uint = fc.oneof(fc.nat(200), fc.nat(), fc.maxSafeNat());
const anyFields: fc.Arbitrary<Required<EnvelopeFields>> = fc.record(
  {
    kind: fc.constantFrom(...Object.values(KINDS)),
    id: text,
    sender: text,
    recipient: fc.option(text, { nil: undefined }),
    name: text,
    sentAt: fc.maxSafeNat(),
    deadline: fc.option(fc.maxSafeNat(), { nil: undefined }),
    parents: fc.option(fc.array(text, { minLength: 1 }), { nil: undefined }),
    trace: fc.option(text, { nil: undefined }),
    contentType: fc.option(text, { nil: undefined }),
    payload: fc.uint8Array({ maxLength: 2_000 }),
    seq: uint,
    load: uint,
  },
  { noNullPrototype: true },
);

describe("a frame", () => {
  test("of any envelopes is read as it was written", () => {
    fc.assert(
      fc.property(fc.array(anyFields, { minLength: 1, maxLength: 8 }), (envelopes) => {
        expect(read(write(...envelopes)).map(fieldsOf)).toStrictEqual(envelopes);
      }),
      { numRuns: 500 },
    );
  });

  test("is read from a Buffer and from the middle of a larger buffer", () => {
    const frame = write(minimal, minimal);
    const padded = Buffer.concat([Buffer.alloc(7, 0xff), frame, Buffer.alloc(7, 0xff)]);
    const envelopes = read(padded.subarray(7, 7 + frame.length));
    expect(envelopes.map((envelope) => envelope.name)).toStrictEqual(["score", "score"]);
    expect([...envelopes[1]!.payload]).toStrictEqual([1, 2, 3]);
  });

  test("is a series of plain MessagePack arrays, one an envelope", () => {
    const full = {
      ...minimal,
      recipient: "naïve",
      deadline: NOW + 5,
      parents: ["a", "b"],
      trace: "t",
      contentType: "c",
      seq: 200,
      load: 3,
    };
    const frame = write(minimal, full);
    const [first, second] = [...decodeMulti(frame)];
    expect(first).toEqual([
      1,
      1,
      minimal.id,
      "desk-1",
      null,
      "score",
      NOW,
      null,
      null,
      null,
      null,
      null,
      Uint8Array.of(1, 2, 3),
      0,
      0,
    ]);
    expect(second).toEqual([
      1,
      1,
      minimal.id,
      "desk-1",
      "naïve",
      "score",
      NOW,
      NOW + 5,
      ["a", "b"],
      "t",
      null,
      "c",
      Uint8Array.of(1, 2, 3),
      200,
      3,
    ]);
    expect(plainDecode(write(minimal))).toEqual(first);
  });

  test("may hold an envelope of any other MessagePack writer, with the 13 fields of version 1", () => {
    const array = [
      1,
      2,
      "id",
      "me",
      null,
      "score",
      NOW,
      NOW + 1,
      ["p"],
      null,
      null,
      null,
      Uint8Array.of(9),
    ];
    const [envelope] = read(plainEncode(array));
    expect(fieldsOf(envelope!)).toStrictEqual({
      kind: 2,
      id: "id",
      sender: "me",
      recipient: undefined,
      name: "score",
      sentAt: NOW,
      deadline: NOW + 1,
      parents: ["p"],
      trace: undefined,
      contentType: undefined,
      payload: Uint8Array.of(9),
      seq: 0,
      load: 0,
    });
  });

  test("may hold fields that a newer version appended, of any type and number", () => {
    fc.assert(
      fc.property(fc.array(fc.jsonValue({ maxDepth: 2 }), { maxLength: 30 }), (extra) => {
        const array = [
          1,
          2,
          "id",
          "me",
          "you",
          "score",
          5,
          null,
          null,
          null,
          ["key", "nonce", Uint8Array.of(1)],
          null,
          Uint8Array.of(9),
          7,
          1,
          ...extra,
        ];
        const bytes = plainEncode(array);
        const [first, second] = read(Buffer.concat([bytes, bytes]));
        for (const envelope of [first!, second!]) {
          expect(envelope).toMatchObject({
            id: "id",
            sender: "me",
            recipient: "you",
            name: "score",
            sentAt: 5,
            seq: 7,
            load: 1,
          });
        }
      }),
    );
  });

  test("with numbers of any width: the shortest form is as good as the longest", () => {
    for (const value of [
      0,
      1,
      127,
      128,
      255,
      256,
      65_535,
      65_536,
      2 ** 32 - 1,
      2 ** 32,
      2 ** 53 - 1,
    ]) {
      const array = [
        1,
        1,
        "i",
        "s",
        null,
        "n",
        value,
        value,
        null,
        null,
        null,
        null,
        Uint8Array.of(),
        value,
        value,
      ];
      expect(read(plainEncode(array))[0]).toMatchObject({
        sentAt: value,
        deadline: value,
        seq: value,
        load: value,
      });
      const written = { ...minimal, sentAt: value, deadline: value, seq: value, load: value };
      expect(read(write(written))[0]).toMatchObject({
        sentAt: value,
        deadline: value,
        seq: value,
        load: value,
      });
    }
  });

  test("is visited up to the first envelope that is malformed", () => {
    const seen: string[] = [];
    const bytes = Buffer.concat([
      write(minimal, { ...minimal, name: "second" }),
      Uint8Array.of(0xc1),
    ]);
    const error = failure(() => readFrame(bytes, ({ name }) => seen.push(name)));
    expect(error.code).toBe("BAD_MESSAGE");
    expect(seen).toStrictEqual(["score", "second"]);
  });

  test("can be read inside the visit of another", () => {
    const inner = write({ ...minimal, name: "inner" });
    const names: string[] = [];
    readFrame(write(minimal, { ...minimal, name: "last" }), (envelope) => {
      readFrame(inner, ({ name }) => names.push(name));
      names.push(envelope.name);
    });
    expect(names).toStrictEqual(["inner", "score", "inner", "last"]);
  });

  test("a visitor's own error reaches the reader as it is, and the next frame is read as ever", () => {
    const own = new Error("mine");
    expect(() =>
      readFrame(write(minimal), () => {
        throw own;
      }),
    ).toThrow(own);
    expect(read(write(minimal))).toHaveLength(1);
  });
});

describe("bytes that are no envelope", () => {
  const valid: unknown[] = [
    1,
    1,
    "id",
    "me",
    "you",
    "score",
    5,
    6,
    ["p"],
    "t",
    null,
    "c",
    Uint8Array.of(9),
    7,
    1,
  ];
  const names = [
    "version",
    "kind",
    "id",
    "sender",
    "recipient",
    "name",
    "sentAt",
    "deadline",
    "parents",
    "trace",
    "auth",
    "contentType",
    "payload",
    "seq",
    "load",
  ];
  const wrong: unknown[] = [
    null,
    true,
    -1,
    1.5,
    "text",
    Uint8Array.of(1),
    [1],
    ["x"],
    { a: 1 },
    new Date(0),
    2 ** 63,
  ];
  const allowed: Record<string, (value: unknown) => boolean> = {
    version: () => false,
    kind: () => false,
    id: (value) => typeof value === "string",
    sender: (value) => typeof value === "string",
    recipient: (value) => typeof value === "string" || value === null,
    name: (value) => typeof value === "string",
    sentAt: () => false,
    deadline: (value) => value === null,
    parents: (value) => value === null || (Array.isArray(value) && value[0] === "x"),
    trace: (value) => typeof value === "string" || value === null,
    auth: () => true,
    contentType: (value) => typeof value === "string" || value === null,
    payload: (value) => value instanceof Uint8Array,
    seq: (value) => value === null,
    load: (value) => value === null,
  };

  test.each(names.map((name, position) => [name, position] as const))(
    "a field of the wrong type is BAD_MESSAGE before anybody sees the envelope: %s",
    (name, position) => {
      for (const value of wrong) {
        const bytes = plainEncode(valid.with(position, value));
        if (allowed[name]!(value)) {
          for (const envelope of read(bytes)) fieldsOf(envelope);
          continue;
        }
        let visited = false;
        const error = failure(() =>
          readFrame(bytes, () => {
            visited = true;
          }),
        );
        expect(error.code, `${name} = ${String(value)}`).toBe("BAD_MESSAGE");
        expect(visited).toBe(false);
      }
    },
  );

  test("no getter of an envelope that was visited ever throws", () => {
    fc.assert(
      fc.property(
        fc.nat(14),
        fc.anything({ withDate: true }),
        fc.nat(14),
        fc.anything(),
        (i, a, j, b) => {
          const bytes = plainEncode(valid.with(i, a).with(j, b), { maxDepth: 50 });
          const visited: Envelope[] = [];
          const outcome = attempt(() => readFrame(bytes, (envelope) => visited.push(envelope)));
          expect(["done", "BAD_MESSAGE"]).toContain(outcome);
          for (const envelope of visited) expect(() => fieldsOf(envelope)).not.toThrow();
        },
      ),
      { numRuns: 3_000 },
    );
  });

  test.each<[string, Uint8Array, RegExp]>([
    ["nothing", new Uint8Array(), /empty/],
    ["something other than an array", plainEncode({ a: 1 }), /array/],
    ["too few fields", plainEncode(valid.slice(0, 12)), /12 fields/],
    ["another version", plainEncode(valid.with(0, 2)), /version is 2, this side speaks 1/],
    [
      "a number beyond exact ones",
      plainEncode(valid.with(6, 2 ** 60), { useBigInt64: false }).fill(0xcf, 0, 0),
      /./,
    ],
    ["65,535 fields announced", Uint8Array.of(0xdc, 0xff, 0xff, 1, 1), /./],
    ["half an array's header", Uint8Array.of(0xdc, 0), /array/],
  ])("%s is BAD_MESSAGE", (_, bytes, why) => {
    const error = failure(() => read(bytes));
    expect(error.code).toBe("BAD_MESSAGE");
    expect(error.message).toMatch(why);
  });

  test("texts that are no UTF-8 are read with replacement characters", () => {
    const bytes = write({ ...minimal, name: "abcd" });
    bytes.set([0xff, 0xfe], Buffer.from(bytes).indexOf("abcd"));
    expect(read(bytes)[0]!.name).toBe("\uFFFD\uFFFDcd");
  });
});

describe("FrameWriter", () => {
  test("writes beyond ASCII in a fresh buffer, at every length around the header's limits", () => {
    for (const unit of ["x", "é", "漢", "😀", "x漢"]) {
      for (const length of [0, 1, 40, 41, 80, 81, 255, 256, 5_000]) {
        const name = unit.repeat(length);
        expect(read(write({ ...minimal, name, parents: [name] }))[0]).toMatchObject({
          name,
          parents: [name],
          id: minimal.id,
        });
      }
    }
  });

  test("replaces half a surrogate pair and keeps what follows intact", () => {
    expect(
      read(write({ ...minimal, sender: "a\uD800b" }, minimal)).map(({ sender }) => sender),
    ).toStrictEqual(["a\uFFFDb", "desk-1"]);
  });

  test.each<[string, Partial<EnvelopeFields>]>([
    ["a name of 22,000 characters", { name: "x".repeat(22_000) }],
    ["a trace of 70,000 characters", { trace: "x".repeat(70_000) }],
    [
      "texts of 22,000 characters together",
      { sender: "x".repeat(11_000), recipient: "x".repeat(11_000) },
    ],
    ["a parent of 70,000 characters", { parents: ["x".repeat(70_000)] }],
    ["65,536 parents", { parents: Array.from({ length: 65_536 }, () => "p") }],
  ])("refuses %s and leaves the frame as it was", (_, fields) => {
    const writer = new FrameWriter();
    writer.write(minimal);
    const { length, count } = writer;
    expect(failure(() => writer.write({ ...minimal, ...fields })).code).toBe("MESSAGE_TOO_LARGE");
    expect([writer.length, writer.count]).toStrictEqual([length, count]);
    writer.write({ ...minimal, name: "after" });
    expect(read(writer.take()).map(({ name }) => name)).toStrictEqual(["score", "after"]);
  });

  test("writes the longest texts it takes", () => {
    const name = "漢".repeat(21_845 - minimal.id.length - minimal.sender.length);
    const parents = Array.from({ length: 65_535 }, () => "p");
    const [envelope] = read(write({ ...minimal, name, parents }));
    expect(envelope!.name).toBe(name);
    expect(envelope!.parents).toHaveLength(65_535);
  });

  test("writes times that no number holds as the nearest one, and never half an envelope", () => {
    const times: [number, number][] = [
      [-5, 0],
      [1.9, 1],
      [Number.NaN, 0],
      [Infinity, Number.MAX_SAFE_INTEGER],
      [1e300, Number.MAX_SAFE_INTEGER],
    ];
    for (const [given, arrived] of times) {
      const written = { ...minimal, sentAt: given, deadline: given, seq: given, load: given };
      expect(read(write(written))[0]).toMatchObject({
        sentAt: arrived,
        deadline: arrived,
        seq: arrived,
        load: arrived,
      });
    }
  });

  test("counts on beyond 2³²", () => {
    expect(read(write({ ...minimal, seq: 2 ** 32 + 5 }))[0]!.seq).toBe(2 ** 32 + 5);
  });

  test("truncate takes back the last envelope", () => {
    const writer = new FrameWriter();
    writer.write(minimal);
    const { length } = writer;
    writer.write({ ...minimal, payload: new Uint8Array(100_000) });
    writer.truncate(length, 1);
    writer.write({ ...minimal, name: "third" });
    expect(read(writer.take()).map(({ name }) => name)).toStrictEqual(["score", "third"]);
  });

  test("copies the payload when it is written and hands out bytes that stay", () => {
    for (const size of [10, 1_000, 300_000]) {
      const writer = new FrameWriter();
      const payload = new Uint8Array(size).fill(1);
      writer.write({ ...minimal, payload });
      payload.fill(2);
      const frame = writer.take();
      expect([writer.length, writer.count]).toStrictEqual([0, 0]);
      for (let i = 0; i < 3; i++) writer.write({ ...minimal, payload });
      writer.take();
      const [envelope] = read(frame);
      expect(envelope!.payload).toHaveLength(size);
      expect(envelope!.payload.every((byte) => byte === 1)).toBe(true);
    }
  });

  test("a payload arrives as a view of the message", () => {
    const frame = write(minimal);
    expect(read(frame)[0]!.payload.buffer).toBe(frame.buffer);
  });
});

test("every kind has a name and a number that only grows in use", () => {
  expect(KINDS).toStrictEqual({
    request: 1,
    response: 2,
    chunk: 3,
    error: 4,
    event: 5,
    state_update: 6,
    task_delegation: 7,
    handoff: 8,
    proposal: 9,
    control: 10,
  });
  for (const [name, kind] of Object.entries(KINDS)) expect(kindName(kind)).toBe(name);
  expect(kindName(99)).toBeUndefined();
  expect(WIRE_VERSION).toBe(1);
});

test("an envelope of a kind that only a newer peer knows is read", () => {
  expect(
    read(
      plainEncode([1, 99, "i", "s", null, "n", 1, null, null, null, null, null, Uint8Array.of()]),
    )[0]!.kind,
  ).toBe(99);
});
