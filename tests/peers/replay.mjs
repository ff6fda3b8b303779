// replay.mjs: does a second implementation agree? A mixed workload makes the cluster at COHORT_RPC produce blocks; then npm's @ethereumjs/vm executes all blocks of its chain from genesis.json, out of
// their raw forms, and must come to the same state root, receipts root, gas and bloom for each; so must the access list of each block (cohort_accessList), laid over the state before it, and eth_simulateV1 of its transactions. The raw receipts must lead to the receipts root, and traces must tell the gas that receipts tell.
//
//   COHORT_RPC=HOST:PORT COHORT_CLIENTS=FOLDER node replay.mjs GENESIS      FOLDER holds node_modules
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import * as blob from "./blob.mjs";

const require = createRequire(process.env.COHORT_CLIENTS + "/package.json");
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const { ethers } = require("ethers");
const { createBlockFromRLP } = await load("@ethereumjs/block");
const { createCommonFromGethGenesis, parseGethGenesisState } = await load("@ethereumjs/common");
const { createMPT } = await load("@ethereumjs/mpt");
const { RLP } = await load("@ethereumjs/rlp");
const { Account, bytesToHex, createAddressFromString, hexToBytes } = await load("@ethereumjs/util");
const { createVM, runBlock } = await load("@ethereumjs/vm");

const BLOCKS = 50, ROUNDS = 56, SENDERS = 6;
const url = "http://" + process.env.COHORT_RPC;
const genesis = JSON.parse(readFileSync(process.argv[2]));
const artifact = (name) => JSON.parse(readFileSync(new URL(`../contracts/artifacts/${name}.json`, import.meta.url)));
const mnemonic = ethers.Mnemonic.fromPhrase("test test test test test test test test test test test junk");
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

async function rpc(method, ...params) {
    const response = await fetch(url, {
        method: "POST", headers: { "content-type": "application/json" },
        body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }),
    });
    const { result, error } = await response.json();
    if (error) throw new Error(`${method}: ${error.message}`);
    return result;
}

// ---- the workload ----

const chainId = genesis.config.chainId;
const senders = [];
for (let i = 0; i < SENDERS; i++) {
    const wallet = ethers.HDNodeWallet.fromMnemonic(mnemonic, `m/44'/60'/0'/0/${9 - i}`);
    senders.push({ wallet, nonce: Number(await rpc("eth_getTransactionCount", wallet.address, "pending")) });
}
const maxFeePerGas = 20_000_000_000n, maxPriorityFeePerGas = 1_000_000n;
const kinds = [
    { type: 0, gasPrice: maxFeePerGas },
    { type: 1, gasPrice: maxFeePerGas, accessList: [{ address: senders[0].wallet.address, storageKeys: [ethers.zeroPadValue("0x07", 32)] }] },
    { type: 2, maxFeePerGas, maxPriorityFeePerGas },
];
const sidecar = { data: blob.data, commitment: blob.commitment, proof: blob.proof };
const delegated = []; // accounts that others' transactions have delegated
let sent = 0;
const hashes = [];

// Sends one of sender's, of a type that changes from one to the next; says where a creation goes.
async function send(sender, tx) {
    const nonce = sender.nonce++;
    const raw = await sender.wallet.signTransaction({ chainId, nonce, gasLimit: 60_000n, ...kinds[sent % 3], ...tx });
    for (let i = 0; hashes.length === sent; i++) { // of delegated accounts the pool takes one at a time
        try {
            hashes.push(await rpc("eth_sendRawTransaction", raw));
        } catch (error) {
            if (i === 400 || !/delegated accounts|authority already reserved/.test(error.message)) throw error;
            await new Promise((done) => setTimeout(done, 25));
        }
    }
    sent++;
    return ethers.getCreateAddress({ from: sender.wallet.address, nonce });
}
const create = (sender, name, ...args) => {
    const { abi, bytecode } = artifact(name);
    const data = bytecode + new ethers.Interface(abi).encodeDeploy(args).slice(2);
    return send(sender, { data, gasLimit: 4_000_000n });
};
const face = (name) => new ethers.Interface(artifact(name).abi);
const token = face("Token"), nft = face("Nft"), bank = face("SmallBank"), killer = face("SelfDestruct"), game = face("Game"), deep = face("Recursion"), factory = face("Factory");
const at = {
    token: await create(senders[0], "Token", "Token", "TKN", senders[0].wallet.address, 1_000_000_000n),
    nft: await create(senders[1], "Nft", "Nft", "NFT"),
    bank: await create(senders[2], "SmallBank"),
    killer: await create(senders[3], "SelfDestruct"),
    game: await create(senders[4], "Game"),
    deep: await create(senders[5], "Recursion"),
    factory: await create(senders[0], "Factory"),
};
const settled = async () => {
    for (let i = 0; i < 400 && (await rpc("eth_getTransactionReceipt", hashes.at(-1))) === null; i++) await sleep(25);
};
await settled();
for (let round = 0; round < ROUNDS; round++) {
    for (let i = 0; i < SENDERS; i++) {
        const me = senders[i], other = senders[(i + 1 + round) % SENDERS].wallet.address, n = BigInt(round * SENDERS + i);
        const call = (to, data, gasLimit = 300_000n) => send(me, { to, data, gasLimit });
        await send(me, { to: round % 3 === 0 ? ethers.Wallet.createRandom().address : other, value: n + 1n });
        switch ((round + i) % 10) {
        case 0: await call(at.token, token.encodeFunctionData("transfer", [other, n])); break;
        case 1: await call(at.token, token.encodeFunctionData("transfer", [other, 10n ** 30n])); break; // reverts
        case 2: await call(at.nft, nft.encodeFunctionData("mint", [other])); break;
        case 3: await call(at.bank, bank.encodeFunctionData("open", [n, 100, 200])); break;
        case 4: await call(at.bank, bank.encodeFunctionData("sendPayment", [n % 7n, n % 5n, 3])); break;
        case 5: await call(at.killer, killer.encodeFunctionData("remember", [n])); break;
        case 6: await call(at.game, game.encodeFunctionData("set", [n])); break;
        case 7: await call(at.deep, deep.encodeFunctionData("diveAndRevert", [5]), 400_000n); break;
        case 8: await call(at.factory, factory.encodeFunctionData("deploy", [ethers.zeroPadValue(ethers.toBeHex(n), 32)]), 2_000_000n); break;
        default: await call(at.deep, deep.encodeFunctionData("dive", [40]), 30_000n); break; // runs out of gas
        }
    }
    const me = senders[round % SENDERS], later = senders[(round + 1) % SENDERS];
    const wide = { maxFeePerGas, maxPriorityFeePerGas, gasPrice: undefined, accessList: [] };
    if (round % 3 === 0) { // blobs, more and fewer than a block has as its target
        await send(me, { ...wide, type: 3, to: later.wallet.address, maxFeePerBlobGas: 1_000n, blobs: Array(1 + (round % 6)).fill(sidecar), gasLimit: 30_000n });
    }
    if (round % 4 === 1) { // two authorizations at their turn, one of them undone in the same list, and one that is not
        const who = ethers.Wallet.createRandom(), idle = ethers.Wallet.createRandom();
        const list = [await who.authorize({ address: at.game, nonce: 0, chainId }), await idle.authorize({ address: at.game, nonce: 0, chainId: 0 }),
            await idle.authorize({ address: ethers.ZeroAddress, nonce: 1, chainId }), await who.authorize({ address: at.token, nonce: 5, chainId })];
        await send(me, { ...wide, type: 4, to: who.address, data: game.encodeFunctionData("set", [BigInt(round)]), authorizationList: list, gasLimit: 400_000n });
        delegated.push(who.address);
        // The sender's own authorization is the nonce behind its transaction's.
        const own = await later.wallet.authorize({ address: round % 8 === 1 ? at.game : ethers.ZeroAddress, nonce: later.nonce + 1, chainId });
        await send(later, { ...wide, type: 4, to: delegated[0], data: game.encodeFunctionData("set", [1n]), authorizationList: [own], gasLimit: 400_000n });
        later.nonce++;
        await send(later, { to: delegated.at(-1), data: game.encodeFunctionData("set", [2n]), gasLimit: 200_000n });
    }
    if (round % 8 === 3) {
        await create(senders[round % SENDERS], "Token", `Token ${round}`, "T", at.token, 5n);
        await send(senders[0], { to: at.token, data: token.encodeFunctionData("transfer", [senders[round % SENDERS].wallet.address, 1000n]), gasLimit: 100_000n });
    }
    if (round === 50) await send(senders[3], { to: at.killer, data: killer.encodeFunctionData("kill", [senders[4].wallet.address]), gasLimit: 100_000n });
    await settled();
}
for (let i = 0; i < 200 && Number((await rpc("txpool_status")).pending) > 0; i++) await sleep(25);
const head = Number(await rpc("eth_blockNumber"));
assert.ok(head >= BLOCKS, `${head} blocks, not ${BLOCKS}`);

// ---- the replay ----

const common = createCommonFromGethGenesis(genesis, { chain: "cohort", customCrypto: { kzg: {} } /* asked for where there are blobs, and not used */ });
const vm = await createVM({ common });
await vm.stateManager.generateCanonicalGenesis(parseGethGenesisState(genesis));
let root = await vm.stateManager.getStateRoot();
assert.equal(bytesToHex(root), (await rpc("eth_getBlockByNumber", "0x0", false)).stateRoot, "state root of genesis");

// The state root that the block's access list (EIP-7928) leads to from the state before it, in which all else stays.
async function rootByAccessList(tag, parentRoot, what) {
    const { hash, rlp, accessList } = await rpc("cohort_accessList", tag);
    assert.equal(hash, ethers.keccak256(rlp), what + "hash of the access list");
    const number = (octets) => (octets.length === 0 ? 0n : BigInt(bytesToHex(octets)));
    const raw = RLP.decode(hexToBytes(rlp));
    assert.equal(raw.length, accessList.length, what + "accounts in the access list");
    const state = vm.stateManager.shallowCopy();
    await state.setStateRoot(parentRoot);
    for (const [i, entry] of accessList.entries()) {
        const [address, slots, , balances, nonces, codes] = raw[i];
        assert.equal(entry.address, bytesToHex(address), what + "order of the access list");
        assert.deepEqual(entry.balanceChanges.map((c) => BigInt(c.value)), balances.map(([, v]) => number(v)), what + "balances");
        const who = createAddressFromString(entry.address);
        if (balances.length + nonces.length + codes.length + slots.length === 0) continue;
        const account = (await state.getAccount(who)) ?? new Account();
        if (balances.length > 0) account.balance = BigInt(entry.balanceChanges.at(-1).value);
        if (nonces.length > 0) account.nonce = BigInt(entry.nonceChanges.at(-1).value);
        await state.putAccount(who, account);
        if (codes.length > 0) await state.putCode(who, hexToBytes(entry.codeChanges.at(-1).code));
        for (const { key, changes } of entry.storageChanges) {
            const value = BigInt(changes.at(-1).value);
            await state.putStorage(who, hexToBytes(key), value === 0n ? new Uint8Array() : hexToBytes(ethers.toBeHex(value)));
        }
        if ((await state.getAccount(who)).isEmpty()) await state.deleteAccount(who);
        counts.changed++;
    }
    counts.lists++;
    return bytesToHex(await state.getStateRoot());
}

// The block, simulated from its transactions without their signatures on the state before it: outcomes and state root must be its own.
async function simulate(tag, parent, what) {
    const block = await rpc("eth_getBlockByNumber", tag, true);
    const receipts = await rpc("eth_getBlockReceipts", tag);
    const calls = block.transactions.map((tx) => ({
        from: tx.from, to: tx.to, value: tx.value, input: tx.input, nonce: tx.nonce, gas: tx.gas, accessList: tx.accessList,
        ...(Number(tx.type) >= 2 ? { maxFeePerGas: tx.maxFeePerGas, maxPriorityFeePerGas: tx.maxPriorityFeePerGas } : { gasPrice: tx.gasPrice }),
        ...(tx.type === "0x3" ? { maxFeePerBlobGas: tx.maxFeePerBlobGas, blobVersionedHashes: tx.blobVersionedHashes } : {}),
        ...(tx.type === "0x4" ? { authorizationList: tx.authorizationList } : {}),
    }));
    // Simulated times differ; what Cohort puts into a second does not.
    if (BigInt(block.timestamp) <= BigInt(parent.timestamp)) return;
    const blockOverrides = { time: block.timestamp, gasLimit: block.gasLimit, feeRecipient: block.miner, prevRandao: block.mixHash, baseFeePerGas: block.baseFeePerGas };
    const [got] = await rpc("eth_simulateV1", { blockStateCalls: [{ blockOverrides, calls }], validation: true }, parent.number);
    assert.equal(got.stateRoot, block.stateRoot, what + "state root of the simulated block");
    assert.equal(got.receiptsRoot, block.receiptsRoot, what + "receipts root of the simulated block");
    assert.deepEqual(got.calls.map((c) => [c.status, c.gasUsed]), receipts.map((r) => [r.status, r.gasUsed]), what + "simulated calls");
    counts.simulated++;
}

const counts = { transactions: 0, failed: 0, creations: 0, logs: 0, traced: 0, lists: 0, changed: 0, simulated: 0, types: {} };
let parent = await rpc("eth_getBlockByNumber", "0x0", false), lastHeader = null;
for (let number = 1; number <= head; number++) {
    const tag = ethers.toQuantity(number);
    const block = createBlockFromRLP(hexToBytes(await rpc("debug_getRawBlock", tag)), { common, setHardfork: true });
    const { header } = block;
    const what = `block ${number}: `;
    const r = await runBlock(vm, { block, root, skipHeaderValidation: true, skipBlockValidation: true, setHardfork: true });
    assert.equal(bytesToHex(r.stateRoot), bytesToHex(header.stateRoot), what + "state root");
    assert.equal(bytesToHex(r.receiptsRoot), bytesToHex(header.receiptTrie), what + "receipts root");
    assert.equal(bytesToHex(r.logsBloom), bytesToHex(header.logsBloom), what + "bloom");
    assert.equal(r.gasUsed, header.gasUsed, what + "gas");
    if (number > 1) assert.equal(header.excessBlobGas, lastHeader.calcNextExcessBlobGas(header.common), what + "excess blob gas");
    lastHeader = header;
    assert.equal(bytesToHex(block.hash()), (await rpc("eth_getBlockByNumber", tag, false)).hash, what + "hash");
    assert.equal(await rootByAccessList(tag, root, what), bytesToHex(header.stateRoot), what + "state root by access list");
    await simulate(tag, parent, what);
    parent = await rpc("eth_getBlockByNumber", tag, false);
    root = r.stateRoot;

    const trie = await createMPT();
    for (const [i, raw] of (await rpc("debug_getRawReceipts", tag)).entries()) await trie.put(RLP.encode(i), hexToBytes(raw));
    assert.equal(bytesToHex(trie.root()), bytesToHex(header.receiptTrie), what + "raw receipts");

    const receipts = await rpc("eth_getBlockReceipts", tag);
    const traces = await rpc("debug_traceBlockByNumber", tag, { tracer: "callTracer" });
    assert.equal(traces.length, receipts.length, what + "traces");
    receipts.forEach((receipt, i) => {
        assert.equal(BigInt(receipt.gasUsed), r.results[i].totalGasSpent, what + `gas of transaction ${i}`);
        assert.equal(traces[i].txHash, receipt.transactionHash, what + `trace ${i}`);
        assert.equal(traces[i].result.gasUsed, receipt.gasUsed, what + `gas of trace ${i}`);
        assert.equal(traces[i].result.error === undefined, receipt.status === "0x1", what + `end of trace ${i}`);
        counts.transactions++;
        counts.failed += receipt.status === "0x0" ? 1 : 0;
        counts.creations += receipt.contractAddress !== null ? 1 : 0;
        counts.logs += receipt.logs.length;
        counts.traced++;
        counts.types[Number(receipt.type)] = (counts.types[Number(receipt.type)] ?? 0) + 1;
    });
}
for (const type of [0, 1, 2, 3, 4]) assert.ok(counts.types[type] > 0, `transactions of type ${type}`);
assert.ok(counts.failed > 0 && counts.creations > 7 && counts.logs > 0 && counts.simulated > 0);
console.log(`@ethereumjs/vm agrees on ${head} blocks: ${JSON.stringify(counts)}; state root ${bytesToHex(root)}`);
