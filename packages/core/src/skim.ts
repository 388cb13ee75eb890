import { MeshError } from "./errors.ts";

const MAX_DEPTH = 100;

/**
 * Walks one MessagePack value without building it and returns the offset behind it. Refuses, with `BAD_MESSAGE`, what
 * would make a decoder allocate more than the message's own size or recurse without end: truncated values, headers
 * that promise more elements than there are bytes, more than 100 levels, the reserved byte 0xc1.
 */
export function skim(bytes: Uint8Array, offset: number, end: number): number {
  let position = offset;
  let pending = 1; // values still to walk on this level
  let outer: number[] | undefined; // the same for the levels above, made when there is one
  for (;;) {
    while (pending === 0) {
      const resumed = outer?.pop();
      if (resumed === undefined) return position;
      pending = resumed;
    }
    pending--;
    if (position >= end) throw malformed("it ends too early");
    const head = bytes[position++]!;
    let children = 0;
    if (head < 0x80 || head >= 0xe0) continue;
    if (head >= 0xa0 && head < 0xc0) position += head & 0x1f;
    else if (head < 0x90) children = (head & 0x0f) * 2;
    else if (head < 0xa0) children = head & 0x0f;
    else {
      switch (head) {
        case 0xc0: // nil
        case 0xc2: // false
        case 0xc3: // true
          break;
        case 0xcc: // uint 8
        case 0xd0: // int 8
          position += 1;
          break;
        case 0xcd: // uint 16
        case 0xd1: // int 16
          position += 2;
          break;
        case 0xca: // float 32
        case 0xce: // uint 32
        case 0xd2: // int 32
          position += 4;
          break;
        case 0xcb: // float 64
        case 0xcf: // uint 64
        case 0xd3: // int 64
          position += 8;
          break;
        case 0xc4: // bin 8
        case 0xd9: // str 8
          position += 1 + uint(bytes, position, 1, end);
          break;
        case 0xc5: // bin 16
        case 0xda: // str 16
          position += 2 + uint(bytes, position, 2, end);
          break;
        case 0xc6: // bin 32
        case 0xdb: // str 32
          position += 4 + uint(bytes, position, 4, end);
          break;
        case 0xc7: // ext 8
          position += 2 + uint(bytes, position, 1, end);
          break;
        case 0xc8: // ext 16
          position += 3 + uint(bytes, position, 2, end);
          break;
        case 0xc9: // ext 32
          position += 5 + uint(bytes, position, 4, end);
          break;
        case 0xd4: // fixext 1
        case 0xd5: // fixext 2
        case 0xd6: // fixext 4
        case 0xd7: // fixext 8
        case 0xd8: // fixext 16
          position += 1 + (1 << (head - 0xd4));
          break;
        case 0xdc: // array 16
          children = uint(bytes, position, 2, end);
          position += 2;
          break;
        case 0xdd: // array 32
          children = uint(bytes, position, 4, end);
          position += 4;
          break;
        case 0xde: // map 16
          children = uint(bytes, position, 2, end) * 2;
          position += 2;
          break;
        case 0xdf: // map 32
          children = uint(bytes, position, 4, end) * 2;
          position += 4;
          break;
        default:
          throw malformed(`byte 0x${head.toString(16)} is not MessagePack`);
      }
    }
    if (position > end) throw malformed("it ends too early");
    if (children > 0) {
      if (children > end - position) throw malformed("it promises more elements than it has bytes");
      outer ??= [];
      if (outer.length >= MAX_DEPTH)
        throw malformed(`it is nested deeper than ${MAX_DEPTH} levels`);
      outer.push(pending);
      pending = children;
    }
  }
}

function uint(bytes: Uint8Array, position: number, size: number, end: number): number {
  if (position + size > end) throw malformed("it ends too early");
  let value = 0;
  for (let i = 0; i < size; i++) value = value * 256 + bytes[position + i]!;
  return value;
}

function malformed(why: string): MeshError {
  return new MeshError("BAD_MESSAGE", `Malformed MessagePack: ${why}.`);
}
