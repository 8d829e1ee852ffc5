// What every scenario holds its client to.
import { deepStrictEqual } from "node:assert";

export const base = process.env.BASE!;
export const email = process.env.EMAIL!;
export const password = "Tradepost1";

export function equal(found: unknown, expected: unknown): void {
  deepStrictEqual(found, expected);
}

export function ok(value: unknown): asserts value {
  if (!value) throw new Error(`${value} is not what was wanted`);
}

/** A picture of one pixel, as a file to upload. */
export function picture(): Blob {
  const bytes = Buffer.from(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGM4USECAANgAVXxOD+gAAAAAElFTkSuQmCC",
    "base64",
  );
  return new File([bytes], "lamp.png", { type: "image/png" });
}
