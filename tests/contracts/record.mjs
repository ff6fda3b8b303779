// record.mjs: what build.sh --record runs. Runs the contracts of this folder on another implementation of Ethereum (npm @ethereumjs/vm) and
// writes down what each transaction was and what came of it: tests/unit/test_solo.c repeats them.
//
//   node record.mjs DEPS ARTIFACTS OUT
//
// DEPS holds node_modules. OUT becomes {scenarios: [{name, fork, steps}]}; a step is {what, time, from, contract | to, data, value, gasLimit} and
// {status, gasUsed, output, logs}. A step with contract is a creation; data are then the constructor's arguments. from numbers the senders:
// secret keys 1, 2, 3, 4. logs is how many there were.
import fs from "fs";
import path from "path";
import { createRequire } from "module";

const [deps, artifacts, out] = process.argv.slice(2);
const need = createRequire(path.resolve(deps, "node_modules") + "/");
const { createVM, runTx } = need("@ethereumjs/vm");
const { Common, Mainnet } = need("@ethereumjs/common");
const { createLegacyTx } = need("@ethereumjs/tx");
const { createBlock } = need("@ethereumjs/block");
const util = need("@ethereumjs/util");
const { AbiCoder, Interface } = need("ethers");

const GAS = 16_000_000n;
const MAX = 2n ** 256n - 1n;
const COINBASE = "0xc0000000000000000000000000000000000000c0";
const keys = [1, 2, 3, 4].map((i) => util.setLengthLeft(util.intToBytes(i), 32));
const users = keys.map((key) => util.createAddressFromPrivateKey(key).toString());
const [a, b, c, d] = users;
const ether = (n) => BigInt(n) * 10n ** 18n;
const hash = (octet) => "0x" + octet.repeat(32);

class World {
    async open(name, fork) {
        this.scenario = { name, fork, steps: [] };
        this.common = new Common({ chain: Mainnet, hardfork: fork });
        this.vm = await createVM({ common: this.common });
        this.nonces = users.map(() => 0n);
        this.time = 1000n;
        for (const user of users) {
            const account = util.createAccount({ balance: ether(1e12) });
            await this.vm.stateManager.putAccount(util.createAddressFromString(user), account);
        }
        return this;
    }

    async run(step, to, data, value, gasLimit) {
        const london = this.common.gteHardfork("london");
        const header = { number: 1n, timestamp: this.time, gasLimit: 1n << 40n, coinbase: COINBASE };
        if (london) header.baseFeePerGas = 7n;
        const block = createBlock({ header }, { common: this.common, skipConsensusFormatValidation: true });
        const nonce = this.nonces[step.from]++;
        const tx = createLegacyTx({ nonce, gasPrice: 9n, gasLimit, to, data, value }, { common: this.common });
        const made = await runTx(this.vm, { tx: tx.sign(keys[step.from]), block, skipBlockGasLimitValidation: true });
        const failed = made.execResult.exceptionError !== undefined;
        const output = util.bytesToHex(made.execResult.returnValue);
        this.scenario.steps.push({
            what: step.what,
            time: Number(this.time),
            ...step,
            value: value.toString(),
            gasLimit: Number(gasLimit),
            status: failed ? 0 : 1,
            gasUsed: Number(made.totalGasSpent),
            output: to === undefined && !failed ? "0x" : output,
            logs: failed ? 0 : (made.execResult.logs || []).length,
        });
        return { failed, output, created: made.createdAddress && made.createdAddress.toString() };
    }

    async deploy(contract, args = []) {
        const artifact = JSON.parse(fs.readFileSync(path.join(artifacts, `${contract}.json`), "utf8"));
        const types = ((artifact.abi.find((f) => f.type === "constructor") || {}).inputs || []).map((i) => i.type);
        const data = AbiCoder.defaultAbiCoder().encode(types, args);
        const step = { what: `deploy ${contract}`, from: 0, contract, data };
        const { created } = await this.run(step, undefined, artifact.bytecode + data.slice(2), 0n, GAS);
        return this.at(contract, created);
    }

    at(contract, address) {
        const artifact = JSON.parse(fs.readFileSync(path.join(artifacts, `${contract}.json`), "utf8"));
        const abi = new Interface(artifact.abi);
        const call = async (from, name, args = [], { value = 0n, gas = GAS } = {}) => {
            const data = abi.encodeFunctionData(name, args);
            const step = { what: `${contract}.${name}`, from, to: address, data };
            const to = util.createAddressFromString(address);
            const { failed, output } = await this.run(step, to, data, value, gas);
            return failed || output === "0x" ? undefined : abi.decodeFunctionResult(name, output)[0];
        };
        return { address, abi, call };
    }
}

const token = (w, name) => w.deploy("Token", [name, name.toUpperCase(), a, ether(1e9)]);

const scenarios = {
    async token(w) {
        const t = await token(w, "alpha");
        for (const name of ["name", "symbol", "decimals", "totalSupply"]) await t.call(0, name);
        await t.call(0, "transfer", [b, 1000]);
        await t.call(0, "transfer", [b, 1000]);
        await t.call(1, "transfer", [a, 2001]); // too much
        await t.call(1, "transfer", ["0x" + "00".repeat(20), 1]);
        await t.call(1, "transfer", [b, 2000]); // to itself
        await t.call(1, "approve", [c, 500]);
        await t.call(2, "transferFrom", [b, d, 400]);
        await t.call(2, "transferFrom", [b, d, 101]); // too much
        await t.call(2, "allowance", [b, c]);
        await t.call(1, "approve", [c, MAX]);
        await t.call(2, "transferFrom", [b, d, 1600]);
        await t.call(2, "allowance", [b, c]);
        await t.call(0, "balanceOf", [d]);
        await t.call(0, "balanceOf", [b]);
    },
    async pool(w) {
        const t = [await token(w, "alpha"), await token(w, "beta")];
        const router = await w.deploy("Router");
        const path = t.map((one) => one.address);
        const back = [...path].reverse();
        for (const one of t) for (const user of [0, 1]) await one.call(user, "approve", [router.address, MAX]);
        await t[0].call(0, "transfer", [b, ether(1000)]);
        const fill = (x, y, end = 2000) => [...path, x, y, 0, 0, a, end];
        await router.call(0, "addLiquidity", fill(ether(1e6), ether(4e6)));
        await router.call(0, "addLiquidity", fill(ether(100), ether(1e6)));
        await router.call(0, "addLiquidity", fill(ether(100), ether(1e6), 999)); // late
        await router.call(0, "createPair", path); // exists
        await router.call(1, "swapExactTokensForTokens", [1000, 1, path, b, 2000]);
        await router.call(0, "swapExactTokensForTokens", [ether(1), 1, path, a, 2000]);
        await router.call(0, "swapExactTokensForTokens", [ether(1), 1, back, a, 2000]);
        await router.call(0, "swapTokensForExactTokens", [ether(1), MAX, back, a, 2000]);
        await router.call(0, "swapExactTokensForTokens", [ether(1), ether(100), back, a, 2000]); // too few
        await router.call(0, "getAmountsOut", [ether(1), path]);
        const pair = w.at("Pair", await router.call(0, "pairOf", path));
        await pair.call(0, "swap", [1, 0, a, "0x"]); // nothing paid
        await pair.call(0, "swap", [0, 0, a, "0x"]);
        w.time += 10n;
        await router.call(0, "swapExactTokensForTokens", [ether(1), 1, path, a, 2000]);
        await pair.call(0, "priceSum0");
        await pair.call(0, "approve", [router.address, MAX]);
        await router.call(0, "removeLiquidity", [...path, ether(100), 1, 1, a, 2000]);
        await router.call(0, "removeLiquidity", [...path, await pair.call(0, "balanceOf", [a]), 1, 1, a, 2000]);
        await pair.call(0, "getReserves");
        await pair.call(0, "totalSupply");
    },
    async nft(w) {
        const n = await w.deploy("Nft", ["Things", "THING"]);
        await n.call(0, "mint", [a]);
        await n.call(0, "mint", [a]);
        await n.call(0, "transferFrom", [a, b, 2]);
        await n.call(0, "transferFrom", [b, a, 2]); // not the owner
        await n.call(0, "ownerOf", [3]); // none
        await n.call(1, "safeTransferFrom(address,address,uint256)", [b, c, 2]);
        await n.call(2, "safeTransferFrom(address,address,uint256)", [c, n.address, 2]); // no receiver
        await n.call(2, "approve", [a, 2]);
        await n.call(0, "transferFrom", [c, a, 2]);
        await n.call(0, "balanceOf", [a]);
        await n.call(0, "setApprovalForAll", [d, true]);
        await n.call(3, "transferFrom", [a, d, 1]);
        await n.call(0, "ownerOf", [1]);
    },
    async bank(w) {
        const s = await w.deploy("SmallBank");
        await s.call(0, "open", [1, 100, 50]);
        await s.call(0, "open", [2, 0, 0]);
        await s.call(0, "depositChecking", [2, 7]);
        await s.call(0, "sendPayment", [1, 2, 20]);
        await s.call(0, "sendPayment", [1, 2, 31]); // too much
        await s.call(0, "writeCheck", [1, 200]); // with a penalty
        await s.call(0, "checking", [1]);
        await s.call(0, "transactSavings", [1, -101]); // too much
        await s.call(0, "transactSavings", [1, -1]);
        await s.call(0, "amalgamate", [1, 2]);
        await s.call(0, "balance", [2]);
    },
    async lending(w) {
        const t = [await token(w, "alpha"), await token(w, "beta")];
        const l = await w.deploy("Lending", t.map((one) => one.address));
        for (const one of t) for (const user of [0, 1]) await one.call(user, "approve", [l.address, MAX]);
        await t[1].call(0, "transfer", [l.address, ether(1e6)]);
        await t[0].call(0, "transfer", [b, ether(1e4)]);
        await l.call(1, "deposit", [ether(1000)]);
        await l.call(1, "borrow", [ether(751)]); // too much
        await l.call(1, "borrow", [ether(750)]);
        await l.call(0, "liquidate", [b, ether(100)]); // safe
        await l.call(1, "withdraw", [1]); // unsafe
        w.time += 31536000n;
        await l.call(1, "debtOf", [b]);
        await l.call(1, "setPrice", [ether(1)]); // not the oracle
        await l.call(0, "setPrice", [ether(9) / 10n]);
        await l.call(0, "liquidate", [b, ether(100)]);
        await l.call(0, "positions", [b]);
        await t[1].call(0, "transfer", [b, ether(1e4)]);
        await l.call(1, "repay", [MAX]);
        await l.call(1, "withdraw", [await l.call(0, "positions", [b])]);
        await l.call(0, "principalTotal");
    },
    async goods(w) {
        const s = await w.deploy("SupplyChain");
        await s.call(0, "make", [hash("11")]);
        await s.call(0, "make", [hash("22")]);
        await s.call(0, "assemble", [hash("33"), [1, 2]]);
        await s.call(0, "offer", [3, b]);
        await s.call(0, "sell", [3]); // offered
        await s.call(2, "accept", [3]); // not to c
        await s.call(1, "accept", [3]);
        await s.call(1, "record", [3, hash("44")]);
        await s.call(1, "sell", [3]);
        await s.call(1, "get", [3]);
        await s.call(0, "offer", [1, b]); // consumed
    },
    async reenter(w) {
        const v = await w.deploy("Vault");
        await v.call(1, "deposit", [], { value: ether(1) });
        for (const way of ["leak", "safe", "locked"]) {
            const r = await w.deploy("Reenter", [v.address]);
            await r.call(0, "attack", [v.abi.getFunction(way).selector, 3], { value: ether(1) / 1000n });
            await r.call(0, "taken");
            await r.call(0, "refused");
        }
    },
    async game(w) {
        const g = await w.deploy("Game");
        const glider = [[1, 0], [2, 1], [0, 2], [1, 2], [2, 2]];
        const board = (at) => glider.reduce((sum, [x, y]) => sum + (1n << BigInt(16 * (y + at) + x + at)), 0n);
        await g.call(0, "set", [board(0)]);
        if ((await g.call(0, "play", [4])) !== board(1)) throw new Error("a glider moves by one in four steps");
        await g.call(0, "play", [20]);
    },
    async recursion(w) {
        const r = await w.deploy("Recursion");
        for (const way of ["dive", "diveDelegate", "diveStatic"]) {
            await r.call(0, way, [10]);
            await r.call(0, way, [100]);
        }
        await r.call(0, "diveAndRevert", [20]);
        await r.call(0, "marks");
    },
    async recursionDeep(w) {
        const r = await w.deploy("Recursion");
        for (const way of ["dive", "diveDelegate", "diveStatic"]) await r.call(0, way, [1100], { gas: 10n ** 12n });
        await r.call(0, "diveAndRevert", [1022], { gas: 10n ** 12n });
        await r.call(0, "marks");
    },
    async memory(w) {
        const m = await w.deploy("Memory");
        const gas = 10n ** 9n;
        for (const size of [1024, 1 << 20, 10 << 20, 20 << 20]) await m.call(0, "expand", [size], { gas });
        await m.call(0, "fill", [65536], { gas });
        await m.call(0, "creep", [1 << 20, 4096], { gas });
        await m.call(0, "echo", [100000], { gas });
    },
    async factory(w) {
        const f = await w.deploy("Factory");
        await f.call(0, "deployAndUse", [hash("11"), 7], { value: 5n });
        await f.call(0, "addressOf", [hash("11")]);
        await f.call(0, "deployAndUse", [hash("11"), 7]); // there is one
        await f.call(0, "killAndRedeploy", [hash("11"), a]);
        await f.call(0, "deployAndUse", [hash("11"), 8], { value: 5n }); // back again, but for Cancun
        for (let i = 0; i < 2; i++) await f.call(0, "flash", [hash("22"), 9, a], { value: 5n });
        await f.call(0, "deployAndUse", [hash("22"), 7], { value: 5n });
    },
};

// The contracts need Cancun, or Constantinople (see compile.js). Osaka caps a transaction's gas.
const forks = {
    game: ["cancun", "osaka"],
    recursion: ["petersburg", "istanbul", "berlin", "london", "paris", "shanghai", "cancun", "prague", "osaka"],
    recursionDeep: ["petersburg", "berlin", "prague"],
    memory: ["petersburg", "istanbul", "prague"],
    reenter: ["petersburg", "istanbul", "berlin", "london", "cancun", "osaka"],
    factory: ["petersburg", "istanbul", "berlin", "london", "shanghai", "cancun", "osaka"],
};

const done = [];
for (const [name, play] of Object.entries(scenarios)) {
    for (const fork of forks[name] || ["cancun", "osaka"]) {
        const world = await new World().open(name, fork);
        await play(world);
        done.push(world.scenario);
    }
}
fs.writeFileSync(out, JSON.stringify({ scenarios: done }, null, 1) + "\n");
