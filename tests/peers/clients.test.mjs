// clients.test.mjs: ethers, viem and web3.js, each with accounts of its own, against the node at COHORT_RPC (run.sh).
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, describe, it } from "node:test";
import * as blob from "./blob.mjs";

const require = createRequire(process.env.COHORT_CLIENTS + "/package.json");
const { ethers } = require("ethers");
const viem = require("viem");
const { privateKeyToAccount } = require("viem/accounts");
const { Web3 } = require("web3");
const { verifyMerkleProof } = require("@ethereumjs/mpt");

const url = "http://" + process.env.COHORT_RPC;
const wsUrl = "ws://" + process.env.COHORT_RPC;
const token = JSON.parse(readFileSync(new URL("../contracts/artifacts/Token.json", import.meta.url)));
const mnemonic = ethers.Mnemonic.fromPhrase("test test test test test test test test test test test junk");
const wallet = (i) => ethers.HDNodeWallet.fromMnemonic(mnemonic, `m/44'/60'/0'/0/${i}`);
const keys = Array.from({ length: 10 }, (_, i) => wallet(i).privateKey);
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

async function until(what, test) {
    for (let i = 0; i < 200; i++) {
        const got = await test();
        if (got) return got;
        await sleep(50);
    }
    assert.fail(`nothing came of: ${what}`);
}

async function call(body, headers = {}, path = "/") {
    const response = await fetch(url + path, {
        method: "POST", headers: { "content-type": "application/json", ...headers },
        body: typeof body === "string" ? body : JSON.stringify(body),
    });
    const text = await response.text();
    return { status: response.status, headers: response.headers, json: text.startsWith("{") || text.startsWith("[") ? JSON.parse(text) : null, text };
}
const rpc = async (method, ...params) => (await call({ jsonrpc: "2.0", id: 1, method, params })).json;

const sidecar = (cells) => ({ data: blob.data, commitment: blob.commitment, proof: cells ? blob.cellProofs : blob.proof });
// Counts in its first slot how often it is called: PUSH0 SLOAD PUSH1 1 ADD PUSH0 SSTORE STOP, behind what deploys it.
const token0 = "0x00000000000000000000000000000000000070c0"; // nothing is there
const counter = "0x67" + "5f546001015f5500" + "5f5260086018f3";

describe("ethers", () => {
    let http, ws, me, other;
    before(() => {
        // Without its cache: what it asked while a transaction waited would be its answer after the receipt, for 250 ms.
        http = new ethers.JsonRpcProvider(url, undefined, { pollingInterval: 50, cacheTimeout: -1 });
        ws = new ethers.WebSocketProvider(wsUrl);
        me = wallet(0).connect(http);
        other = wallet(1).connect(http);
    });
    after(async () => {
        http.destroy();
        await ws.destroy();
    });

    it("knows the network", async () => {
        assert.equal((await http.getNetwork()).chainId, 31337n);
        assert.equal((await ws.getNetwork()).chainId, 31337n);
        assert.match(await http.send("web3_clientVersion", []), /^Cohort\//);
    });

    it("sends every type of transaction and reads them back", async () => {
        const fee = await http.getFeeData();
        const to = ethers.Wallet.createRandom().address;
        const price = { gasPrice: fee.gasPrice * 2n };
        const kinds = [
            { type: 0, ...price },
            { type: 1, ...price, accessList: [{ address: to, storageKeys: [ethers.zeroPadValue("0x07", 32)] }] },
            { type: 2, maxFeePerGas: fee.maxFeePerGas, maxPriorityFeePerGas: 1_000_000n },
        ];
        let spent = 0n;
        const before = await http.getBalance(me.address);
        for (const kind of kinds) {
            const sent = await me.sendTransaction({ to, value: 1000n, gasLimit: 60_000n, ...kind });
            const receipt = await sent.wait();
            assert.equal(receipt.status, 1);
            assert.equal(receipt.type, kind.type);
            assert.equal(receipt.from, me.address);
            assert.equal(receipt.to, to);
            spent += receipt.gasUsed * receipt.gasPrice + 1000n;
            const read = await http.getTransaction(sent.hash);
            assert.equal(read.blockNumber, receipt.blockNumber);
            assert.equal(read.nonce, sent.nonce);
            assert.equal(read.signature.serialized, sent.signature.serialized);
            // The raw form hashes to the same, so every field is the sender's.
            assert.equal(ethers.keccak256(await http.send("debug_getRawTransaction", [sent.hash])), sent.hash);
            const block = await http.getBlock(receipt.blockNumber, true);
            assert.equal(block.hash, receipt.blockHash);
            assert.equal(block.prefetchedTransactions[receipt.index].hash, sent.hash);
            assert.equal((await http.getBlock(receipt.blockHash)).number, receipt.blockNumber);
        }
        assert.equal(await http.getBalance(to), 3000n);
        assert.equal(await http.getBalance(me.address), before - spent);
        assert.equal(await http.getTransactionCount(me.address), 3);
    });

    it("sends blobs, with proofs of both kinds (EIP-4844, EIP-7594)", async () => {
        const to = ethers.Wallet.createRandom().address;
        for (const [cells, cnt] of [[false, 3], [true, 1], [true, 6]]) {
            const blobs = Array(cnt).fill(sidecar(cells));
            const fields = { type: 3, to, value: 7n, gasLimit: 21_000n, maxFeePerBlobGas: 10n, blobs, ...(cells ? { blobWrapperVersion: 1 } : {}) };
            const before = await http.getBalance(me.address);
            const sent = await me.sendTransaction(fields);
            const receipt = await sent.wait();
            assert.equal(receipt.status, 1);
            assert.equal(receipt.type, 3);
            assert.equal(receipt.blobGasUsed, 131072n * BigInt(cnt));
            assert.equal(receipt.blobGasPrice, 1n);
            assert.equal(await http.getBalance(me.address), before - 7n - receipt.gasUsed * receipt.gasPrice - receipt.blobGasUsed * receipt.blobGasPrice);
            const read = await http.getTransaction(sent.hash);
            assert.deepEqual(read.blobVersionedHashes, Array(cnt).fill(blob.hash));
            assert.equal(read.maxFeePerBlobGas, 10n);
            // What is kept is the transaction alone, and hashes to what it is known by.
            assert.equal(ethers.keccak256(await http.send("debug_getRawTransaction", [sent.hash])), sent.hash);
            const block = await http.getBlock(receipt.blockNumber);
            assert.equal(block.blobGasUsed, receipt.blobGasUsed);
            assert.equal(block.excessBlobGas, 0n);
        }
        assert.equal(await http.send("eth_blobBaseFee", []), "0x1");
        assert.equal(await http.getBalance(to), 21n);
    });

    it("is told what is wrong with blobs", async () => {
        const blobs = [sidecar(false)];
        const fields = { type: 3, to: other.address, gasLimit: 21_000n, maxFeePerBlobGas: 10n };
        const refused = async (tx, text) => assert.rejects(me.sendTransaction({ ...fields, ...tx }), text);
        await refused({ blobs: [{ ...blobs[0], proof: blob.commitment }] }, /can't verify/);
        await refused({ blobs: [{ ...blobs[0], data: blob.data.slice(0, -1) + "1" }] }, /can't verify/);
        await refused({ blobs, maxFeePerBlobGas: 0n }, /max fee per blob gas/);
        // The transaction alone is refused, as geth does.
        const tx = ethers.Transaction.from({ ...fields, chainId: 31337, nonce: await me.getNonce(), maxFeePerGas: 10n ** 10n, maxPriorityFeePerGas: 1n, blobs });
        tx.signature = me.signingKey.sign(tx.unsignedHash);
        const bare = tx.clone();
        bare.blobs = null;
        await assert.rejects(http.send("eth_sendRawTransaction", [bare.serialized]), /missing sidecar/);
        // One that waits for its nonce is in the pool without its blobs; to replace it takes twice as much.
        const waiting = (more) => me.signTransaction({ ...fields, chainId: 31337, nonce: tx.nonce + 1, maxFeePerGas: 10n ** 10n, maxPriorityFeePerGas: 2n, blobs, ...more });
        const hash = await http.send("eth_sendRawTransaction", [await waiting()]);
        const { [tx.nonce + 1]: queued } = (await http.send("txpool_content", [])).queued[me.address];
        assert.equal(queued.hash, hash);
        assert.deepEqual(queued.blobVersionedHashes, [blob.hash]);
        assert.equal(queued.maxFeePerBlobGas, "0xa");
        assert.equal(ethers.keccak256(await http.send("eth_getRawTransactionByHash", [hash])), hash);
        const double = { maxFeePerGas: 2n * 10n ** 10n, maxPriorityFeePerGas: 4n, maxFeePerBlobGas: 20n };
        await assert.rejects(http.send("eth_sendRawTransaction", [await waiting({ ...double, maxFeePerBlobGas: 19n })]), /underpriced/);
        const better = await http.send("eth_sendRawTransaction", [await waiting(double)]);
        await http.send("eth_sendRawTransaction", [tx.serialized]);
        assert.equal((await http.waitForTransaction(better, 1, 10_000)).status, 1);
        assert.equal(await http.getTransaction(hash), null);
    });

    it("delegates accounts to code (EIP-7702), whose nonces move", async () => {
        const made = await (await me.sendTransaction({ data: counter, gasLimit: 100_000n })).wait();
        const eoa = ethers.Wallet.createRandom().connect(http);
        const slot = async () => BigInt(await http.getStorage(eoa.address, 0));
        await (await me.sendTransaction({ to: eoa.address, value: 10n ** 17n })).wait();
        // Sent before its turn: the authorization will be nonce 0.
        const early = await eoa.signTransaction({ type: 2, chainId: 31337, nonce: 1, to: me.address, value: 5n, gasLimit: 21_000n, maxFeePerGas: 10n ** 10n, maxPriorityFeePerGas: 1n });
        const hash = await http.send("eth_sendRawTransaction", [early]);
        assert.equal((await http.send("txpool_content", [])).queued[eoa.address]["1"].hash, hash);
        const authorizationList = [await eoa.authorize({ address: made.contractAddress, nonce: 0 }), await other.authorize({ address: made.contractAddress, nonce: 77 })];
        const sent = await me.sendTransaction({ type: 4, to: eoa.address, authorizationList, gasLimit: 200_000n });
        const receipt = await sent.wait();
        assert.equal(receipt.type, 4);
        assert.equal(receipt.status, 1);
        assert.equal(await http.getCode(eoa.address), "0xef0100" + made.contractAddress.slice(2).toLowerCase());
        assert.equal(await http.getCode(other.address), "0x"); // its nonce was not 77
        assert.equal(await slot(), 1n);
        const read = await http.getTransaction(sent.hash);
        assert.deepEqual(read.authorizationList.map((a) => [a.address, a.nonce, a.chainId]), [[made.contractAddress, 0n, 31337n], [made.contractAddress, 77n, 31337n]]);
        assert.equal(ethers.keccak256(await http.send("debug_getRawTransaction", [sent.hash])), sent.hash);
        // The one that waited follows without being asked for.
        assert.equal((await http.waitForTransaction(hash, 1, 10_000)).status, 1);
        assert.equal(await http.getTransactionCount(eoa.address), 2);
        // It goes on sending; its own authorization is the nonce after the transaction that brings it.
        const none = await eoa.authorize({ address: ethers.ZeroAddress, nonce: 3 });
        assert.equal((await (await eoa.sendTransaction({ type: 4, to: me.address, authorizationList: [none], gasLimit: 100_000n })).wait()).status, 1);
        assert.equal(await http.getCode(eoa.address), "0x");
        assert.equal(await http.getTransactionCount(eoa.address), 4);
        const last = await eoa.sendTransaction({ to: me.address, value: 1n });
        assert.equal(last.nonce, 4);
        assert.equal((await last.wait()).status, 1);
    });

    it("drops what an authorization has overtaken, and goes on with what is behind it", async () => {
        const eoa = ethers.Wallet.createRandom().connect(http);
        await (await me.sendTransaction({ to: eoa.address, value: 10n ** 17n })).wait();
        const transfer = (nonce, value) => eoa.signTransaction({ type: 2, chainId: 31337, nonce, to: other.address, value, gasLimit: 21_000n, maxFeePerGas: 10n ** 10n, maxPriorityFeePerGas: 1n });
        // In one request, so in one block or in this order: the authorization first, which takes nonce 0. Whose it is has one transaction at a time, as with geth.
        const set = await me.signTransaction({ type: 4, chainId: 31337, nonce: await me.getNonce(), to: me.address, gasLimit: 100_000n, maxFeePerGas: 10n ** 10n, maxPriorityFeePerGas: 1n, authorizationList: [await eoa.authorize({ address: token0, nonce: 0 })] });
        const raws = [set, await transfer(0, 1n), await transfer(1, 2n)];
        const before = await http.getBalance(other.address);
        const { json } = await call(raws.map((raw, id) => ({ jsonrpc: "2.0", id, method: "eth_sendRawTransaction", params: [raw] })));
        assert.deepEqual(json.slice(0, 2).map((a) => a.result), raws.slice(0, 2).map((raw) => ethers.keccak256(raw)));
        assert.deepEqual(json[2].error, { code: -32000, message: "in-flight transaction limit reached for delegated accounts" });
        await http.waitForTransaction(ethers.keccak256(set), 1, 10_000);
        await until("the transfer with nonce 0 is dropped", async () => await http.getTransaction(ethers.keccak256(raws[1])) === null);
        assert.equal(await http.getTransactionReceipt(ethers.keccak256(raws[1])), null);
        await assert.rejects(http.send("eth_sendRawTransaction", [await transfer(2, 4n)]), /gapped-nonce tx from delegated accounts/);
        for (const raw of [raws[2], await transfer(2, 4n)]) {
            await http.send("eth_sendRawTransaction", [raw]);
            assert.equal((await http.waitForTransaction(ethers.keccak256(raw), 1, 10_000)).status, 1);
        }
        assert.equal(await http.getTransactionCount(eoa.address), 3);
        assert.equal(await http.getBalance(other.address), before + 6n);
    });

    it("deploys a contract, and finds its events by filter and by subscription", async () => {
        const factory = new ethers.ContractFactory(token.abi, token.bytecode, me);
        const contract = await factory.deploy("Token", "TKN", me.address, 1_000_000n, { gasLimit: 3_000_000n });
        const made = await contract.deploymentTransaction().wait();
        const address = await contract.getAddress();
        assert.equal(made.contractAddress, address);
        assert.equal(made.to, null);
        assert.equal(await http.getCode(address) === "0x", false);
        assert.equal(made.logs.length, 1);

        const heard = [];
        const heads = [];
        const live = new ethers.Contract(address, token.abi, ws);
        await live.on("Transfer", (from, to, value, event) => heard.push([from, to, value, event.log.logIndex]));
        await ws.on("block", (number) => heads.push(number));
        await ws.send("eth_chainId", []); // behind the subscriptions
        await sleep(200);
        const filter = await http.send("eth_newFilter", [{ address, topics: [contract.interface.getEvent("Transfer").topicHash] }]);
        const blocks = await http.send("eth_newBlockFilter", []);

        const receipts = [];
        for (const value of [5n, 6n, 7n]) {
            receipts.push(await (await contract.transfer(other.address, value, { gasLimit: 100_000n })).wait());
        }
        await until("subscription to logs", () => heard.length === 3);
        assert.deepEqual(heard.map((h) => h.slice(0, 3)), [5n, 6n, 7n].map((v) => [me.address, other.address, v]));
        await until("subscription to heads", () => heads.includes(receipts[2].blockNumber));

        const polled = await http.send("eth_getFilterChanges", [filter]);
        assert.deepEqual(polled.map((l) => l.transactionHash), receipts.map((r) => r.hash));
        assert.deepEqual(await http.send("eth_getFilterChanges", [filter]), []);
        assert.equal((await http.send("eth_getFilterLogs", [filter])).length, 3);
        assert.equal((await http.send("eth_getFilterChanges", [blocks])).includes(receipts[0].blockHash), true);
        assert.equal(await http.send("eth_uninstallFilter", [filter]), true);
        assert.equal(await http.send("eth_uninstallFilter", [filter]), false);

        const past = await contract.queryFilter(contract.filters.Transfer(null, other.address), made.blockNumber, "latest");
        assert.deepEqual(past.map((e) => e.args.value), [5n, 6n, 7n]);
        const one = await http.getLogs({ blockHash: receipts[1].blockHash, address });
        assert.equal(one.length, 1);
        assert.deepEqual(await http.send("eth_getBlockReceipts", [ethers.toQuantity(receipts[0].blockNumber)]),
            [await http.send("eth_getTransactionReceipt", [receipts[0].hash])]);
        // balances: slot 0 of the contract is a mapping or not, but the holder's balance is in some slot: the sum was told by events.
        assert.equal(past.reduce((sum, e) => sum + e.args.value, 0n), 18n);
        await live.removeAllListeners();
        await ws.removeAllListeners();
    });

    it("sees a failed call in the receipt", async () => {
        const contract = new ethers.ContractFactory(token.abi, token.bytecode, other);
        const deployed = await contract.deploy("T", "T", me.address, 1n, { gasLimit: 3_000_000n });
        await deployed.waitForDeployment();
        const sent = await deployed.transfer(me.address, 5n, { gasLimit: 100_000n });
        await assert.rejects(sent.wait(), { code: "CALL_EXCEPTION" });
        assert.equal((await http.getTransactionReceipt(sent.hash)).status, 0);
    });

    it("calls, estimates, and reads earlier blocks", async () => {
        const contract = await new ethers.ContractFactory(token.abi, token.bytecode, me).deploy("Token", "TKN", me.address, 1000n); // its gas is estimated
        await contract.waitForDeployment();
        const address = await contract.getAddress();
        assert.equal(await contract.balanceOf(me.address), 1000n);
        assert.equal(await contract.name(), "Token");
        const receipt = await (await contract.transfer(other.address, 30n)).wait();
        const blockTag = receipt.blockNumber - 1;
        assert.equal(await contract.balanceOf(me.address), 970n);
        assert.equal(await contract.balanceOf(me.address, { blockTag }), 1000n);
        assert.equal(await contract.balanceOf(other.address, { blockTag }), 0n);
        assert.equal(await http.getTransactionCount(me.address, blockTag), (await http.getTransaction(receipt.hash)).nonce);
        assert.equal(await http.getCode(address, 0), "0x");

        // What fails says how: in the error's data there is the contract's own error.
        const failing = contract.connect(other).transfer.staticCall(me.address, 31n);
        await assert.rejects(failing, (e) => e.code === "CALL_EXCEPTION" && e.revert.name === "ERC20InsufficientBalance" && e.revert.args[2] === 31n);
        await assert.rejects(contract.connect(other).transfer.estimateGas(me.address, 31n), { code: "CALL_EXCEPTION" });
        const gas = await contract.transfer.estimateGas(other.address, 1n);
        const used = await (await contract.transfer(other.address, 1n, { gasLimit: gas })).wait();
        assert.equal(used.status, 1);
        assert.ok(gas >= used.gasUsed && gas < used.gasUsed * 2n);
        assert.equal(await http.estimateGas({ from: me.address, to: other.address, value: 1n }), 21_000n);

        // Other code in its place answers, and sees another block.
        const call = { to: address, data: contract.interface.encodeFunctionData("totalSupply") };
        assert.equal(BigInt(await http.send("eth_call", [call, "latest", { [address]: { code: "0x60075f5260205ff3" } }])), 7n);
        assert.equal(BigInt(await http.send("eth_call", [{ to: address }, "latest", { [address]: { code: "0x435f5260205ff3" } }, { number: "0x1234" }])), 0x1234n);

        const transfer = { from: me.address, to: address, data: contract.interface.encodeFunctionData("transfer", [other.address, 2n]) };
        const { accessList, gasUsed } = await http.send("eth_createAccessList", [transfer, "latest"]);
        assert.equal(accessList.find((entry) => ethers.getAddress(entry.address) === address).storageKeys.length, 2);
        assert.ok(BigInt(gasUsed) > 21_000n);

        const traced = await http.send("debug_traceTransaction", [used.hash, { tracer: "callTracer", tracerConfig: { withLog: true } }]);
        assert.equal(BigInt(traced.gasUsed), used.gasUsed);
        assert.deepEqual([...contract.interface.parseTransaction({ data: traced.input }).args], [other.address, 1n]);
        assert.deepEqual([...contract.interface.decodeFunctionResult("transfer", traced.output)], [true]);
        assert.deepEqual(traced.logs.map((log) => contract.interface.parseLog(log).args.value ?? contract.interface.parseLog(log).args[2]), [1n]);
        const steps = await http.send("debug_traceTransaction", [used.hash]);
        assert.equal(BigInt(steps.gas), used.gasUsed);
        assert.equal(steps.structLogs.at(-1).op, "RETURN");
        const state = await http.send("debug_traceTransaction", [used.hash, { tracer: "prestateTracer" }]);
        assert.equal(Object.keys(state[address.toLowerCase()].storage).length, 2);
        assert.equal(BigInt((await http.send("debug_traceCall", [transfer, "latest", { tracer: "callTracer" }])).output), 1n);
    });

    it("recognises what is wrong with a transaction", async () => {
        const poor = ethers.Wallet.createRandom().connect(http);
        const fields = { to: me.address, gasLimit: 21_000n, gasPrice: 10n ** 10n, type: 0 };
        await assert.rejects(poor.sendTransaction({ ...fields, value: 1n }), { code: "INSUFFICIENT_FUNDS" });
        await assert.rejects(me.sendTransaction({ ...fields, nonce: 0 }), { code: "NONCE_EXPIRED" });
        const raw = await other.signTransaction({ ...fields, nonce: 100, chainId: 31337 });
        await http.send("eth_sendRawTransaction", [raw]);
        await assert.rejects(http.send("eth_sendRawTransaction", [raw]), /already known/);
        assert.equal(await http.getTransactionReceipt(ethers.keccak256(raw)), null);
        assert.equal((await http.getTransaction(ethers.keccak256(raw))).blockNumber, null);
        const pool = await http.send("txpool_content", []);
        assert.equal(pool.queued[other.address]["100"].hash, ethers.keccak256(raw));
        assert.deepEqual(await http.send("txpool_status", []), { pending: "0x0", queued: "0x1" });
    });
});

describe("viem", () => {
    const chain = viem.defineChain({ id: 31337, name: "cohort", nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 }, rpcUrls: { default: { http: [url] } } });
    const account = privateKeyToAccount(keys[2]);
    const http = viem.createPublicClient({ chain, transport: viem.http(url, { batch: true }), pollingInterval: 50 });
    const signer = viem.createWalletClient({ account, chain, transport: viem.http(url) });
    let ws;
    before(() => { ws = viem.createPublicClient({ chain, transport: viem.webSocket(wsUrl) }); });
    after(async () => (await ws.transport.getRpcClient()).close());

    it("transfers, in a batch", async () => {
        const to = viem.getAddress("0x00000000000000000000000000000000000beef0");
        const hashes = [];
        for (let i = 0; i < 3; i++) {
            hashes.push(await signer.sendTransaction({ to, value: 5n, gas: 21_000n }));
        }
        const receipts = await Promise.all(hashes.map((hash) => http.waitForTransactionReceipt({ hash })));
        assert.deepEqual(receipts.map((r) => r.status), ["success", "success", "success"]);
        assert.equal(await http.getBalance({ address: to }), 15n);
        assert.equal(await http.getTransactionCount({ address: account.address, blockTag: "pending" }), 3);
        const history = await http.getFeeHistory({ blockCount: 3, rewardPercentiles: [10, 90] });
        assert.equal(history.baseFeePerGas.length, history.gasUsedRatio.length + 1);
        assert.equal(history.reward.length, history.gasUsedRatio.length);
    });

    it("has a transaction filled in (eth_fillTransaction), and sends it", async () => {
        const to = viem.getAddress("0x00000000000000000000000000000000000beef9");
        const { raw, transaction } = await http.fillTransaction({ account: account.address, to, value: 6n });
        assert.equal(transaction.type, "eip1559");
        assert.equal(transaction.gas, 21_000n);
        assert.equal(transaction.nonce, await http.getTransactionCount({ address: account.address, blockTag: "pending" }));
        assert.equal(viem.parseTransaction(raw).value, 6n);
        const { type, gas, nonce, value, maxFeePerGas, maxPriorityFeePerGas, chainId } = transaction;
        const hash = await http.sendRawTransaction({ serializedTransaction: await account.signTransaction({ type, to, gas, nonce, value, maxFeePerGas, maxPriorityFeePerGas, chainId: Number(chainId) }) });
        assert.equal((await http.waitForTransactionReceipt({ hash })).status, "success");
        assert.equal(await http.getBalance({ address: to }), 6n);
    });

    it("sends the other types of transaction", async () => {
        const to = viem.getAddress("0x00000000000000000000000000000000000beef1");
        const gasPrice = 2n * (await http.getGasPrice());
        const accessList = [{ address: to, storageKeys: [viem.pad("0x07", { size: 32 })] }];
        for (const [type, fields] of [["legacy", { gasPrice }], ["eip2930", { gasPrice, accessList }], ["eip1559", { maxFeePerGas: gasPrice, maxPriorityFeePerGas: 1n, accessList }]]) {
            const hash = await signer.sendTransaction({ type, to, value: 4n, gas: 60_000n, ...fields });
            assert.equal((await http.waitForTransactionReceipt({ hash })).type, type);
            const tx = await http.getTransaction({ hash });
            assert.equal(tx.type, type);
            if (type !== "legacy") assert.deepEqual(tx.accessList.map((e) => viem.getAddress(e.address)), [to]);
        }
        assert.equal(await http.getBalance({ address: to }), 12n);
    });

    it("reads events by a filter, estimates, and decodes a trace", async () => {
        const deployed = await signer.deployContract({ abi: token.abi, bytecode: token.bytecode, args: ["Token", "TKN", account.address, 100n] });
        const { contractAddress: address } = await http.waitForTransactionReceipt({ hash: deployed });
        const to = viem.getAddress("0x00000000000000000000000000000000000beef2");
        const filter = await http.createContractEventFilter({ address, abi: token.abi, eventName: "Transfer", args: { to } });
        const gas = await http.estimateContractGas({ account, address, abi: token.abi, functionName: "transfer", args: [to, 8n] });
        const hash = await signer.writeContract({ address, abi: token.abi, functionName: "transfer", args: [to, 8n], gas });
        const receipt = await http.waitForTransactionReceipt({ hash });
        assert.equal(receipt.status, "success");
        assert.deepEqual((await http.getFilterChanges({ filter })).map((log) => [log.args.to, log.transactionHash]), [[to, hash]]);
        assert.deepEqual(await http.getFilterChanges({ filter }), []);
        assert.equal(await http.uninstallFilter({ filter }), true);
        const trace = await http.request({ method: "debug_traceTransaction", params: [hash, { tracer: "callTracer" }] });
        assert.deepEqual(viem.decodeFunctionData({ abi: token.abi, data: trace.input }), { functionName: "transfer", args: [to, 8n] });
        assert.equal(viem.decodeFunctionResult({ abi: token.abi, functionName: "transfer", data: trace.output }), true);
        assert.equal(BigInt(trace.gasUsed), receipt.gasUsed);
    });

    it("simulates blocks (eth_simulateV1)", async () => {
        const rich = viem.getAddress("0x00000000000000000000000000000000000beef3"), heir = viem.getAddress("0x00000000000000000000000000000000000beef4");
        const blocks = await http.simulateBlocks({
            traceTransfers: true,
            blocks: [
                { stateOverrides: [{ address: rich, balance: 1000n }], calls: [{ account: rich, to: heir, value: 600n }] },
                { blockOverrides: { gasLimit: 5_000_000n }, calls: [{ account: heir, to: rich, value: 600n }, { account: rich, data: "0x435f5260205ff3" }] },
            ],
        });
        assert.deepEqual(blocks.map((block) => block.calls.map((c) => c.status)), [["success"], ["success", "success"]]);
        assert.equal(blocks[1].parentHash, blocks[0].hash);
        assert.equal(blocks[1].gasLimit, 5_000_000n);
        assert.equal(blocks[0].calls[0].logs.length, 1);
        assert.equal(BigInt(blocks[0].calls[0].logs[0].data), 600n);
        assert.equal(BigInt(blocks.at(-1).calls[1].data), blocks.at(-1).number); // what the init code returns: NUMBER
        await assert.rejects(http.simulateBlocks({ blocks: [{ calls: [{ account: heir, to: rich, value: 1n }] }] }), /insufficient funds/);
    });

    it("delegates its code (EIP-7702), and takes it back", async () => {
        for (const contractAddress of ["0x000000000000000000000000000000000000dEaD", viem.zeroAddress]) {
            const before = await http.getTransactionCount({ address: account.address });
            const authorization = await signer.signAuthorization({ contractAddress, executor: "self" });
            const hash = await signer.sendTransaction({ authorizationList: [authorization], to: account.address, gas: 100_000n });
            const receipt = await http.waitForTransactionReceipt({ hash });
            assert.equal(receipt.type, "eip7702");
            assert.equal(receipt.status, "success");
            const code = await http.getCode({ address: account.address });
            assert.equal(code, contractAddress === viem.zeroAddress ? undefined : "0xef0100" + contractAddress.slice(2).toLowerCase());
            assert.equal(await http.getTransactionCount({ address: account.address }), before + 2);
            const tx = await http.getTransaction({ hash });
            assert.deepEqual(tx.authorizationList.map((a) => [viem.getAddress(a.address), a.nonce]), [[viem.getAddress(contractAddress), before + 1]]);
        }
    });

    it("sends blobs (EIP-4844)", async () => {
        const kzg = { blobToKzgCommitment: () => viem.hexToBytes(blob.commitment), computeBlobKzgProof: () => viem.hexToBytes(blob.proof) };
        const blobs = [blob.data, blob.data];
        const hash = await signer.sendTransaction({ blobs, kzg, maxFeePerBlobGas: viem.parseGwei("1"), to: account.address, gas: 21_000n });
        const receipt = await http.waitForTransactionReceipt({ hash });
        assert.equal(receipt.type, "eip4844");
        assert.equal(receipt.status, "success");
        assert.equal(receipt.blobGasUsed, 262144n);
        assert.deepEqual((await http.getTransaction({ hash })).blobVersionedHashes, [blob.hash, blob.hash]);
        assert.equal(await http.getBlobBaseFee(), 1n);
    });

    it("deploys, and watches events over WebSocket", async () => {
        const hash = await signer.deployContract({ abi: token.abi, bytecode: token.bytecode, args: ["Token", "TKN", account.address, 100n], gas: 3_000_000n });
        const { contractAddress: address } = await http.waitForTransactionReceipt({ hash });
        const heard = [];
        const blocks = [];
        const pending = [];
        const stop = [
            ws.watchContractEvent({ address, abi: token.abi, eventName: "Transfer", onLogs: (logs) => heard.push(...logs) }),
            ws.watchBlocks({ onBlock: (block) => blocks.push(block.hash) }),
            ws.watchPendingTransactions({ onTransactions: (hashes) => pending.push(...hashes) }),
        ];
        await sleep(300);
        const to = "0x0000000000000000000000000000000000000001";
        const data = viem.encodeFunctionData({ abi: token.abi, functionName: "transfer", args: [to, 9n] });
        const sent = await signer.sendTransaction({ to: address, data, gas: 100_000n });
        const receipt = await http.waitForTransactionReceipt({ hash: sent });
        await until("events, blocks and pending transactions", () =>
            heard.length === 1 && blocks.includes(receipt.blockHash) && pending.includes(sent));
        assert.equal(heard[0].args.value, 9n);
        assert.equal(heard[0].transactionHash, sent);
        stop.forEach((s) => s());
        const logs = await http.getContractEvents({ address, abi: token.abi, eventName: "Transfer", fromBlock: 0n });
        assert.deepEqual(logs.map((l) => l.args.value), [100n, 9n]);
    });

    it("simulates what it writes, and reads what a contract says", async () => {
        const hash = await signer.deployContract({ abi: token.abi, bytecode: token.bytecode, args: ["Token", "TKN", account.address, 100n] });
        const { contractAddress: address } = await http.waitForTransactionReceipt({ hash });
        const to = "0x0000000000000000000000000000000000000001";
        assert.equal(await http.readContract({ address, abi: token.abi, functionName: "balanceOf", args: [account.address] }), 100n);
        const { request, result } = await http.simulateContract({ account, address, abi: token.abi, functionName: "transfer", args: [to, 1n] });
        assert.equal(result, true);
        assert.equal((await http.waitForTransactionReceipt({ hash: await signer.writeContract(request) })).status, "success");
        await assert.rejects(http.simulateContract({ account, address, abi: token.abi, functionName: "transfer", args: [to, 1000n] }),
            (e) => e.walk((cause) => cause instanceof viem.ContractFunctionRevertedError).data.errorName === "ERC20InsufficientBalance");
    });

    it("gets its receipt with the submission (EIP-7966)", async () => {
        const request = await signer.prepareTransactionRequest({ to: account.address, value: 1n, gas: 21_000n });
        const raw = await signer.signTransaction(request);
        const { result } = await rpc("eth_sendRawTransactionSync", raw);
        assert.equal(result.transactionHash, viem.keccak256(raw));
        assert.equal(result.status, "0x1");
    });
});

describe("web3.js", () => {
    let http, ws, me;
    before(() => {
        http = new Web3(url);
        ws = new Web3(wsUrl);
        me = http.eth.accounts.wallet.add(keys[4])[0].address;
        http.eth.transactionPollingInterval = 50;
    });
    after(() => ws.provider.disconnect());

    it("transfers", async () => {
        const to = "0x000000000000000000000000000000000000bEEF";
        const receipt = await http.eth.sendTransaction({ from: me, to, value: 77n, gas: 21_000n });
        assert.equal(receipt.status, 1n);
        assert.equal(await http.eth.getBalance(to), 77n);
    });

    it("deploys, subscribes and reads past events", async () => {
        const contract = new http.eth.Contract(token.abi);
        contract.transactionPollingInterval = 50;
        const fees = { from: me, gas: "3000000", gasPrice: String((await http.eth.getGasPrice()) * 2n) };
        const deployed = await contract.deploy({ data: token.bytecode, arguments: ["Token", "TKN", me, 50n] }).send(fees);
        deployed.transactionPollingInterval = 50;
        const address = deployed.options.address;
        const heard = [];
        const subscription = await ws.eth.subscribe("logs", { address });
        subscription.on("data", (log) => heard.push(log));
        const receipt = await deployed.methods.transfer("0x0000000000000000000000000000000000000002", 3n).send(fees);
        assert.equal(receipt.events.Transfer.returnValues.value, 3n);
        await until("subscription to logs", () => heard.length === 1);
        assert.equal(heard[0].transactionHash, receipt.transactionHash);
        await subscription.unsubscribe();
        const past = await deployed.getPastEvents("Transfer", { fromBlock: 0, toBlock: "latest" });
        assert.deepEqual(past.map((e) => e.returnValues.value), [50n, 3n]);
    });

    it("sends every type of transaction", async () => {
        const to = "0x000000000000000000000000000000000000bee5", gasPrice = (await http.eth.getGasPrice()) * 2n;
        const accessList = [{ address: to, storageKeys: [ethers.zeroPadValue("0x07", 32)] }];
        const before = await http.eth.getTransactionCount(me);
        for (const fields of [{ type: 0, gasPrice }, { type: 1, gasPrice, accessList }, { type: 2, maxFeePerGas: gasPrice, maxPriorityFeePerGas: 1n, accessList }]) {
            const receipt = await http.eth.sendTransaction({ from: me, to, value: 2n, gas: 60_000n, ...fields });
            assert.equal(receipt.status, 1n);
            assert.equal(receipt.type, BigInt(fields.type));
            assert.equal((await http.eth.getTransaction(receipt.transactionHash)).type, BigInt(fields.type));
        }
        assert.equal(await http.eth.getBalance(to), 6n);
        assert.equal(await http.eth.getTransactionCount(me), before + 3n);
    });

    it("hears a contract's events, filters, estimates, sees a revert's reason, decodes a trace", async () => {
        const contract = new http.eth.Contract(token.abi);
        contract.transactionPollingInterval = 50;
        const fees = { from: me, gasPrice: String((await http.eth.getGasPrice()) * 2n) };
        const deployed = await contract.deploy({ data: token.bytecode, arguments: ["Token", "TKN", me, 50n] }).send({ ...fees, gas: "3000000" });
        deployed.transactionPollingInterval = 50;
        const address = deployed.options.address, to = ethers.getAddress("0x000000000000000000000000000000000000bee6");
        const heard = [];
        const events = new ws.eth.Contract(token.abi, address).events.Transfer();
        events.on("data", (event) => heard.push(event.returnValues.value));
        await new Promise((done) => events.on("connected", done));
        const ask = (method, ...params) => http.requestManager.send({ method, params });
        const filter = await ask("eth_newFilter", { address });
        const gas = await deployed.methods.transfer(to, 4n).estimateGas(fees);
        const receipt = await deployed.methods.transfer(to, 4n).send({ ...fees, gas: String(gas) });
        assert.equal(receipt.status, 1n);
        assert.ok(gas >= receipt.gasUsed && gas < receipt.gasUsed * 2n);
        await until("subscription to events", () => heard.length === 1);
        assert.deepEqual(heard, [4n]);
        assert.deepEqual((await ask("eth_getFilterChanges", filter)).map((log) => log.transactionHash), [receipt.transactionHash]);
        await assert.rejects(deployed.methods.transfer(to, 500n).call({ from: to }), (e) => e.cause.errorName === "ERC20InsufficientBalance" && e.cause.errorArgs.needed === 500n);
        const trace = await ask("debug_traceTransaction", receipt.transactionHash, { tracer: "callTracer" });
        const args = http.eth.abi.decodeParameters(["address", "uint256"], "0x" + trace.input.slice(10));
        assert.deepEqual([args[0], args[1]], [to, 4n]);
        assert.equal(BigInt(trace.gasUsed), receipt.gasUsed);
    });
});

describe("proofs", () => {
    const chain = viem.defineChain({ id: 31337, name: "cohort", nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 }, rpcUrls: { default: { http: [url] } } });
    const account = privateKeyToAccount(keys[5]);
    const http = viem.createPublicClient({ chain, transport: viem.http(url), pollingInterval: 50 });
    const signer = viem.createWalletClient({ account, chain, transport: viem.http(url) });
    const supply = 1000n, given = 300n;
    const to = viem.getAddress("0x00000000000000000000000000000000000c0de5");
    const octets = (hex) => viem.hexToBytes(hex);
    // What the nodes prove under root, by @ethereumjs/mpt: RLP as hex, or null: proven missing.
    const proven = async (root, key, nodes) => {
        if (root === viem.keccak256("0x80") && nodes.length === 0) return null; // an empty trie
        const value = await verifyMerkleProof(octets(viem.keccak256(key)), nodes.map(octets), { root: octets(root) });
        return value === null ? null : viem.bytesToHex(value);
    };
    const rlp = (...fields) => viem.toRlp(fields.map((f) => (typeof f === "string" ? f : f === 0n ? "0x" : viem.numberToHex(f))));

    // All that a proof says, checked from the state root of its block on.
    async function check(proof, block) {
        const key = proof.address;
        const leaf = rlp(BigInt(proof.nonce), proof.balance, proof.storageHash, proof.codeHash);
        assert.equal(await proven(block.stateRoot, key, proof.accountProof), leaf);
        for (const slot of proof.storageProof) {
            const value = await proven(proof.storageHash, viem.pad(slot.key, { size: 32 }), slot.proof);
            assert.equal(value, slot.value === 0n ? null : viem.toRlp(viem.numberToHex(slot.value)));
        }
    }

    it("prove accounts and slots under the state root, now and a block ago", async () => {
        const deployed = await signer.deployContract({ abi: token.abi, bytecode: token.bytecode, args: ["Token", "TKN", account.address, supply] });
        const { contractAddress: address, blockNumber: first } = await http.waitForTransactionReceipt({ hash: deployed });
        const hash = await signer.writeContract({ address, abi: token.abi, functionName: "transfer", args: [to, given] });
        const { blockNumber: second } = await http.waitForTransactionReceipt({ hash });
        // The slot of a balance in a mapping at slot n; of n, that in which the holder's balance is found.
        const slotOf = (who, n) => viem.keccak256(viem.encodeAbiParameters([{ type: "address" }, { type: "uint256" }], [who, n]));
        const at = async (who, blockNumber) => {
            const keys = Array.from({ length: 8 }, (_, n) => slotOf(who, BigInt(n)));
            const proof = await http.getProof({ address, storageKeys: keys, blockNumber });
            assert.deepEqual(proof.storageProof.map((s) => s.key), keys);
            await check(proof, await http.getBlock({ blockNumber }));
            const there = proof.storageProof.map((s) => s.value).filter((v) => v !== 0n);
            assert.ok(there.length <= 1);
            return there[0] ?? 0n;
        };
        assert.equal(await at(account.address, first), supply);
        assert.equal(await at(to, first), 0n);
        assert.equal(await at(account.address, second), supply - given);
        assert.equal(await at(to, second), given);
        const proof = await http.getProof({ address, storageKeys: [], blockNumber: second });
        assert.equal(proof.codeHash, viem.keccak256(await http.getCode({ address })));
        const own = await http.getProof({ address: account.address, storageKeys: ["0x1"], blockNumber: second });
        await check(own, await http.getBlock({ blockNumber: second }));
        assert.equal(own.nonce, 2);
        assert.equal(own.balance, await http.getBalance({ address: account.address, blockNumber: second }));
        assert.equal(own.storageHash, viem.keccak256("0x80"));
    });

    it("prove that an account is missing, by a block's hash, to ethers", async () => {
        const provider = new ethers.JsonRpcProvider(url);
        const block = await provider.send("eth_getBlockByNumber", ["latest", false]);
        const missing = ethers.Wallet.createRandom().address;
        const proof = await provider.send("eth_getProof", [missing, ["0x07"], { blockHash: block.hash }]);
        assert.equal(await proven(block.stateRoot, missing, proof.accountProof), null);
        assert.deepEqual({ ...proof, accountProof: [] }, {
            address: missing.toLowerCase(), accountProof: [], balance: "0x0", nonce: "0x0", codeHash: ethers.ZeroHash, storageHash: ethers.ZeroHash,
            storageProof: [{ key: "0x7", value: "0x0", proof: [] }],
        });
        provider.destroy();
    });
});

describe("the door", () => {
    it("answers batches in one piece and errors as geth does", async () => {
        const { json } = await call([
            { jsonrpc: "2.0", id: 1, method: "eth_chainId" },
            { jsonrpc: "2.0", method: "eth_chainId" },
            { jsonrpc: "2.0", id: "x", method: "eth_nothing" },
            { jsonrpc: "2.0", id: null, method: "eth_getBalance", params: [] },
            7,
        ]);
        assert.deepEqual(json, [
            { jsonrpc: "2.0", id: 1, result: "0x7a69" },
            { jsonrpc: "2.0", id: "x", error: { code: -32601, message: "the method eth_nothing does not exist/is not available" } },
            { jsonrpc: "2.0", id: null, error: { code: -32602, message: "missing value for required argument 0" } },
            { jsonrpc: "2.0", id: null, error: { code: -32600, message: "invalid request" } },
        ]);
    });

    it("lets only the token's bearer call what is private", async () => {
        const body = { jsonrpc: "2.0", id: 1, method: "admin_nodeInfo" };
        const good = readFileSync(process.env.COHORT_TOKEN, "utf8").trim();
        assert.equal((await call(body)).json.error.code, -32006);
        assert.equal((await call(body, { authorization: "Bearer wrong-wrong-wrong-wrong" })).status, 401);
        assert.match((await call(body, { authorization: "Bearer " + good })).json.result.name, /^Cohort/);
    });

    it("gives CORS headers to named origins only", async () => {
        const body = { jsonrpc: "2.0", id: 1, method: "eth_chainId" };
        const origin = "access-control-allow-origin";
        assert.equal((await call(body, { origin: "http://wallet.example" })).headers.get(origin), "http://wallet.example");
        assert.equal((await call(body, { origin: "http://evil.example" })).headers.get(origin), null);
        assert.equal((await call(body, { "content-type": "text/plain" })).status, 415);
        assert.equal((await call(body, {}, "/other")).status, 404);
    });

    it("says how a block was executed", async () => {
        const signer = wallet(6).connect(new ethers.JsonRpcProvider(url, undefined, { pollingInterval: 50 }));
        const nonce = await signer.getNonce();
        const sent = await Promise.all(Array.from({ length: 12 }, (_, i) =>
            signer.sendTransaction({ to: ethers.Wallet.createRandom().address, value: 1n, nonce: nonce + i, gasLimit: 21_000n })));
        const receipts = await Promise.all(sent.map((tx) => tx.wait()));
        signer.provider.destroy();
        const shardOf = async (who) => (await rpc("cohort_ownerOf", who)).result.shard;
        for (const number of new Set(receipts.map((r) => r.blockNumber))) {
            const block = (await rpc("eth_getBlockByNumber", ethers.toQuantity(number), true)).result;
            const stats = (await rpc("cohort_blockStats", ethers.toQuantity(number))).result;
            assert.deepEqual((await rpc("cohort_blockStats", block.hash)).result, stats);
            assert.equal(stats.number, number);
            assert.equal(stats.hash, block.hash);
            assert.equal(stats.transactions, block.transactions.length);
            const ends = await Promise.all(block.transactions.map(async (tx) => [await shardOf(tx.from), await shardOf(tx.to)]));
            assert.equal(stats.crossShard, ends.filter(([from, to]) => from !== to).length);
            assert.equal(stats.crossShardShare, Number((stats.crossShard / stats.transactions).toFixed(4)));
            // Transfers are executed where their senders are; the steps of a block (four calls by the system) are executions too.
            const sum = (f) => stats.shards.reduce((all, s) => all + f(s), 0);
            assert.equal(sum((s) => s.transactions), block.transactions.length);
            stats.shards.forEach((s) => assert.equal(s.transactions, ends.filter(([from]) => from === s.shard).length));
            assert.ok(stats.executions >= block.transactions.length + 4 && stats.executions === sum((s) => s.executions));
            assert.equal(stats.retractions, sum((s) => s.retractions));
            assert.ok(Math.abs(sum((s) => s.load) - 1) < 0.001);
            assert.equal(stats.commitMicros, stats.settleMicros + stats.prepareMicros + stats.decideMicros);
        }
        assert.equal((await rpc("cohort_blockStats", "0x0")).result, null);
        assert.equal((await rpc("cohort_blockStats", "0xffffff")).result, null);
    });

    it("says where accounts and blocks are", async () => {
        const owner = (await rpc("cohort_ownerOf", "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266")).result;
        assert.equal(owner.rank, owner.shard + 1);
        assert.equal((await rpc("cohort_shards")).result.shards.length, 2);
        assert.equal((await rpc("eth_getBalance", "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266", "0x0")).result, "0x21e19e0c9bab2400000");
        assert.equal((await rpc("eth_getBalance", "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266", "0xffffff")).error.message, "header not found");
        assert.equal((await rpc("eth_getBlockByNumber", "0xffffff", false)).result, null);
        const earliest = (await rpc("eth_getBlockByNumber", "earliest", false)).result;
        assert.equal(earliest.number, "0x0");
        assert.equal((await rpc("eth_getBlockByHash", earliest.hash, false)).result.number, "0x0");
    });
});
