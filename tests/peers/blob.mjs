// blob.mjs: a blob with its commitment and its proofs of both kinds (EIP-4844, EIP-7594), from where the unit tests have them (another implementation made them): loading one that
// makes them, in wasm, takes longer than all the rest.
import { readFileSync } from "node:fs";

const vectors = readFileSync(new URL("../unit/blob_vectors.def", import.meta.url), "ascii");
const vector = (name) => "0x" + vectors.match(new RegExp(`VECTOR\\(${name}, "([0-9a-f]+)"\\)`))[1];
const octets = Buffer.alloc(131072);
for (let i = 0; i < 4096; i++) {
    const word = BigInt.asUintN(64, BigInt(i + 1) * 0x9e3779b97f4a7c15n);
    octets.writeBigUInt64BE(word, 32 * i + 8);
    octets.writeBigUInt64BE(word, 32 * i + 24);
}
export const data = "0x" + octets.toString("hex");
export const commitment = vector("commitment");
export const hash = vector("versioned_hash");
export const proof = vector("proof");
export const cellProofs = "0x" + [...vectors.matchAll(/CELL_PROOF\("([0-9a-f]+)"\)/g)].map((m) => m[1]).join("");
