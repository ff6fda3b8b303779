// rpc.mjs: all conformance cases of ethereum/execution-apis against a node that has imported the suite's chain.
//
//   node tests/conformance/rpc.mjs URL FOLDER [PREFIX...]
//
// URL: http://127.0.0.1:8545; FOLDER holds <method>/<case>.io (rpc/ of the test data); PREFIX: only these methods. The rule is that of hive's rpc-compat:
// equal JSON, but of a file that says "speconly:" only the form. Prints what differs; fails if anything does that is not named below, or if what is named does not exist.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";

const [url, folder, ...prefixes] = process.argv.slice(2);

// Cases that are left out, each with its reason.
const gone = "states of blocks before a restart are not remembered, and the import ended with one";
const building = "not a method of ours: it lets a consensus client's tests have a block built";
const leftOut = {
    "debug_traceBlockByNumber/trace-block-memory-encoding.io": gone,
    "debug_traceBlockByNumber/trace-block-return-data-behavior.io": gone,
    "debug_traceBlockByNumber/trace-block-storage-encoding.io": gone,
    "debug_traceTransaction/trace-legacy-transfer.io": gone,
    "eth_capabilities/get-capabilities.io": "it shows how long geth keeps what; we keep states otherwise",
    "eth_simulateV1/ethSimulate-empty-with-block-num-set-minusone.io": gone,
    "testing_buildBlockV1/build-block-from-mempool.io": building,
    "testing_buildBlockV1/build-block-with-transactions.io": building,
    "txpool_content/get-content.io": "it shows a transaction that no case sends, in a pool of which no blocks are made",
};

// A value's form: names of members and kinds of values; of lists, that of the first.
const form = (v) =>
    Array.isArray(v) ? v.slice(0, 1).map(form)
    : v !== null && typeof v === "object" ? Object.fromEntries(Object.keys(v).sort().map((k) => [k, form(v[k])]))
    : typeof v;

let equal = 0, different = 0, skipped = 0;
for (const method of readdirSync(folder, { withFileTypes: true }).filter((d) => d.isDirectory()).map((d) => d.name)) {
    if (prefixes.length > 0 && !prefixes.some((p) => method.startsWith(p))) continue;
    for (const name of readdirSync(`${folder}/${method}`)) {
        const reason = leftOut[`${method}/${name}`];
        if (reason) {
            console.log(`left out: ${method}/${name}: ${reason}`);
            skipped++;
            continue;
        }
        const lines = readFileSync(`${folder}/${method}/${name}`, "utf8").split("\n");
        const specOnly = lines.some((l) => l.startsWith("//") && l.includes("speconly:"));
        let request, same = true, got;
        for (const line of lines) {
            if (line.startsWith(">> ")) {
                request = line.slice(3);
                const response = await fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body: request });
                got = await response.json();
            } else if (line.startsWith("<< ")) {
                const expected = JSON.parse(line.slice(3));
                const ok = specOnly ? isDeepStrictEqual(form(got), form(expected)) : isDeepStrictEqual(got, expected);
                if (!ok) {
                    same = false;
                    console.log(`${method}/${name}\n  >> ${request.slice(0, 400)}\n  got      ${JSON.stringify(got).slice(0, 1200)}\n  expected ${line.slice(3, 1203)}`);
                }
            }
        }
        same ? equal++ : different++;
    }
}
const unknown = Object.keys(leftOut).filter((name) => !existsSync(`${folder}/${name}`));
unknown.forEach((name) => console.log(`left out, but no case: ${name}`));
console.log(`${equal} equal, ${different} different, ${skipped} left out`);
process.exit(different === 0 && unknown.length === 0 && equal > 0 ? 0 : 1);
