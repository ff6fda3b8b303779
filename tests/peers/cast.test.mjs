// cast.test.mjs: Foundry's cast, as a user types it, against the node at COHORT_RPC (run.sh): sends, creations, calls, traces, proofs, logs, and what it reads of blocks and accounts.
import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";

const require = createRequire(process.env.COHORT_CLIENTS + "/package.json");
const { ethers } = require("ethers");
const { verifyMerkleProof } = require("@ethereumjs/mpt");
const arch = { x64: "amd64", arm64: "arm64" }[process.arch];
const program = require.resolve(`@foundry-rs/cast-${process.platform}-${arch}/bin/cast`);
const url = "http://" + process.env.COHORT_RPC;
const env = { ...process.env, ETH_RPC_URL: url, FOUNDRY_DISABLE_NIGHTLY_WARNING: "1", HOME: process.env.COHORT_WORK ?? "/nonexistent" };
const token = JSON.parse(readFileSync(new URL("../contracts/artifacts/Token.json", import.meta.url)));
const face = new ethers.Interface(token.abi);
const wallet = ethers.HDNodeWallet.fromMnemonic(ethers.Mnemonic.fromPhrase("test test test test test test test test test test test junk"), "m/44'/60'/0'/0/7");
const me = wallet.address, key = wallet.privateKey;
const to = ethers.getAddress("0x00000000000000000000000000000000000ca500"), other = ethers.getAddress("0x00000000000000000000000000000000000ca501");

// What it prints, without the end of the line.
async function cast(...args) {
    const { stdout } = await promisify(execFile)(program, args.map(String), { env });
    return stdout.trimEnd();
}
const json = async (...args) => JSON.parse(await cast(...args, "--json"));
const send = (...args) => json("send", "--private-key", key, ...args);
const refused = (...args) => cast(...args).then(() => assert.fail(`cast ${args[0]} passed`), (e) => e.stderr);

describe("cast", () => {
    let address, first;
    before(async () => { first = Number(await cast("nonce", me)); });

    it("knows the network", async () => {
        assert.equal(await cast("chain-id"), "31337");
        assert.match(await cast("client"), /^Cohort\//);
        assert.ok(Number(await cast("block-number")) >= 0);
        assert.ok(BigInt(await cast("gas-price")) > 0n && BigInt(await cast("base-fee")) > 0n);
    });

    it("sends every type of transaction that it offers", async () => {
        const before = BigInt(await cast("balance", me));
        let spent = 0n;
        const kinds = [[0, "--legacy"], [1, "--legacy", "--access-list", JSON.stringify([{ address: to, storageKeys: [] }])], [2]];
        for (const [type, ...options] of kinds) {
            const receipt = await send(to, "--value", 1000, ...options);
            assert.equal(receipt.status, "0x1");
            assert.equal(Number(receipt.type), type);
            assert.equal(ethers.getAddress(receipt.from), me);
            spent += BigInt(receipt.gasUsed) * BigInt(receipt.effectiveGasPrice) + 1000n;
            const hash = receipt.transactionHash;
            assert.equal(await cast("receipt", hash, "blockNumber"), String(Number(receipt.blockNumber)));
            const read = await json("tx", hash);
            assert.equal(read.blockHash, receipt.blockHash);
            assert.equal(BigInt(read.value), 1000n);
            assert.equal(ethers.keccak256(await cast("tx", hash, "--raw")), hash);
        }
        assert.equal(await cast("balance", to), "3000");
        assert.equal(BigInt(await cast("balance", me)), before - spent);
        assert.equal(Number(await cast("nonce", me)), first + 3);
        // EIP-7702: its own account, whose authorization is the nonce behind the transaction's.
        const set = await send("--auth", other, to);
        assert.equal(set.type, "0x4");
        assert.equal(await cast("code", me), "0xef0100" + other.slice(2).toLowerCase());
        assert.equal(Number(await cast("nonce", me)), first + 5);
        assert.equal((await send("--auth", ethers.ZeroAddress, to)).status, "0x1");
        assert.equal(await cast("code", me), "0x");
    });

    it("sends blobs, with proofs of its own making (EIP-7594, EIP-4844)", async () => {
        const file = `${env.HOME}/blob`;
        for (const [length, options] of [[100, []], [200_000, ["--eip4844"]]]) {
            writeFileSync(file, Buffer.alloc(length, "Cohort "));
            const receipt = await send(to, "--blob", "--path", file, "--blob-gas-price", 1000, ...options);
            assert.equal(receipt.type, "0x3");
            assert.equal(receipt.status, "0x1");
            assert.equal(Number(receipt.blobGasUsed), 131072 * Math.ceil((length + 32) / 126_000));
            assert.equal(receipt.blobGasPrice, "0x1");
        }
    });

    it("signs, and publishes what was signed", async () => {
        const raw = await cast("mktx", "--private-key", key, to, "--value", 1);
        assert.equal(ethers.Transaction.from(raw).from, me);
        const hash = await cast("publish", "--async", raw);
        assert.equal(hash.replaceAll('"', ""), ethers.keccak256(raw));
        assert.equal(await cast("receipt", ethers.keccak256(raw), "status"), "true");
    });

    it("creates a contract, calls it, estimates, and sees a revert's reason", async () => {
        const nonce = await cast("nonce", me);
        const made = await send("--create", token.bytecode, "constructor(string,string,address,uint256)", "Token", "TKN", me, 1000);
        address = made.contractAddress;
        assert.equal(ethers.getAddress(address), ethers.getCreateAddress({ from: me, nonce: Number(nonce) }));
        const code = await cast("code", address);
        assert.equal(await cast("codehash", address), ethers.keccak256(code));
        assert.equal(await cast("call", address, "balanceOf(address)(uint256)", me), "1000");
        assert.equal(await cast("call", address, "name()(string)"), '"Token"');
        const transfer = ["transfer(address,uint256)", other, 30];
        const gas = BigInt(await cast("estimate", "--from", me, address, ...transfer));
        const receipt = await send(address, ...transfer, "--gas-limit", gas);
        assert.equal(receipt.status, "0x1");
        assert.ok(gas >= BigInt(receipt.gasUsed) && gas < 2n * BigInt(receipt.gasUsed));
        assert.equal(await cast("call", address, "balanceOf(address)(uint256)", me), "970");
        assert.equal(await cast("call", address, "balanceOf(address)(uint256)", me, "--block", Number(receipt.blockNumber) - 1), "1000");
        assert.match(await cast("access-list", "--from", me, address, ...transfer), new RegExp(ethers.getAddress(address)));
        const error = face.encodeErrorResult("ERC20InsufficientBalance", [to, 0n, 5n]);
        assert.match(await refused("call", "--from", to, address, "transfer(address,uint256)", me, 5), new RegExp(error));
        const failed = await send(address, "transfer(address,uint256)", other, 5000, "--gas-limit", 100000).catch((e) => JSON.parse(e.stdout));
        assert.equal(failed.status, "0x0");
    });

    it("finds logs, also while they come", async () => {
        const signature = "Transfer(address,address,uint256)";
        const topic = face.getEvent("Transfer").topicHash;
        const listener = spawn(program, ["logs", "--subscribe", "--address", address, signature, "--rpc-url", url.replace("http", "ws")], { env });
        let heard = "";
        listener.stdout.on("data", (text) => { heard += text; });
        await new Promise((done) => setTimeout(done, 1000));
        const receipt = await send(address, "transfer(address,uint256)", other, 7);
        for (let i = 0; i < 100 && !heard.includes(receipt.transactionHash); i++) await new Promise((done) => setTimeout(done, 50));
        listener.kill("SIGINT");
        assert.ok(heard.includes(receipt.transactionHash), "subscription to logs");
        const logs = await json("logs", "--address", address, signature, "--from-block", 0);
        assert.deepEqual(logs.map((l) => BigInt(l.data)), [1000n, 30n, 7n]);
        assert.ok(logs.every((l) => l.topics[0] === topic));
        assert.equal((await json("logs", "--address", address, "--from-block", Number(receipt.blockNumber), topic, ethers.zeroPadValue(me, 32))).length, 1);
    });

    it("traces", async () => {
        const { transactionHash: hash, gasUsed } = await send(address, "transfer(address,uint256)", other, 1);
        // run executes the block again by itself, out of what the node says of the state before.
        for (const options of [[], ["--quick"]]) {
            const run = await cast("run", hash, ...options);
            assert.match(run, /::transfer\(/);
            assert.match(run, /emit Transfer\(/);
            assert.equal(BigInt(/Gas used: (\d+)/.exec(run)[1]), BigInt(gasUsed));
        }
        const traced = JSON.parse(await cast("rpc", "debug_traceTransaction", hash, '{"tracer":"callTracer"}'));
        assert.equal(traced.gasUsed, gasUsed);
        assert.equal(traced.output, ethers.zeroPadValue("0x01", 32));
        assert.match(await cast("call", "--trace", "--from", me, address, "transfer(address,uint256)", other, 1), /emit Transfer\(/);
    });

    it("proves accounts and slots under the state root", async () => {
        const number = Number(await cast("block-number"));
        const root = await cast("block", number, "-f", "stateRoot");
        const slots = Array.from({ length: 8 }, (_, n) => ethers.keccak256(ethers.AbiCoder.defaultAbiCoder().encode(["address", "uint256"], [me, n])));
        const proof = JSON.parse(await cast("proof", address, ...slots, "--block", number));
        const octets = (hex) => ethers.getBytes(hex);
        const leaf = await verifyMerkleProof(octets(ethers.keccak256(address)), proof.accountProof.map(octets), { root: octets(root) });
        assert.equal(ethers.hexlify(leaf), ethers.encodeRlp([ethers.toBeHex(proof.nonce), "0x", proof.storageHash, proof.codeHash]));
        assert.equal(await cast("storage-root", address, "--block", number), proof.storageHash);
        const there = proof.storageProof.filter((s) => BigInt(s.value) !== 0n);
        assert.deepEqual(there.map((s) => BigInt(s.value)), [962n]);
        const slot = slots.find((s) => BigInt(s) === BigInt(there[0].key));
        assert.equal(BigInt(await cast("storage", address, slot)), 962n);
        const value = await verifyMerkleProof(octets(ethers.keccak256(slot)), there[0].proof.map(octets), { root: octets(proof.storageHash) });
        assert.equal(ethers.hexlify(value), ethers.encodeRlp(ethers.toBeHex(962n)));
    });

    it("reads blocks by tag, number and hash", async () => {
        const latest = await json("block", "latest");
        assert.equal((await json("block", latest.hash)).number, latest.number);
        assert.equal(await cast("block", Number(latest.number), "-f", "hash"), latest.hash);
        for (const tag of ["safe", "finalized"]) assert.ok(Number(await cast("block", tag, "-f", "number")) >= Number(latest.number));
        assert.equal(await cast("block", "earliest", "-f", "number"), "0");
        assert.equal(await cast("find-block", Number(latest.timestamp) + 100), String(Number(await cast("block-number"))));
        assert.match(await cast("tx-pool", "status"), /pending/);
    });
});
